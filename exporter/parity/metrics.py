"""Outputs against reference outputs: what makes them incomparable, and how far they are apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np

from exporter.errors import UserError
from exporter.parity.error import ErrorSums, Mismatch
from exporter.types import Array, Parity, Tensors, TensorSpec

_NOT_SCORES = re.compile("embed|hidden|pool|feature|state|box|coord|attention", re.IGNORECASE)
"""Names of 2-D outputs whose arg-max means nothing."""

_UNIT = 1e-4
"""How near to 1 a normalized float32 row is in length, with room for an epsilon in the division."""


def compare(
    reference: Iterable[Tensors],
    measured: Iterable[Tensors],
    labels: Sequence[int] | None = None,
    outputs: Sequence[TensorSpec] | None = None,
) -> Parity:
    """Compares the outputs of each sample with those of the original model.

    Both may be generators: one sample at a time is held in memory. Each output has its own sums
    over all samples; `cosine` and `sqnr_db` are those of the worst output, so that a good large
    output cannot hide a bad small one. See `exporter.parity.error` for the formulas.

    Args:
        reference: outputs of the original model, one entry a sample.
        measured: outputs to judge, in the same order.
        labels: class index of each sample, for the accuracies (models with one row of scores).
        outputs: names of the outputs, for messages and to find the class scores.

    Returns:
        The metrics over all samples.

    Raises:
        Mismatch: there is nothing to compare, or another number of samples or outputs, another
            shape or dtype, NaN, an Inf where the reference has none (or the reverse), or an output
            that no longer depends on the input.
        UserError: the number of labels, or a label, does not fit the model.
    """
    sums, scores, count = _sum_up(reference, measured, outputs)
    if labels is not None and len(labels) != count:
        raise UserError(f"There are {len(labels)} labels for {count} samples.")
    for output in sums:
        output.refuse_constant(count)
    agreement, accuracy, original = scores.rates(labels) if scores else (None, None, None)
    return Parity(  # numpy's max and min, unlike Python's, let a NaN through to the verdict
        samples=count,
        max_abs=float(np.max([s.max_abs for s in sums])),
        cosine=float(np.min([s.cosine for s in sums])),
        sqnr_db=float(np.min([s.sqnr_db for s in sums])),
        top1_agreement=agreement,
        accuracy=accuracy,
        reference_accuracy=original,
        worst_output=min(sums, key=lambda s: s.sqnr_db).name if len(sums) > 1 else None,
    )


def top1_output(outputs: Sequence[TensorSpec]) -> int | None:
    """Which output holds class scores: float, (batch, classes), at least two classes.

    One named `logits` wins; else the first that is not named like an embedding, a state or boxes.

    Returns:
        The position of the output, or None where no output looks like class scores.
    """
    fit = [
        i
        for i, spec in enumerate(outputs)
        if len(spec.shape) == 2 and spec.shape[1] >= 2 and spec.dtype.startswith("float")
    ]
    named = [i for i in fit if "logits" in outputs[i].name.lower()]
    plain = [i for i in fit if not _NOT_SCORES.search(outputs[i].name)]
    return next(iter(named + plain), None)


def peak(outputs: Iterable[Tensors]) -> float:
    """Largest finite magnitude in the float outputs of all samples; 0 where there is none."""
    found = 0.0
    for tensors in outputs:
        for array in map(np.asarray, tensors):
            if array.dtype.kind == "f" and array.size:
                size = np.abs(array[np.isfinite(array)])
                found = max(found, float(size.max(initial=0)))
    return found


def _sum_up(
    reference: Iterable[Tensors], measured: Iterable[Tensors], outputs: Sequence[TensorSpec] | None
) -> tuple[list[ErrorSums], _Scores | None, int]:
    """The sums of each output, the arg-max of the class scores if any, the number of samples."""
    sums: list[ErrorSums] = []
    scores: _Scores | None = None
    count = 0
    for wanted, got in zip_longest(reference, measured):
        if wanted is None or got is None:
            raise Mismatch("the number of samples differs from the original model's")
        if not sums:
            specs = outputs or _unnamed(wanted)
            sums = [ErrorSums(spec.name) for spec in specs]
            top1 = top1_output(specs)
            scores = None if top1 is None else _Scores(top1)
        if not len(wanted) == len(got) == len(sums):
            raise Mismatch(f"{len(got)} outputs, the original model gives {len(wanted)}")
        for output, want, have in zip(sums, wanted, got, strict=True):
            output.add(count, np.asarray(want), np.asarray(have))
        if scores:
            scores.add(wanted, got)
        count += 1
    if not sums:
        raise Mismatch("there are no outputs to compare")
    return sums, scores, count


@dataclass
class _Scores:
    """The arg-max of every row of class scores, or of what may yet turn out to be none.

    Rows of length 1 that go below 0 are directions, as embeddings of sentences and faces are: not
    even a softmax looks like that. Their arg-max is a near tie that means nothing.
    """

    output: int
    directions: bool = True
    wanted: list[Array] = field(default_factory=list)
    got: list[Array] = field(default_factory=list)
    classes: int = 0

    def add(self, wanted: Tensors, got: Tensors) -> None:
        self.wanted.append(np.argmax(wanted[self.output], axis=1))
        self.got.append(np.argmax(got[self.output], axis=1))
        self.classes = wanted[self.output].shape[1]
        self.directions &= _are_directions(wanted[self.output])

    def rates(
        self, labels: Sequence[int] | None
    ) -> tuple[float | None, float | None, float | None]:
        """Agreement, accuracy and the original's accuracy; accuracies need one row a sample."""
        wanted, got = np.concatenate(self.wanted), np.concatenate(self.got)
        if not len(wanted) or (self.directions and labels is None):
            return None, None, None
        agreement = float(np.mean(wanted == got))
        if labels is None or len(wanted) != len(labels):
            return agreement, None, None
        truth = np.asarray(labels)
        if truth.min() < 0 or truth.max() >= self.classes:
            odd = int(truth[(truth < 0) | (truth >= self.classes)][0])
            raise UserError(
                f"Label {odd} is not a class: the model has {self.classes}, counted from 0.",
                "Check the labels of the evaluation data.",
            )
        return agreement, float(np.mean(got == truth)), float(np.mean(wanted == truth))


def _are_directions(rows: Array) -> bool:
    lengths = np.linalg.norm(np.asarray(rows, np.float64), axis=1)
    return bool((np.abs(lengths - 1) < _UNIT).all() and (rows < 0).any())


def _unnamed(tensors: Tensors) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(f"output_{i}", np.shape(x), np.asarray(x).dtype.name)
        for i, x in enumerate(tensors)
    )
