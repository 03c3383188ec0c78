"""Every kind of file and factory, recognised by content, loads and is captured exactly."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from exporter.errors import UserError
from exporter.loading import FileKind, LoadRequest, SourceModel, capture, detect, load
from exporter.types import Format
from tests.loading.zoo import Text, Tiny

IMAGE = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
SHAPE = ("1x3x8x8",)
FACTORY = "tests.loading.zoo:Tiny"


def tiny() -> Tiny:
    """The same model each time, with batch norm statistics that matter."""
    torch.manual_seed(0)
    model = Tiny()
    model.norm.running_mean.uniform_(-1, 1)
    model.norm.running_var.uniform_(0.5, 2)
    return model.eval()


def scripted(path: Path) -> None:
    torch.jit.save(torch.jit.script(tiny()), path)


def traced(path: Path) -> None:
    torch.jit.save(torch.jit.trace(tiny(), IMAGE), path)


def legacy_pickle(path: Path) -> None:
    torch.save(tiny(), path, _use_new_zipfile_serialization=False)


def legacy_state(path: Path) -> None:
    torch.save(tiny().state_dict(), path, _use_new_zipfile_serialization=False)


def program(path: Path) -> None:
    with path.open("wb") as file:  # torch.export.save looks at the suffix of a path
        torch.export.save(torch.export.export(tiny(), (IMAGE,)), file)


def parallel_checkpoint(path: Path) -> None:
    state = {f"module.{k}": v for k, v in tiny().state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, path)


Writer = Callable[[Path], None]
FILES: dict[str, tuple[Writer, FileKind, dict[str, object]]] = {
    "scripted": (scripted, FileKind.TORCHSCRIPT, {"inputs": SHAPE}),
    "traced": (traced, FileKind.TORCHSCRIPT, {}),
    "pickled": (lambda p: torch.save(tiny(), p), FileKind.PICKLE, {"trust": True, "inputs": SHAPE}),
    "pickled protocol 4": (
        lambda p: torch.save(tiny(), p, pickle_protocol=4),
        FileKind.PICKLE,
        {"trust": True, "inputs": SHAPE},
    ),
    "legacy pickle": (legacy_pickle, FileKind.PICKLE, {"trust": True, "inputs": SHAPE}),
    "module in checkpoint": (
        lambda p: torch.save({"model": tiny(), "epoch": 1}, p),
        FileKind.PICKLE,
        {"trust": True, "inputs": SHAPE},
    ),
    "state_dict": (
        lambda p: torch.save(tiny().state_dict(), p),
        FileKind.PICKLE,
        {"factory": FACTORY, "inputs": SHAPE},
    ),
    "legacy state_dict": (legacy_state, FileKind.PICKLE, {"factory": FACTORY, "inputs": SHAPE}),
    "checkpoint": (
        lambda p: torch.save({"model": tiny().state_dict(), "lr": 0.1}, p),
        FileKind.PICKLE,
        {"factory": FACTORY, "inputs": SHAPE},
    ),
    "parallel": (parallel_checkpoint, FileKind.PICKLE, {"factory": FACTORY, "inputs": SHAPE}),
    "safetensors": (
        lambda p: save_file(tiny().state_dict(), p),
        FileKind.SAFETENSORS,
        {"factory": FACTORY, "inputs": SHAPE},
    ),
    "program": (program, FileKind.PROGRAM, {}),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_under_a_misleading_name(name: str, tmp_path: Path) -> None:
    write, kind, options = FILES[name]
    path = tmp_path / "model.onnx"
    write(path)
    assert detect(path) is kind

    source = load(LoadRequest(str(path), **options))  # type: ignore[arg-type]

    assert source.signature.inputs[0].name == "image"
    assert source.signature.inputs[0].shape == (1, 3, 8, 8)
    assert source.signature.outputs[0].name == "output_0"
    assert source.name == "model"
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert source.script == (kind is FileKind.TORCHSCRIPT)
    with torch.no_grad():
        expected = tiny()(IMAGE).numpy()
    np.testing.assert_allclose(source.run((IMAGE.numpy(),))[0], expected, atol=1e-6)
    assert_captured(source)


@pytest.mark.parametrize("factory", [FACTORY, "tests.loading.zoo:Builder.build"])
def test_a_factory(factory: str) -> None:
    source = load(LoadRequest(factory, factory_args={"classes": 7}, inputs=SHAPE))
    assert source.signature.outputs[0].shape == (1, 7)
    assert source.path is None
    assert source.sha256 is None
    again = load(LoadRequest(factory, factory_args={"classes": 7}, inputs=SHAPE))
    np.testing.assert_array_equal(source.run(source.example)[0], again.run(source.example)[0])
    assert_captured(source)


def test_a_factory_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beside_me.py").write_text(
        "import torch\ndef build():\n    return torch.nn.Tanh()\n"
    )
    monkeypatch.chdir(tmp_path)
    assert load(LoadRequest("beside_me:build", inputs=("1x2",))).name == "build"


def test_tied_weights_stored_once(tmp_path: Path) -> None:
    path = tmp_path / "text.safetensors"
    model = Text()
    save_file({"embed.weight": model.embed.weight.detach()}, path)
    source = load(
        LoadRequest(str(path), factory="tests.loading.zoo:Text", inputs=("1x4:int64:0..10",))
    )
    np.testing.assert_allclose(
        source.run(source.example)[0],
        model(torch.tensor(source.example[0])).detach().numpy(),
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x1c\0\0\0TFL3" + bytes(40), Format.TFLITE),
        (b"\x1c\0\0\0ET12" + bytes(40), Format.PTE),
        (b"\x08\x0a\x12\x07pytorch" + bytes(40), Format.ONNX),
    ],
)
def test_artifacts_are_told_apart(head: bytes, kind: Format, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(head)
    assert detect(path) is kind
    with pytest.raises(UserError, match=r"already an artifact.*inspect"):
        load(LoadRequest(str(path)))


def test_a_lite_interpreter_file_is_an_artifact(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(tiny())._save_for_lite_interpreter(str(path))
    assert detect(path) is Format.PTL


def assert_captured(source: SourceModel) -> None:
    """The program survives saving, and repeats the reference on every run."""
    buffer = io.BytesIO()
    torch.export.save(capture(source), buffer)
    buffer.seek(0)
    module = torch.export.load(buffer).module()
    reference = source.run(source.example)
    for _ in range(2):
        outputs = module(*(torch.tensor(x) for x in source.example))
        for ours, theirs in zip(outputs, reference, strict=True):
            np.testing.assert_allclose(ours.detach().numpy(), theirs, atol=1e-6)
