"""Whatever is wrong with what the user gave is said in one sentence, with what to do."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from exporter.errors import UserError
from exporter.loading import LoadRequest, load
from exporter.types import Example
from tests.loading.zoo import Tiny

ZOO = "tests.loading.zoo"
SHAPE = ("1x3x8x8",)


def refuse(match: str, target: Path | str, **options: object) -> UserError:
    """Loads what must be refused."""
    with pytest.raises(UserError, match=match) as caught:
        load(LoadRequest(str(target), **options))  # type: ignore[arg-type]
    assert "\n" not in caught.value.message
    return caught.value


class RunsCode:
    """Leaves a trace when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_missing_folder_empty_unknown(tmp_path: Path) -> None:
    refuse("does not exist", tmp_path / "nope.pt")
    refuse("is a folder", tmp_path)
    path = tmp_path / "model.pt"
    path.write_bytes(b"")
    refuse("is empty", path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    refuse("Git LFS pointer.*git lfs pull", path)
    path.write_text("import torch\n")
    refuse("no model file that is known", path)


@pytest.mark.parametrize("kind", ["traced", "state", "legacy", "safetensors", "program"])
def test_truncated(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    model, image = Tiny().eval(), torch.randn(1, 3, 8, 8)
    if kind == "traced":
        torch.jit.save(torch.jit.trace(model, image), path)
    elif kind == "safetensors":
        save_file(model.state_dict(), path)
    elif kind == "program":
        torch.export.save(torch.export.export(model, (image,)), path.with_suffix(".pt2"))
        path = path.with_suffix(".pt2")
    else:
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=kind == "state")
    whole = path.read_bytes()
    for part in (0.9, 0.4):
        path.write_bytes(whole[: int(len(whole) * part)])
        refuse("damaged", path, factory=f"{ZOO}:Tiny", inputs=SHAPE)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_module_is_not_unpickled_silently(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(Tiny(), path, _use_new_zipfile_serialization=zipped)
    error = refuse(r"pickled module of class tests\.loading\.zoo\.Tiny", path)
    assert "--trust" in error.hint
    assert load(LoadRequest(str(path), trust=True, inputs=SHAPE)).kind.endswith("class Tiny")


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "model.pt", tmp_path / "trace"
    torch.save({"state_dict": Tiny().state_dict(), "args": RunsCode(trace)}, path)
    refuse("weights_only refuses", path, factory=f"{ZOO}:Tiny", inputs=SHAPE)
    assert not trace.exists()
    torch.save({"state_dict": Tiny().state_dict(), "args": argparse.Namespace(lr=1)}, path)
    refuse("argparse.Namespace", path, factory=f"{ZOO}:Tiny", inputs=SHAPE)
    load(LoadRequest(str(path), factory=f"{ZOO}:Tiny", inputs=SHAPE, trust=True))


def test_code_in_a_program_does_not_run(tmp_path: Path) -> None:
    """torch.export.load falls back to full unpickling of the sample inputs; ours must not."""
    import zipfile

    good, bad, trace = tmp_path / "good.pt2", tmp_path / "bad.pt2", tmp_path / "trace"
    torch.export.save(torch.export.export(Tiny().eval(), (torch.randn(1, 3, 8, 8),)), good)
    torch.save(((RunsCode(trace),), {}), tmp_path / "inputs.pt")
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as target:
        for name in source.namelist():
            evil = name.endswith("sample_inputs/model.pt")
            target.writestr(
                name, (tmp_path / "inputs.pt").read_bytes() if evil else source.read(name)
            )
    refuse("holds pickled objects", bad)
    assert not trace.exists()


def test_a_pickle_whose_class_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pt"
    monkeypatch.setattr(Tiny, "__module__", "gone_for_good")
    import sys
    import types

    module = types.ModuleType("gone_for_good")
    module.Tiny = Tiny  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gone_for_good", module)
    torch.save(Tiny(), path)
    monkeypatch.delitem(sys.modules, "gone_for_good")
    refuse("gone_for_good.*importable", path, trust=True)


def test_state_dict_needs_its_model(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(Tiny().state_dict(), path)
    assert "--model" in refuse("weights without the model", path).hint
    refuse(r"head\.weight is 5x4, the model's 9x4", path, factory=f"{ZOO}:Tiny",
           factory_args={"classes": 9}, inputs=SHAPE)  # fmt: skip
    refuse("misses embed.weight.* has besides conv.weight.* more", path, factory=f"{ZOO}:Text")
    torch.save({"epoch": 3, "optimizer": {"lr": 0.1}}, path)
    refuse("checkpoint without weights.*epoch, optimizer", path, factory=f"{ZOO}:Tiny")
    torch.save([1, 2], path)
    refuse("holds a list", path, factory=f"{ZOO}:Tiny")


def test_a_model_option_that_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.jit.save(torch.jit.script(Tiny()), path)
    refuse("needs no --model", path, factory=f"{ZOO}:Tiny")
    refuse("factory already", f"{ZOO}:Tiny", factory=f"{ZOO}:Tiny")


@pytest.mark.parametrize(
    ("factory", "arguments", "match"),
    [
        ("no_such_package:Net", {}, "cannot be imported.*Install it"),
        (f"{ZOO}:Tniy", {}, "Did you mean Tiny"),
        (f"{ZOO}:failing", {"depth": 4}, "raised ValueError: depth 4 is too deep"),
        (f"{ZOO}:failing", {}, "missing 1 required.*--arg KEY=VALUE"),
        (f"{ZOO}:not_a_module", {}, "gave an int, not a torch.nn.Module"),
        (f"{ZOO}:__doc__", {}, "is a str"),
    ],
)
def test_factories(factory: str, arguments: dict[str, object], match: str) -> None:
    refuse(match, factory, factory_args=arguments)


def test_a_factory_module_that_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "breaks_on_import.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    refuse("breaks_on_import cannot be imported: ZeroDivisionError", "breaks_on_import:x")


def test_a_torchvision_of_another_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wants_vision.py").write_text(
        "import torch\ntorch.library.register_fake('torchvision::nms')(lambda: None)\n"
    )
    monkeypatch.chdir(tmp_path)
    refuse("nms does not exist.*torchvision was built for another torch", "wants_vision:x")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(value: float, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    model = Tiny()
    with torch.no_grad():
        model.head.bias[1] = value
    torch.save(model.state_dict(), path)
    refuse(
        r"parameter head\.bias holds values that are NaN or infinite .1 of",
        path,
        factory=f"{ZOO}:Tiny",
        inputs=SHAPE,
    )


def test_inputs(tmp_path: Path) -> None:
    error = refuse("takes ids", f"{ZOO}:Text")
    assert "--input" in error.hint
    refuse(r"does not run on \(image float32\[1x4\]\): Expected 3D", f"{ZOO}:Tiny", inputs=("1x4",))
    refuse("unexpected keyword argument 'picture'", f"{ZOO}:Tiny", inputs=("picture=1x3x8x8",))
    path = tmp_path / "model.pt"
    torch.jit.save(torch.jit.script(Tiny()), path)
    refuse("takes image", path)
    refuse("Expected 3D", path, inputs=("1x4",))


def test_outputs_and_examples_without_tensors() -> None:
    refuse("output has no tensor", f"{ZOO}:NoTensor", inputs=("1x4",))
    refuse("holds a object", f"{ZOO}:Odd", inputs=("1x4",))
    refuse("holds no tensor", f"{ZOO}:Tiny", example=Example(args=(3,)))
