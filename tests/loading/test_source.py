"""Signatures, the reference, and what a model does to itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from exporter.loading import LoadRequest, load
from exporter.types import Example
from tests.loading import zoo
from tests.loading.test_kinds import assert_captured

ZOO = "tests.loading.zoo"


def names(specs: tuple[object, ...]) -> list[str]:
    return [spec.name for spec in specs]  # type: ignore[attr-defined]


def test_nested_inputs_and_outputs() -> None:
    left, right = np.ones((2, 3)), np.full((2, 3), 2.0, np.float32)  # float64 becomes float32
    example = Example(args=({"left": left, "right": torch.tensor(right)},), kwargs={"scale": 3.0})
    source = load(LoadRequest(f"{ZOO}:Nested", example=example))
    assert names(source.signature.inputs) == ["batch_left", "batch_right"]
    assert [i.dtype for i in source.signature.inputs] == ["float32", "float32"]
    assert names(source.signature.outputs) == [
        "boxes_scores", "boxes_corners_0", "boxes_corners_1", "again_0",
    ]  # fmt: skip
    outputs = source.run(source.example)
    np.testing.assert_array_equal(outputs[0], [27, 27])
    np.testing.assert_array_equal(outputs[3], np.full((2, 3), 18))
    assert_captured(source)


def test_keyword_inputs_and_ranges() -> None:
    source = load(LoadRequest(f"{ZOO}:Text", inputs=("ids=1x4:int64:2..10", "mask=1x4")))
    ids, mask = source.signature.inputs
    assert (ids.name, ids.low, ids.high) == ("ids", 2, 10)
    assert (mask.name, mask.low, mask.dtype) == ("mask", None, "float32")
    assert_captured(source)
    unknown = load(LoadRequest(f"{ZOO}:Text", inputs=("1x4:int64",)))
    assert unknown.signature.inputs[0].high is None
    assert any("range of ids is not known" in note for note in unknown.notes)


def test_a_stateful_model_gives_the_same_each_time() -> None:
    source = load(LoadRequest(f"{ZOO}:Stateful", inputs=("1x3x6x6",)))
    kept = source.example[0].copy()
    first, second = source.run(source.example), source.run(source.example)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(source.example[0], kept)
    fresh = zoo.Stateful()
    fresh.load_state_dict(source.module.module.state_dict())
    expected = fresh.eval()(torch.tensor(kept))
    for ours, theirs in zip(first, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs.detach().numpy())
    assert any("a call changes calls, total" in note for note in source.notes)


def test_a_model_that_is_not_deterministic_is_noted() -> None:
    assert any(
        "not deterministic" in n for n in load(LoadRequest(f"{ZOO}:Random", inputs=("1x9",))).notes
    )
    assert load(LoadRequest(f"{ZOO}:Tiny", inputs=("1x3x8x8",))).notes == ()


def test_half_precision_becomes_float32() -> None:
    source = load(LoadRequest(f"{ZOO}:Half", inputs=("1x4",)))
    assert source.signature.outputs[0].dtype == "float32"
    assert any("float16 weights were converted" in note for note in source.notes)
    assert_captured(source)


def test_results_are_the_callers_own() -> None:
    source = load(LoadRequest("torch.nn:Identity", inputs=("1x4",)))
    output = source.run(source.example)[0]
    output[:] = 7
    assert not (source.example[0] == 7).any()


def test_a_trace_states_its_inputs(tmp_path: Path) -> None:
    path = tmp_path / "text.pt"
    ids = torch.randint(0, 10, (2, 4), dtype=torch.int32)
    torch.jit.save(torch.jit.trace(zoo.Text().eval(), (ids, torch.ones(2, 4))), path)
    ids_spec, mask = load(LoadRequest(str(path))).signature.inputs
    assert (ids_spec.name, ids_spec.shape, ids_spec.dtype) == ("ids", (2, 4), "int32")
    assert (mask.name, mask.dtype) == ("mask", "float32")


def test_a_program_keeps_keywords_and_names(tmp_path: Path) -> None:
    path = tmp_path / "text.pt2"
    program = torch.export.export(
        zoo.Text().eval(), (torch.tensor([[1, 9]]),), {"mask": torch.ones(1, 2)}
    )
    torch.export.save(program, path)
    source = load(LoadRequest(str(path)))
    assert names(source.signature.inputs) == ["ids", "mask"]
    np.testing.assert_array_equal(source.example[0], [[1, 9]])
    assert_captured(source)


TINY = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
}  # fmt: skip


GPT = {"n_embd": 16, "n_layer": 1, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}


@pytest.fixture(scope="module")
def torchvision_operators() -> Iterator[None]:
    """Lets transformers import beside a torchvision that was built for another torch."""
    try:
        import torchvision  # type: ignore[import-untyped]  # noqa: F401
    except ModuleNotFoundError:
        yield
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        yield
    else:
        yield


@pytest.mark.usefixtures("torchvision_operators")
@pytest.mark.parametrize(
    ("name", "config", "inputs", "outputs"),
    [
        (
            "ViTForImageClassification",
            TINY | {"image_size": 32, "patch_size": 16},
            ["pixel_values"],
            ["logits"],
        ),
        (
            "BertModel",
            TINY | {"vocab_size": 50},
            ["input_ids"],
            ["last_hidden_state", "pooler_output"],
        ),
        ("GPT2LMHeadModel", GPT | {"vocab_size": 50}, ["input_ids"], ["logits"]),
    ],
)
def test_transformers(
    name: str, config: dict[str, object], inputs: list[str], outputs: list[str]
) -> None:
    source = load(LoadRequest(f"transformers:{name}", factory_args=config))
    assert names(source.signature.inputs) == inputs
    assert names(source.signature.outputs) == outputs
    if inputs == ["input_ids"]:
        assert (source.signature.inputs[0].low, source.signature.inputs[0].high) == (0, 50)
    assert_captured(source)


def test_a_models_own_input_size_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """timm states it as `default_cfg`."""
    (tmp_path / "like_timm.py").write_text(
        "import torch\ndef build():\n    m = torch.nn.Tanh()\n"
        "    m.default_cfg = {'input_size': (3, 10, 12)}\n    return m\n"
    )
    monkeypatch.chdir(tmp_path)
    assert load(LoadRequest("like_timm:build")).signature.inputs[0].shape == (1, 3, 10, 12)
