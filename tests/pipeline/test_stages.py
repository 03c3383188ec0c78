"""Each stage is compared with the original; the first that strays is named."""

from __future__ import annotations

import numpy as np
import pytest

from exporter import types
from exporter.errors import FormatError
from exporter.parity import default_tolerance
from exporter.pipeline import stages
from exporter.pipeline.stages import GOLDEN_SAMPLES, STAGE_SAMPLES, Evidence, StageLog
from exporter.types import Dataset, RunFn, Sample, Stage, Tensors, TensorSpec

RNG = np.random.default_rng(0)
SAMPLES: tuple[Sample, ...] = tuple(
    (RNG.standard_normal((1, 8)).astype(np.float32),) for _ in range(STAGE_SAMPLES + 36)
)
OUTPUTS = (TensorSpec("logits", (1, 8), "float32"),)


def original(sample: Sample) -> Tensors:
    return (sample[0] * 2,)


def noisy(share: float) -> RunFn:
    return lambda sample: (sample[0] * np.float32(2 + share),)


def unlike(change: object) -> RunFn:
    def run(sample: Sample) -> Tensors:
        if isinstance(change, Exception):
            raise change
        (out,) = original(sample)
        return {"nan": (out * np.nan,), "dtype": (out.astype(np.float64),), "more": (out, out)}[
            str(change)
        ]

    return run


@pytest.fixture
def log() -> StageLog:
    evidence = Evidence.of(
        tuple(map(original, SAMPLES)), Dataset(SAMPLES, origin="samples"), OUTPUTS
    )
    int8 = default_tolerance(types.INT8_STATIC)
    return StageLog(evidence, int8, default_tolerance(types.FP32), lambda _: None)


def test_float_stages_are_held_to_float_bounds_and_int8_ones_to_theirs(log: StageLog) -> None:
    for stage in (Stage.CAPTURED, Stage.PASSES):
        assert log.check(stage, noisy(0.1)).problem, stage  # 26 dB
    for stage in (Stage.QUANTIZED, Stage.ARTIFACT):
        assert log.check(stage, noisy(0.1)).problem is None, stage
    assert log.diverged is not None
    assert log.diverged.stage is Stage.CAPTURED


def test_the_first_stage_that_strays_is_named(log: StageLog) -> None:
    log.check(Stage.PASSES, original)
    log.check(Stage.QUANTIZED, noisy(-2.0))
    log.check(Stage.ARTIFACT, noisy(-2.0))
    assert log.diverged is not None
    assert log.diverged.stage is Stage.QUANTIZED


@pytest.mark.parametrize("change", ["nan", "dtype", "more", FormatError("no kernel")])
def test_outputs_that_cannot_be_compared_are_a_problem(log: StageLog, change: object) -> None:
    result = log.check(Stage.ARTIFACT, unlike(change))
    assert result.problem
    assert result.parity is None


def test_the_artifact_is_compared_on_every_sample(log: StageLog) -> None:
    def wrong_on_one(sample: Sample) -> Tensors:
        return (original(sample)[0] * (np.nan if sample[0] is SAMPLES[-1][0] else 1),)

    early, last = log.check(Stage.PASSES, original), log.check(Stage.ARTIFACT, original)
    assert early.parity is not None
    assert last.parity is not None
    assert (early.parity.samples, last.parity.samples) == (STAGE_SAMPLES, len(SAMPLES))
    assert log.check(Stage.ARTIFACT, wrong_on_one).problem


def test_golden_samples_are_spread_and_stay_within_their_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = tuple(range(len(SAMPLES)))
    evidence = Evidence.of(tuple(map(original, SAMPLES)), Dataset(SAMPLES, labels), OUTPUTS)
    assert len(evidence.golden.samples) == GOLDEN_SAMPLES
    each = 2 * 8 * 4
    monkeypatch.setattr(stages, "GOLDEN_BYTES", 5 * each)
    golden = evidence.golden
    assert len(golden.samples) == len(golden.reference) == 5
    assert max(golden.labels or ()) >= 0.75 * len(SAMPLES)
    assert all(s is SAMPLES[i] for s, i in zip(golden.samples, golden.labels or (), strict=True))
    monkeypatch.setattr(stages, "GOLDEN_BYTES", 1)
    assert len(evidence.golden.samples) == 1
