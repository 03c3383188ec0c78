"""int8 and fp16: operators, sizes and numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exporter.errors import FormatError
from exporter.passes import SHARED, apply
from exporter.runtimes.tflite.convert import convert, float_file
from exporter.runtimes.tflite.describe import describe
from exporter.runtimes.tflite.quantize import quantize
from exporter.runtimes.tflite.run import Runner
from exporter.runtimes.tflite.signature import sign
from exporter.types import FP16, INT8_DYNAMIC, INT8_STATIC, Sample, Stage, Variant
from tests.support import Recorder, captured, eager, job_for, samples_like
from tests.tflite import models


@pytest.mark.parametrize(
    ("make", "variant", "weights", "int8", "floor_db"),
    [
        (models.cnn, INT8_STATIC, {"int8": 992}, "8 of 8", 25),
        (models.cnn, INT8_DYNAMIC, {"int8": 992}, "3 of 8", 30),
        (models.cnn, FP16, {"float16": 1984}, None, 55),
        (models.attention, INT8_STATIC, {"int8": 8192}, "4 of", 30),
        (models.attention, INT8_DYNAMIC, {"int8": 8192}, "4 of", 30),
        (models.text, INT8_DYNAMIC, {"int8": 1024}, "2 of", 25),
        (models.text, INT8_STATIC, {"int8": 1024}, "2 of", 25),
    ],
)
def test_weights_shrink_and_numbers_hold(
    make: models.Make,
    variant: Variant,
    weights: dict[str, int],
    int8: str | None,
    floor_db: float,
    tmp_path: Path,
) -> None:
    module, inputs = make()
    sample = tuple(x.numpy() for x in inputs)
    runner, conversion, recorder = models.export(make, tmp_path / "m.tflite", variant)

    found = describe(tmp_path / "m.tflite")
    assert weights.items() <= found.weight_bytes.items()
    assert found.weight_bytes.get("float32", 0) < 1000  # biases, norms
    assert (found.details.get("int8 operators") or "").startswith(int8 or "")
    assert [s.dtype for s in found.inputs] == [x.dtype.name.replace("64", "32") for x in sample]

    want = eager(module)(sample)[:1]  # the best token may change where two are close
    assert models.sqnr(want, runner.run(sample)[:1]) > floor_db
    assert models.sqnr(want, recorder.runs[Stage.QUANTIZED](sample)[:1]) > floor_db
    if int8:
        assert any(note.startswith(int8.split()[0]) for note in conversion.notes)


def test_what_stayed_float_is_noted(tmp_path: Path) -> None:
    _, conversion, _ = models.export(models.attention, tmp_path / "m.tflite", INT8_STATIC)
    stayed = next(n for n in conversion.notes if n.startswith("stayed float"))
    for name in ("BATCH_MATMUL x2", "SOFTMAX x1", "GELU x1", "RSQRT x2"):
        assert name in stayed


class Shown(nn.Module):
    """Outputs that are read on inside, one of them twice an output, and an input that is one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(4, 4, 3), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features = self.conv(x)
        scores = self.linear(features.mean((2, 3)))
        return x, features, scores, scores.softmax(-1), scores


def test_outputs_in_the_middle_keep_their_place(tmp_path: Path) -> None:
    module, x = models.seeded(Shown), torch.randn(1, 4, 8, 8)
    runner, _, _ = models.export(lambda: (module, (x,)), tmp_path / "m.tflite", INT8_STATIC)
    sample = (x.numpy(),)
    assert models.sqnr(eager(module)(sample), runner.run(sample)) > 25


def test_ranges_come_from_every_calibration_sample(tmp_path: Path) -> None:
    """A moving average would cut off what only the last sample holds."""
    module, inputs = models.changing()
    large = (np.full((2, 8), 20, np.float32),)
    program, _ = apply(captured(module, *inputs), SHARED)
    job = job_for(
        module,
        *inputs,
        target=tmp_path / "m.tflite",
        program=program,
        variant=INT8_STATIC,
        calibration=(*samples_like(8, *inputs), large),
    )
    convert(job, Recorder())
    want = eager(module)(large)
    assert models.sqnr(want, Runner(job.target).run(large)) > 30


def test_static_without_samples_is_refused(tmp_path: Path) -> None:
    job = models.job_of(models.changing, tmp_path / "m.tflite", INT8_STATIC)
    assert job.recipe
    bare = replace(job.recipe, steps=tuple(replace(s, range=None) for s in job.recipe.steps))
    for unfit in (replace(job, calibration=()), replace(job, recipe=bare)):
        with pytest.raises(FormatError, match="calibration"):
            convert(unfit, Recorder())


def test_a_model_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="weights"):
        models.export(models.crossed, tmp_path / "m.tflite", INT8_DYNAMIC)
    assert not (tmp_path / "m.tflite").exists()


def test_changed_weights_show_in_the_numbers(tmp_path: Path) -> None:
    """What the comparison with the model has to notice in a file that still loads."""
    module, inputs = models.cnn()
    sample = tuple(x.numpy() for x in inputs)
    models.export(models.cnn, path := tmp_path / "m.tflite", INT8_STATIC)
    content = bytearray(path.read_bytes())
    weights = content.find(_largest_int8_buffer(bytes(content)))
    content[weights : weights + 300] = bytes(300)
    path.write_bytes(content)
    assert models.sqnr(eager(module)(sample), Runner(path).run(sample)) < 15


def _largest_int8_buffer(content: bytes) -> bytes:
    from exporter.runtimes.tflite.flatbuffer import graphs, parse

    model = parse(content)
    tensors = [t for t in graphs(model)[0].tensors if t.dtype == "int8" and t.constant]
    return bytes(model.buffers[max(tensors, key=lambda t: t.nbytes).buffer].data)


def test_efficientnet_lite0(
    efficientnet_lite0: nn.Module,
    photo_samples: tuple[tuple[Sample, ...], tuple[Sample, ...]],
    tmp_path: Path,
) -> None:
    calibration, held_out = photo_samples
    path = tmp_path / "m.tflite"
    example = torch.from_numpy(calibration[0][0])
    program, _ = apply(captured(efficientnet_lite0, example), SHARED)
    content = b""
    run = eager(efficientnet_lite0)
    for variant in (INT8_STATIC, INT8_DYNAMIC):
        job = job_for(
            efficientnet_lite0,
            example,
            target=path,
            program=program,
            variant=variant,
            calibration=calibration,
        )
        assert job.recipe
        content = content or float_file(job)  # once: it is what takes the time
        small, computes = quantize(content, job, job.recipe)
        assert len(small) <= 0.30 * len(content)
        asked = Counter(s.compute for s in job.recipe.steps if s.macs)
        assert Counter(computes[s.node] for s in job.recipe.steps if s.macs) == asked
        path.write_bytes(sign(small, job.signature))
        with Runner(path) as runner:
            worst = min(models.sqnr(run(s), runner.run(s)) for s in held_out[::4])
        assert worst > 10
