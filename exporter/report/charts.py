"""The plots of the page: where each bar ends, as a share of the width. The template draws them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from exporter.manifest import Artifact, Manifest
from exporter.report import text
from exporter.types import Verdict

Scale: TypeAlias = Callable[[float], float]
"""A figure -> its place on the axis, 0 to 1."""

LOG_SPREAD = 30.0
"""Bars of figures further apart than this are drawn on a log scale: the small ones would vanish."""


@dataclass(frozen=True)
class Bar:
    """One artifact; places are shares of the width, 0 to 1.

    Attributes:
        label: which artifact.
        colour: its format, which the style sheet gives a colour.
        value: the figure as text.
        failed: whether the artifact does not hold.
        end: where the bar ends; None where there is no figure.
        spread: where the line of the spread starts and ends.
        tick: where the figure to compare with is.
    """

    label: str
    colour: str
    value: str
    failed: bool
    end: float | None = None
    spread: tuple[float, float] | None = None
    tick: float | None = None


@dataclass(frozen=True)
class Chart:
    """Bars with what their ticks and lines mean.

    Attributes:
        title: what is shown, with the unit.
        better: which way is good.
        legend: what a tick, and a line, is; "" where there is none.
        bars: in the manifest's order.
    """

    title: str
    better: str
    legend: tuple[str, ...]
    bars: tuple[Bar, ...]


def charts(manifest: Manifest) -> tuple[Chart, ...]:
    """Size, latency and error of every artifact."""
    return _size(manifest), _latency(manifest), _error(manifest)


def _size(manifest: Manifest) -> Chart:
    full = manifest.source.reference_bytes
    place, note = scale([full, *(a.bytes for a in manifest.artifacts if a.bytes)])
    bars = tuple(
        _bar(a, f"{text.megabytes(a.bytes)} MB", place(a.bytes), tick=place(full) if full else None)
        if a.bytes
        else _bar(a, text.MISSING)
        for a in manifest.artifacts
    )
    tick = (f"tick: the model's weights in float, {text.megabytes(full)} MB",) if full else ()
    return Chart("Size, MB", "shorter is better", (*tick, *note), bars)


def _latency(manifest: Manifest) -> Chart:
    eager = manifest.reference_latency_ms
    timed = [t for t in (eager, *(a.latency_ms for a in manifest.artifacts)) if t]
    place, note = scale([x for t in timed for x in (t.min, t.p90)])

    def bar(artifact: Artifact) -> Bar:
        if not (found := artifact.latency_ms):
            return _bar(artifact, text.MISSING)
        value = f"{text.milliseconds(found)} ms"
        spread = (place(found.min), place(found.p90))
        return _bar(artifact, value, place(found.p50), spread, place(eager.p50) if eager else None)

    line = ("bar: median; line: fastest to 90th percentile",) if timed else ()
    tick = (f"tick: the original in eager PyTorch, {text.milliseconds(eager)} ms",) if eager else ()
    bars = tuple(bar(a) for a in manifest.artifacts)
    return Chart("Latency, ms", "shorter is better", (*line, *tick, *note), bars)


def _error(manifest: Manifest) -> Chart:
    """dB are logarithmic already; `exact` fills the width, a little beyond the best figure."""
    bounds = [_min_sqnr(a) or 0.0 for a in manifest.artifacts]
    finite = [a.parity.sqnr_db for a in manifest.artifacts if a.parity]
    top = 1.1 * max((x for x in [*finite, *bounds, 40.0] if x < text.EXACT_DB), default=40.0)

    def place(decibel: float) -> float:
        return min(1.0, max(0.0, decibel / top))

    def bar(artifact: Artifact) -> Bar:
        bound = _min_sqnr(artifact)
        tick = None if bound is None else place(bound)
        if not artifact.parity:
            return _bar(artifact, text.MISSING, tick=tick)
        found = artifact.parity.sqnr_db
        value = text.decibel(found) + (" dB" if found < text.EXACT_DB else "")
        return _bar(artifact, value, place(found), tick=tick)

    legend = ("tick: the least that passes",) if any(bounds) else ()
    title = "Signal to error, dB"
    return Chart(title, "longer is better", legend, tuple(bar(a) for a in manifest.artifacts))


def _bar(
    artifact: Artifact,
    value: str,
    end: float | None = None,
    spread: tuple[float, float] | None = None,
    tick: float | None = None,
) -> Bar:
    failed = artifact.verdict is Verdict.FAIL
    return Bar(text.label(artifact), artifact.format.value, value, failed, end, spread, tick)


def _min_sqnr(artifact: Artifact) -> float | None:
    bound = artifact.tolerance.get("min_sqnr_db")
    return float(bound) if isinstance(bound, int | float) else None


def scale(values: Iterable[float]) -> tuple[Scale, tuple[str, ...]]:
    """A scale from 0, or a log scale from half the smallest, and a note that says so."""
    positive = [v for v in values if v > 0] or [1.0]
    low, high = min(positive) / 2, max(positive)
    if high / low <= 2 * LOG_SPREAD:
        return lambda v: v / high, ()
    span = math.log(high / low)
    return lambda v: math.log(max(v, low) / low) / span, ("log scale",)
