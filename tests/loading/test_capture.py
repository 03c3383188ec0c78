"""Capture: the same numbers, the user's lines, no state, and clear refusals."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import ExportedProgram

from exporter.base.locate import source_line
from exporter.errors import FormatError
from exporter.loading import LoadRequest, SourceModel, capture, load
from tests.loading import zoo
from tests.loading.test_kinds import assert_captured

ZOO = "tests.loading.zoo"
INPUTS = {
    "Tiny": ("1x3x8x8",),
    "Looping": ("1x3x6x6",),
    "Stateful": ("1x3x6x6",),
    "Lstm": ("1x5x4",),
    "Text": ("1x4:int64:0..10", "1x4"),
}


def source_of(name: str, how: str, folder: Path) -> SourceModel:
    """A model of the zoo, as it is or through a TorchScript or `.pt2` file."""
    eager = load(LoadRequest(f"{ZOO}:{name}", inputs=INPUTS[name]))
    if how == "eager":
        return eager
    path = folder / "model.pt"
    model = getattr(zoo, name)().eval()
    tensors = tuple(torch.tensor(x) for x in eager.example)
    if how == "scripted":
        torch.jit.save(torch.jit.script(model), path)
    elif how == "traced":
        torch.jit.save(torch.jit.trace(model, tensors, strict=False, check_trace=False), path)
    else:
        path = path.with_suffix(".pt2")
        torch.export.save(torch.export.export(model, tensors, strict=False), path)
    return load(LoadRequest(str(path), inputs=INPUTS[name]))


def operators(program: ExportedProgram) -> Counter[str]:
    return Counter(str(n.target) for n in program.graph.nodes if n.op == "call_function")


def lines(program: ExportedProgram) -> str:
    return "\n".join(source_line(node) for node in program.graph.nodes)


@pytest.mark.parametrize("how", ["eager", "scripted", "traced", "program"])
@pytest.mark.parametrize("name", INPUTS)
def test_same_numbers_as_the_original(name: str, how: str, tmp_path: Path) -> None:
    source = source_of(name, how, tmp_path)
    assert_captured(source)
    if how != "program":  # its sizes are fixed
        assert_batch_varies(source)


@pytest.mark.parametrize("how", ["eager", "scripted", "traced", "program"])
def test_operators_stay_whole_and_lines_are_the_users(how: str, tmp_path: Path) -> None:
    program = capture(source_of("Tiny", how, tmp_path))
    found = operators(program)
    for name in ("conv2d.default", "linear.default", "relu.default", "dropout.default", "mean.dim"):
        assert found[f"aten.{name}"] == 1, found
    assert sum(found.values()) == 6  # and the batch norm
    assert "zoo.py" in lines(program)
    assert "torch.relu(self.norm(self.conv(image))).mean((2, 3))" in lines(program)


def test_a_scripted_program_has_the_operators_of_the_eager_one(tmp_path: Path) -> None:
    eager, scripted = (
        operators(capture(source_of("Looping", how, tmp_path))) for how in ("eager", "scripted")
    )
    heavy = ("aten.conv2d.default", "aten.hardswish.default", "aten.cat.default", "aten.sub.Tensor")
    assert [eager[o] for o in heavy] == [scripted[o] for o in heavy] == [3, 3, 1, 1]


def test_writes_go_into_copies(tmp_path: Path) -> None:
    program = capture(source_of("Stateful", "eager", tmp_path))
    module = program.module()
    image = torch.randn(1, 3, 6, 6)
    kept = image.clone()
    module(image)
    assert torch.equal(image, kept)
    assert all(not buffer.any() for buffer in module.buffers())
    assert operators(program)["aten.clone.default"] >= 2


@pytest.mark.parametrize("how", ["eager", "scripted"])
def test_branching_on_values_is_refused_with_the_line(how: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.jit.save(torch.jit.script(zoo.Branching()), path)
    target = str(path) if how == "scripted" else f"{ZOO}:Branching"
    with pytest.raises(FormatError) as caught:
        capture(load(LoadRequest(target, inputs=("2x3",))))
    reason = caught.value.reason
    assert "branches on a tensor's values" in reason
    assert "zoo.py:" in reason
    assert "if x.sum() > 0" in reason
    assert "\n" not in reason


@pytest.mark.parametrize("name", ["FixedBatch", "Scalar"])
def test_a_batch_that_cannot_vary(name: str) -> None:
    request = LoadRequest(f"{ZOO}:FixedBatch", inputs=("1x3x4",))
    if name == "Scalar":
        request = LoadRequest("torch.nn:Tanh", inputs=("scalar",))
    source = load(request)
    capture(source)
    with pytest.raises(FormatError, match="the batch cannot vary") as caught:
        capture(source, dynamic_batch=True)
    assert "\n" not in caught.value.reason
    assert name == "Scalar" or "zoo.py" in caught.value.reason


def test_an_operator_that_only_torchscript_has(tmp_path: Path) -> None:
    class Sleeper(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            future = torch.jit.fork(torch.relu, x)
            return torch.jit.wait(future)

    path = tmp_path / "model.pt"
    torch.jit.save(torch.jit.script(Sleeper()), path)
    source = load(LoadRequest(str(path), inputs=("2x3",)))
    with pytest.raises(FormatError, match=r"prim::fork \(test_capture.py:\d+") as caught:
        capture(source)
    assert "\n" not in caught.value.reason


def assert_batch_varies(source: SourceModel) -> None:
    module = capture(source, dynamic_batch=True).module()
    for count in (1, 3):
        sample = tuple(np.concatenate([x] * count) for x in source.example)
        outputs = module(*(torch.tensor(x) for x in sample))
        for ours, theirs in zip(outputs, source.run(sample), strict=True):
            np.testing.assert_allclose(ours.detach().numpy(), theirs, atol=1e-5)
