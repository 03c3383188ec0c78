from __future__ import annotations

import numpy as np

from exporter.errors import FormatError
from exporter.pipeline.latency import ROUNDS, WARMUP, side_by_side, summarize
from exporter.types import Sample, Where

SAMPLE: Sample = (np.zeros(1, np.float32),)


def test_percentiles_are_of_the_raw_samples() -> None:
    latency = summarize([4.0, 1.0, 3.0, 2.0, 10.0], threads=2, where=Where.HOST)
    assert (latency.p50, latency.min, latency.runs, latency.threads) == (3.0, 1.0, 5, 2)
    assert latency.p90 == np.percentile([1, 2, 3, 4, 10], 90)
    assert latency.samples_ms == (4.0, 1.0, 3.0, 2.0, 10.0)


def test_rounds_are_interleaved_and_warm_up_is_apart() -> None:
    order: list[str] = []

    def timer(name: str, milliseconds: float):  # type: ignore[no-untyped-def]
        def run(sample: Sample, runs: int) -> list[float]:
            order.append(name)
            return [milliseconds] * runs

        return run

    latencies, failed = side_by_side({"a": timer("a", 1.0), "b": timer("b", 2.0)}, SAMPLE, 20, 1)
    assert order == ["a", "b"] * (ROUNDS + 1)
    assert latencies["a"].runs == 20, f"the {WARMUP} warm-up runs must not count"
    assert not failed


def test_a_slow_model_gets_fewer_runs() -> None:
    latencies, _ = side_by_side({"slow": lambda _, runs: [1000.0] * runs}, SAMPLE, 100, 1)
    assert latencies["slow"].runs == ROUNDS


def test_a_crash_while_timing_is_reported_and_others_go_on() -> None:
    def crashes(sample: Sample, runs: int) -> list[float]:
        raise FormatError("killed by SIGSEGV")

    latencies, failed = side_by_side({"bad": crashes, "good": lambda _, n: [1.0] * n}, SAMPLE, 5, 1)
    assert set(latencies) == {"good"}
    assert failed == {"bad": "killed by SIGSEGV"}
