"""The runner: what it takes, gives and refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_quantizer import quantizer, recipe
from torch import Tensor, nn

from exporter.errors import FormatError
from exporter.runtimes.tflite.convert import float_file
from exporter.runtimes.tflite.run import Runner
from exporter.runtimes.tflite.signature import sign
from tests.support import eager
from tests.tflite import models


@pytest.fixture(scope="module")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tflite") / "text.tflite"
    models.export(models.text, path)
    return path


@pytest.fixture(scope="module")
def crossed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tflite") / "crossed.tflite"
    models.export(models.crossed, path)
    return path


def test_outputs_are_copies(crossed_file: Path) -> None:
    inputs = tuple(x.numpy() for x in models.crossed()[1])
    with Runner(crossed_file) as runner:
        first = runner.run(inputs)
        kept = [x.copy() for x in first]
        runner.run(tuple(x + 1 for x in inputs))
    for before, after in zip(kept, first, strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("sample", "word"),
    [
        ((), "takes 1 inputs"),
        ((np.zeros((1, 8), np.int32),), "int32"),
        ((np.zeros((1, 9), np.int64),), r"\[1, 9\]"),
        ((np.full((1, 8), 2**40),), "32 bits"),
    ],
)
def test_a_sample_that_does_not_fit_is_refused(
    text_file: Path, sample: tuple[np.ndarray, ...], word: str
) -> None:
    with Runner(text_file) as runner, pytest.raises(FormatError, match=word):
        runner.run(sample)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content[:8] + bytes(reversed(content[8:])),
        lambda content: b"PK\3\4" + content,
    ],
)
def test_a_damaged_file_is_refused(text_file: Path, tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "damaged.tflite"
    path.write_bytes(damage(text_file.read_bytes()))
    with pytest.raises(FormatError, match="does not load"):
        Runner(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="does not load"):
        Runner(tmp_path / "none.tflite")


def test_integer_inputs_and_outputs_are_quantized_here(tmp_path: Path) -> None:
    """A file of full integer quantization, as other tools write it."""
    module, inputs = models.cnn()
    sample = tuple(x.numpy() for x in inputs)
    job = models.job_of(models.cnn, tmp_path / "m.tflite")
    worker = quantizer.Quantizer(float_file(job), recipe.static_wi8_ai8())
    ranges = worker.calibrate({"serving_default": [{"args_0": sample[0]}]}, num_threads=1)
    content = bytes(worker.quantize(ranges).quantized_model)
    for stored in (content, sign(content, job.signature)):  # without and with our metadata
        job.target.write_bytes(stored)
        with Runner(job.target) as runner:
            assert runner._engine._takes[0]["dtype"] is np.int8
            assert runner.inputs[0].dtype == "float32"
            assert models.sqnr(eager(module)(sample), runner.run(sample)) > 25


def test_tflite_runtime_serves_where_only_that_is_installed(
    crossed_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same interpreter under the older name, and no flatbuffer schema to read metadata with."""
    from ai_edge_litert import interpreter

    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "exporter.runtimes.tflite.flatbuffer", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", interpreter)
    module, inputs = models.crossed()
    sample = tuple(x.numpy() for x in inputs)
    with Runner(crossed_file) as runner:
        for have, want in zip(runner.run(sample), eager(module)(sample), strict=True):
            np.testing.assert_allclose(have, want, atol=1e-6)


def test_without_any_runtime_it_says_what_to_install(
    crossed_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", None)
    with pytest.raises(FormatError, match="pip install ai-edge-litert"):
        Runner(crossed_file)


def test_loading_prints_nothing(crossed_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Runner(crossed_file)
    assert capfd.readouterr() == ("", "")


def test_a_scalar_input_keeps_its_shape(tmp_path: Path) -> None:
    class Scaled(nn.Module):
        def forward(self, x: Tensor, by: Tensor) -> Tensor:
            return x * by

    inputs = (torch.ones(1, 3), torch.tensor(2.0))
    runner, _, _ = models.export(lambda: (Scaled(), inputs), tmp_path / "m.tflite")
    (product,) = runner.run(tuple(x.numpy() for x in inputs))
    assert product.tolist() == [[2, 2, 2]]
