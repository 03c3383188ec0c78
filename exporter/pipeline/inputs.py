"""Which inputs calibrate, and which ones prove."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from exporter import data
from exporter.errors import UserError
from exporter.types import Dataset, Precision, Sample, Scheme, TensorSpec, Variant

HOLD_OUT = 4
"""Without evaluation data one in so many calibration samples is kept apart to compare on."""
RANDOM_SAMPLES = 8
"""Made-up inputs show whether an artifact runs and is not grossly wrong; more prove no more."""


@dataclass(frozen=True)
class Inputs:
    """The data of one export.

    Attributes:
        calibration: samples that set activation ranges; None where there are none.
        evaluation: samples that everything is compared on.
        notes: what the user should know about the evidence.
    """

    calibration: Dataset | None
    evaluation: Dataset
    notes: tuple[str, ...] = ()


def gather(
    specs: tuple[TensorSpec, ...],
    calibration: str | None,
    evaluation: str | None,
    preprocess: data.Preprocess | None,
    limit: int,
) -> Inputs:
    """Loads the data sets and keeps evaluation apart from calibration.

    Raises:
        UserError: a data set cannot be read or does not fit the model.
    """
    calibrating = data.load_dataset(calibration, specs, preprocess, limit) if calibration else None
    if evaluation:
        evaluating = data.load_dataset(evaluation, specs, preprocess, limit)
        shared = data.overlap(evaluating, calibrating) if calibrating else 0
        total = len(evaluating.samples)
        note = f"{shared} of {total} evaluation samples are calibration samples too: not held out"
        notes = (*((note,) if shared else ()), *_limit_notes(evaluating))
        return Inputs(calibrating, evaluating, notes)
    if calibrating and len(calibrating.samples) >= HOLD_OUT:
        kept, held = _hold_out(calibrating)
        return Inputs(
            kept,
            held,
            (f"compared on {len(held.samples)} samples held out of the calibration data",),
        )
    return Inputs(calibrating, data.random_dataset(specs, RANDOM_SAMPLES, seed=0))


def variants(
    precisions: Sequence[Precision], schemes: Sequence[Scheme], calibration: Dataset | None
) -> tuple[Variant, ...]:
    """What to make in each format.

    Args:
        precisions: those asked for.
        schemes: of int8; without any, static where there is calibration data, else dynamic.
        calibration: the data, where there are any.

    Raises:
        UserError: static was asked for without calibration data.
    """
    if Scheme.STATIC in schemes and calibration is None:
        raise UserError(
            "Static int8 needs calibration data.",
            "Add --calibration DATA, or use --scheme dynamic.",
        )
    chosen = schemes or (Scheme.STATIC if calibration else Scheme.DYNAMIC,)
    found: list[Variant] = []
    for precision in precisions:
        match precision:
            case Precision.FP32 | Precision.FP16:
                found.append(Variant(precision))
            case Precision.INT8:
                found += [Variant(precision, scheme) for scheme in chosen]
            case _:
                assert_never(precision)
    return tuple(found)


def _limit_notes(evaluation: Dataset) -> tuple[str, ...]:
    """A verdict on a part of the data says so."""
    if not evaluation.left_out:
        return ()
    used = len(evaluation.samples)
    total = used + evaluation.left_out
    return (f"compared on {used} of {total} evaluation samples; --limit takes more",)


def _hold_out(dataset: Dataset) -> tuple[Dataset, Dataset]:
    """(the rest, one in `HOLD_OUT` samples)."""
    count = len(dataset.samples)
    held = data.spread(count, count // HOLD_OUT)
    return _pick(dataset, sorted(set(range(count)) - set(held))), _pick(dataset, held)


def _pick(dataset: Dataset, indices: list[int]) -> Dataset:
    samples: tuple[Sample, ...] = tuple(dataset.samples[i] for i in indices)
    labels = tuple(dataset.labels[i] for i in indices) if dataset.labels else None
    return replace(dataset, samples=samples, labels=labels)
