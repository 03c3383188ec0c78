"""Times artifacts side by side: interleaved rounds, so that a busy moment hits all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

import numpy as np

from exporter.errors import FormatError
from exporter.types import Latency, Sample, Where

K = TypeVar("K")
TimeFn: TypeAlias = Callable[[Sample, int], list[float]]
"""Wall milliseconds of each of so many runs on a sample."""

ROUNDS = 5
WARMUP = 3
BUDGET_SECONDS = 3.0
"""Per artifact; a slow model gets fewer runs, and the table says how many."""


def side_by_side(
    timers: Mapping[K, TimeFn], sample: Sample, runs: int, threads: int
) -> tuple[dict[K, Latency], dict[K, str]]:
    """Latency of each timer, measured in `ROUNDS` interleaved rounds after a warm-up.

    Args:
        timers: what to time.
        sample: the inputs of every run.
        runs: runs of each, at least `ROUNDS`; fewer if they would exceed `BUDGET_SECONDS`.
        threads: what the timers were set to, for the record.

    Returns:
        The latency of each timer that ran to the end, and why each other one did not.
    """
    raw: dict[K, list[float]] = {key: [] for key in timers}
    share: dict[K, int] = {}
    failed: dict[K, str] = {}
    for turn in range(-1, ROUNDS):  # turn -1 is the warm-up
        for key, timer in timers.items():
            if key in failed:
                continue
            try:
                if turn < 0:
                    share[key] = _runs_per_round(min(timer(sample, WARMUP)), runs)
                else:
                    raw[key] += timer(sample, share[key])
            except FormatError as error:
                failed[key] = error.reason
    return {k: summarize(v, threads, Where.HOST) for k, v in raw.items() if k not in failed}, failed


def _runs_per_round(milliseconds: float, runs: int) -> int:
    affordable = int(BUDGET_SECONDS * 1e3 / max(milliseconds, 1e-3))
    return max(1, min(runs, affordable) // ROUNDS)


def summarize(milliseconds: list[float], threads: int, where: Where) -> Latency:
    """Percentiles of raw samples in milliseconds."""
    p50, p90, p99 = np.percentile(milliseconds, [50, 90, 99])
    return Latency(
        p50=float(p50),
        p90=float(p90),
        p99=float(p99),
        min=min(milliseconds),
        runs=len(milliseconds),
        threads=threads,
        where=where,
        samples_ms=tuple(round(x, 4) for x in milliseconds),
    )


def stopwatch(run: Callable[[Sample], object]) -> TimeFn:
    """A timer for something that runs in this process."""

    def timer(sample: Sample, runs: int) -> list[float]:
        samples = []
        for _ in range(runs):
            start = time.perf_counter()
            run(sample)
            samples.append((time.perf_counter() - start) * 1e3)
        return samples

    return timer
