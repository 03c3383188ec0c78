"""Figures as text. What is not known is a dash, never 0."""

from __future__ import annotations

import math
from collections.abc import Sequence

from exporter.manifest import Artifact
from exporter.types import Latency, Parity

MISSING = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"

EXACT_DB = 200.0
"""From here on outputs are called exact: float64 sums of their errors resolve no more."""


def label(artifact: Artifact) -> str:
    """Such as `pte int8 dynamic`."""
    return f"{artifact.format.value} {artifact.variant}"


def where(latency: Latency) -> str:
    """Such as `host, 1 thread`."""
    return f"{latency.where.value}, {count(latency.threads, 'thread')}"


def count(number: int, noun: str) -> str:
    """Such as `1 thread`, `2 threads`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def megabytes(size: int | None) -> str:
    """Three significant digits, in millions of bytes."""
    return MISSING if size is None else significant(size / 1e6)


def millions(value: int | float | None) -> str:
    """Three significant digits, in millions."""
    return MISSING if value is None else significant(value / 1e6)


def ratio(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}"


def times(value: float) -> str:
    """Such as `0.60x`."""
    return f"{value:.2f}x"


def milliseconds(latency: Latency | None) -> str:
    """The median."""
    return MISSING if latency is None else significant(latency.p50)


def seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 100 else f"{value:.1f} s"


def significant(value: float) -> str:
    """Three significant digits without an exponent: 0.0123, 1.23, 12.3, 1234."""
    if value == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(decimals, 6)}f}"


def magnitude(value: float) -> str:
    """Two significant digits; a difference of nothing at all is 0."""
    return f"{value:.2g}"


def cosine(value: float) -> str:
    """Five decimals; only a value of 1 rounds to 1."""
    return "0.99999" if 0.99999 < value < 1 else _minus(f"{value:.5f}")


def decibel(value: float) -> str:
    """One decimal, or `exact` where no difference can be told."""
    return "exact" if value >= EXACT_DB else _minus(f"{value:.1f}")


def percent(share: float) -> str:
    """One decimal; only a share of 1 rounds to 100."""
    return f"{99.9 if 0.999 < share < 1 else 100 * share:.1f} %"


def points(change: float) -> str:
    """A change of a share in percentage points, with its sign."""
    text = _minus(f"{100 * change:+.1f}")
    return "±0.0" if text in ("+0.0", f"{_MINUS}0.0") else text


def accuracy(parity: Parity) -> str:
    """With its change in percentage points, such as `97.5 % +0.3`."""
    if parity.accuracy is None:
        return MISSING
    if parity.reference_accuracy is None:
        return percent(parity.accuracy)
    return f"{percent(parity.accuracy)} {points(parity.accuracy - parity.reference_accuracy)}"


def agreement(parity: Parity) -> str:
    return MISSING if parity.top1_agreement is None else percent(parity.top1_agreement)


def _minus(text: str) -> str:
    return text.replace("-", _MINUS)


def listed(words: Sequence[str]) -> str:
    """Such as `a, b and c`."""
    *most, last = words or [""]
    return f"{', '.join(most)} and {last}" if most else last


def printable(words: str) -> str:
    """What a device says of itself, without what would move the cursor or turn the writing."""
    return "".join(
        c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in words
    )


def shortened(words: str, length: int) -> str:
    """The beginning, with an ellipsis for the rest."""
    return words if len(words) <= length else f"{words[: length - 1]}\N{HORIZONTAL ELLIPSIS}"
