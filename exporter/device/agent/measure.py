"""Runs the samples, and times."""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .engine import Array, Engine
from .job import Job, JobError, Spec
from .samples import Samples

BEGIN, END = 0x45580001, 0x45580002
"""What a counting emulator looks for as the argument of the system call sched_get_priority_max."""


def every_sample(
    engine: Engine, job: Job, samples: Samples
) -> tuple[dict[str, Array], float, tuple[Array, ...]]:
    """Outputs stacked over all samples, milliseconds of the first run, and the first sample."""
    progress = Progress("sample", samples.count, job.marks)
    stacks = [np.empty((samples.count, *s.shape), s.dtype) for s in job.outputs]
    first, cold_ms = None, 0.0
    for number, sample in enumerate(samples):
        inputs = engine.feed(sample)
        start = time.perf_counter_ns()
        raw = engine.invoke(inputs)
        if first is None:
            first, cold_ms = sample, milliseconds_since(start)
        outputs = engine.collect(raw)
        _check(outputs, job.outputs)
        for stack, array in zip(stacks, outputs, strict=True):
            stack[number] = array
        progress.tell(number + 1)
    if first is None:
        raise ValueError("Samples lets no file without samples pass")
    return {f"output/{i}": stack for i, stack in enumerate(stacks)}, cold_ms, first


def _check(outputs: Sequence[Array], specs: Sequence[Spec]) -> None:
    if len(outputs) != len(specs):
        raise JobError(f"the artifact gives {len(outputs)} outputs, the model {len(specs)}")
    for array, spec in zip(outputs, specs, strict=True):
        if array.dtype.name != spec.dtype or array.shape != spec.shape:
            found = f"{array.dtype} {list(array.shape)}"
            raise JobError(f"output {spec.name} of the artifact is {found}, the model's is {spec}")


def timed(engine: Engine, job: Job, sample: tuple[Array, ...]) -> list[float]:
    """Milliseconds of each timed run, after the warm-up."""
    invoke = _marked(engine.invoke) if job.marks else engine.invoke
    progress = Progress("run", job.runs, job.marks)
    gc.disable()
    for _ in range(job.warmup):
        engine.invoke(engine.feed(sample))
    samples_ms = []
    for number in range(job.runs):
        inputs = engine.feed(sample)
        start = time.perf_counter_ns()
        outputs = invoke(inputs)
        samples_ms.append(milliseconds_since(start))
        del outputs  # before the next ones are made
        progress.tell(number + 1)
    return samples_ms


def _marked(invoke: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def marked(inputs: Any) -> Any:
        _mark(BEGIN)
        outputs = invoke(inputs)
        _mark(END)
        return outputs

    return marked


def _mark(number: int) -> None:
    """A system call that changes nothing: there is no such scheduling policy."""
    try:  # noqa: SIM105 (`suppress` would be counted with the inference)
        os.sched_get_priority_max(number)
    except OSError:
        pass


def milliseconds_since(start: int) -> float:
    return (time.perf_counter_ns() - start) / 1e6


class Progress:
    """Says how far it is, about once a second; never where instructions are counted, as lines that
    come by the clock would disturb the allocator, and so the count.
    """

    def __init__(self, what: str, total: int, silent: bool) -> None:
        self._what, self._total = what, total
        self._next = math.inf if silent else time.monotonic() + 1

    def tell(self, number: int) -> None:
        """`run 10/50`, if it is time."""
        if time.monotonic() >= self._next:
            print(f"{self._what} {number}/{self._total}", flush=True)
            self._next = time.monotonic() + 1
