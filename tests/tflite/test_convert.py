"""Float conversion: operators and numbers, and what cannot be converted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exporter.errors import FormatError
from exporter.runtimes.tflite.convert import convert
from exporter.runtimes.tflite.describe import describe
from exporter.types import Stage
from tests.support import Recorder, eager, job_for
from tests.tflite import models


@pytest.mark.parametrize(
    ("make", "operators"),
    [
        (models.cnn, {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 1, "ADD": 1, "MEAN": 1, "TRANSPOSE": 1}),
        (models.attention, {"FULLY_CONNECTED": 4, "BATCH_MATMUL": 2, "SOFTMAX": 1, "GELU": 1}),
        (models.recurrent, {"TANH": 12}),
        (models.text, {"EMBEDDING_LOOKUP": 1, "FULLY_CONNECTED": 1, "ARG_MAX": 1}),
        (models.crossed, {"ADD": 1}),
        (models.changing, {"FULLY_CONNECTED": 1}),
        (models.one_dimensional, {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1}),
    ],
)
def test_float_file_equals_eager(
    make: models.Make, operators: dict[str, int], tmp_path: Path
) -> None:
    module, inputs = make()
    sample = tuple(x.numpy() for x in inputs)
    runner, _, recorder = models.export(make, tmp_path / "m.tflite")

    found = describe(tmp_path / "m.tflite").operators
    assert {name: found.get(name) for name in operators} == operators
    got = runner.run(sample)
    for want, have in zip(eager(module)(sample), got, strict=True):
        assert have.dtype == want.dtype
        np.testing.assert_allclose(have, want, atol=1e-4)
    assert Stage.QUANTIZED not in recorder.runs  # nothing was quantized


def test_the_file_has_the_models_own_names_and_layout(tmp_path: Path) -> None:
    runner, conversion, _ = models.export(models.cnn, tmp_path / "m.tflite")
    assert [s.name for s in runner.inputs] == ["input_0"]
    assert runner.inputs[0].shape == (1, 3, 16, 16)
    described = describe(tmp_path / "m.tflite")
    assert [s.name for s in described.outputs] == ["output_0"]
    assert any("NCHW" in note for note in conversion.notes)


def test_64_bit_inputs_are_noted_and_given_back(tmp_path: Path) -> None:
    runner, conversion, _ = models.export(models.text, tmp_path / "m.tflite")
    assert [s.dtype for s in describe(tmp_path / "m.tflite").inputs] == ["int32"]
    assert [s.dtype for s in (*runner.inputs, *runner.outputs)] == ["int64", "float32", "int64"]
    assert any("int64" in note for note in conversion.notes)


def test_dynamic_batch_is_refused(tmp_path: Path) -> None:
    job = replace(models.job_of(models.changing, tmp_path / "m.tflite"), dynamic_batch=True)
    with pytest.raises(FormatError, match="batch"):
        convert(job, Recorder())


class Unknown(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(x)
        return torch.linalg.svd(x)[1]  # the line to blame


class Kernelless(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose3d(2, 2, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x)  # the other line to blame


class Spread(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 4, 3, stride=2, dilation=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x)  # refused by MLIR


@pytest.mark.parametrize(
    ("module", "shape", "words"),
    [
        (Unknown(), (4, 4), ("aten.linalg_svd.default", "torch.linalg.svd(x)[1]")),
        (Kernelless(), (1, 2, 4, 4, 4), ("aten.conv_transpose3d.input", "no kernel", "self.up(x)")),
        (Spread(), (1, 4, 5, 5), ("aten.conv_transpose2d.input", "legalize", "self.up(x)")),
    ],
)
def test_what_cannot_be_converted_is_named(
    module: nn.Module, shape: tuple[int, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    target = tmp_path / "m.tflite"
    with pytest.raises(FormatError) as caught:
        convert(job_for(module.eval(), torch.randn(shape), target=target), Recorder())
    reason = caught.value.reason
    for word in (*words, "test_convert.py:"):
        assert word in reason
    assert "\n" not in reason
    assert not target.exists()
