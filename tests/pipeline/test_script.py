"""TorchScript that cannot be captured: the one format that keeps its control flow is still made."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from exporter import loading
from exporter.errors import FormatError
from exporter.manifest import Manifest
from exporter.types import Example, Format, Precision, Stage, Verdict
from tests.command import export_mobile


class Settle(nn.Module):
    """Halves until small: how often depends on the values."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor, scale: float = 0.5) -> dict[str, Tensor]:
        x = self.layer(x)
        while bool(x.abs().max() > 0.1):
            x = x * scale
        return {"small": x, "sum": x.sum(1)}


class Nested(nn.Module):
    """Inputs in every container that TorchScript has."""

    def forward(
        self, batch: dict[str, Tensor], pair: tuple[Tensor, Tensor], items: list[Tensor], k: int = 1
    ) -> Tensor:
        y = batch["x"] * k + pair[0] - pair[1]
        return y + items[0] if bool(y.sum() > 0) else y


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return x + self.count if bool(x.sum() > 0) else x


def test_its_ptl_is_made_and_the_others_say_why_not(tmp_path: Path) -> None:
    model, output = tmp_path / "settle.pt", tmp_path / "out"
    torch.manual_seed(0)
    torch.jit.script(Settle().eval()).save(model)
    formats = ("--format", "ptl", "--format", "onnx")
    done = export_mobile(
        model, *formats, "--fp32", "--int8", "--input", "2x4", "--runs", "5", "--output", output
    )
    assert done.returncode == 1, done.stderr
    manifest = Manifest.read(output / "manifest.json")
    made = [(a.format, a.precision) for a in manifest.artifacts if a.verdict is Verdict.PASS]
    assert made == [(Format.PTL, Precision.FP32)]
    (artifact,) = (a for a in manifest.artifacts if a.file)
    assert artifact.parity is not None
    assert artifact.parity.max_abs < 1e-6
    assert [s.stage for s in artifact.stages] == [Stage.ARTIFACT]
    assert "kept as TorchScript, with its loops" in artifact.notes
    reasons = {a.reason for a in manifest.artifacts if not a.file}
    assert len(reasons) == 1
    assert "test_script.py" in (reasons.pop() or "")  # the line that branches
    assert export_mobile("verify", output).returncode == 1  # what failed still fails, no more


def _source(tmp_path: Path, module: nn.Module, example: Example) -> loading.SourceModel:
    path = tmp_path / "model.pt"
    torch.jit.script(module.eval()).save(path)
    return loading.load(loading.LoadRequest(target=str(path), example=example))


def test_nested_inputs_become_flat_ones(tmp_path: Path) -> None:
    a, b = torch.ones(1, 2), torch.full((1, 2), 3.0)
    example = Example(kwargs={"items": [b], "pair": (a, b), "batch": {"x": b}, "k": 2})
    source = _source(tmp_path, Nested(), example)
    flat = loading.flat_script(source)
    tensors = [torch.from_numpy(x) for x in source.example]
    assert torch.equal(flat(*tensors), torch.from_numpy(source.run(source.example)[0]))


def test_a_script_with_state_is_not_kept(tmp_path: Path) -> None:
    source = _source(tmp_path, Counting(), Example((torch.ones(1, 2),)))
    with pytest.raises(FormatError, match="keeps state"):
        loading.flat_script(source)
