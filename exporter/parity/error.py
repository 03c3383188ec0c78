"""The error of one output, summed over samples in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from exporter.types import Array

SQNR_CAP_DB = 200.0
"""Stands for "identical": beyond what float64 sums resolve, and JSON has no infinity. The negative
stands for noise without any signal."""

VARIES_DB = 40.0
"""An output that became constant is a fault once its error exceeds 1 % of the signal (40 dB);
below that the original hardly varies either, and a rounded output may well stand still."""


class Mismatch(Exception):  # noqa: N818 -- a finding about an artifact, not an error of ours
    """Outputs that cannot be compared at all: wrong whatever the tolerance."""


@dataclass
class ErrorSums:
    """Sums over all samples of one output, from which its metrics follow.

    With r the reference and x the measured elements:

    - `max_abs` = max |r - x|
    - `cosine` = sum(r x) / sqrt(sum(r^2) sum(x^2)); 1 if both are zero, 0 if only one is.
    - `sqnr_db` = 10 log10(sum(r^2) / sum((r - x)^2)), within +-`SQNR_CAP_DB`. A reference that is
      zero everywhere gives the upper cap if x is zero too, else the lower.

    Integers and booleans carry meaning rather than magnitude (999 is no good answer for class 998):
    there an element counts as signal 1, and as noise 1 when it is not equal. 10 dB then means that
    one in ten differs.
    """

    name: str
    max_abs: float = 0.0
    signal: float = 0.0
    noise: float = 0.0
    power: float = 0.0
    dot: float = 0.0
    _first: tuple[Array, Array] | None = None
    _reference_varies: bool = False
    _measured_varies: bool = False

    def add(self, index: int, reference: Array, measured: Array) -> None:
        """Adds one sample.

        Raises:
            Mismatch: the two have another shape or dtype, or differ in NaN or Inf.
        """
        where = f"output {self.name}, sample {index}"
        if reference.shape != measured.shape:
            raise Mismatch(f"{where}: shape {measured.shape}, the original's is {reference.shape}")
        if reference.dtype != measured.dtype:
            raise Mismatch(f"{where}: dtype {measured.dtype}, the original's is {reference.dtype}")
        if reference.dtype.kind in "fc":
            self._watch(reference, measured)
            ref, got = _as_float64(reference), _as_float64(measured)
            finite = _comparable(where, ref, got)
            ref, got = ref[finite], got[finite]
            difference = np.abs(ref - got)
        else:
            difference = np.abs(_as_float64(reference) - _as_float64(measured))
            got = (reference == measured).astype(np.float64).ravel()
            ref = np.ones_like(got)
        error = ref - got
        self.max_abs = float(np.max(difference, initial=self.max_abs))
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # ends as Inf or NaN, which the verdict refuses
            self.signal += float(ref @ ref)
            self.power += float(got @ got)
            self.dot += float(ref @ got)
            self.noise += float(error @ error)

    def refuse_constant(self, samples: int) -> None:
        """Refuses a float output that stands still while the original's follows the input.

        A large constant offset can make the SQNR of such an output look good.

        Raises:
            Mismatch: it does.
        """
        if self._reference_varies and not self._measured_varies and self.sqnr_db < VARIES_DB:
            raise Mismatch(
                f"output {self.name} is the same for all {samples} samples, the original's is not"
            )

    @property
    def cosine(self) -> float:
        if self.signal == 0 or self.power == 0:
            return 1.0 if self.signal == self.power else 0.0
        return self.dot / (math.sqrt(self.signal) * math.sqrt(self.power))

    @property
    def sqnr_db(self) -> float:
        if self.noise == 0:
            return SQNR_CAP_DB
        if self.signal == 0:
            return -SQNR_CAP_DB
        if not math.isfinite(self.signal) or not math.isfinite(self.noise):
            return math.nan
        decibel = 10 * (math.log10(self.signal) - math.log10(self.noise))
        return min(SQNR_CAP_DB, max(-SQNR_CAP_DB, decibel))

    def _watch(self, reference: Array, measured: Array) -> None:
        if self._first is None:
            self._first = (reference.copy(), measured.copy())
            return
        first_reference, first_measured = self._first
        self._reference_varies |= not np.array_equal(first_reference, reference)
        self._measured_varies |= not np.array_equal(first_measured, measured)


def _as_float64(array: Array) -> Array:
    """Flat float64 elements; real and imaginary parts side by side where there are any."""
    if array.dtype.kind == "c":
        return np.atleast_1d(array.astype(np.complex128)).ravel().view(np.float64)
    return array.astype(np.float64).ravel()


def _comparable(where: str, reference: Array, measured: Array) -> Array:
    """Which elements are finite in both; a mask's -inf is fine where both have it."""
    if np.isnan(reference).any():
        raise Mismatch(
            f"{where}: the original model itself gives NaN, which nothing can be compared with"
        )
    if bad := int(np.isnan(measured).sum()):
        raise Mismatch(f"{where}: NaN in {bad} of {measured.size} elements")
    infinite = np.isinf(reference) | np.isinf(measured)
    if odd := int((infinite & (reference != measured)).sum()):
        raise Mismatch(
            f"{where}: {odd} of {measured.size} elements are infinite in one but not in the other"
        )
    return ~infinite
