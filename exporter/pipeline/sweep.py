"""Counts every artifact on several generations of CPUs and compares their outputs."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from exporter.device.bundle import layers
from exporter.device.emulator import counter
from exporter.errors import FormatError
from exporter.manifest import Artifact, SweepRun
from exporter.pipeline.count import Counting
from exporter.pipeline.exported import Exported
from exporter.pipeline.measure import Finished
from exporter.types import Instructions, Tensors


def work(
    connection: Connection,
    folder: Path,
    artifacts: Sequence[Artifact],
    cpus: Sequence[str],
    samples: int | None,
    scratch: Path,
) -> None:
    """Sends progress texts, a `SweepRun` for each artifact on each CPU, and `Finished`.

    Args:
        connection: to the parent.
        folder: output folder with the artifacts.
        artifacts: which of them, with a file each.
        cpus: as qemu names them.
        samples: at most so many golden samples are compared; None for all.
        scratch: folder for all that is only needed meanwhile; the parent removes it, as this
            process may be ended at any moment, and what it runs with it.
    """
    os.setpgid(0, 0)  # Ctrl-C is the parent's to hear
    tempfile.tempdir = str(scratch)
    started = time.monotonic()
    _sweep(connection, Exported.read(folder).first(samples, scratch), artifacts, cpus)
    connection.send(Finished(time.monotonic() - started))


def _sweep(
    connection: Connection, exported: Exported, artifacts: Sequence[Artifact], cpus: Sequence[str]
) -> None:
    bundle = layers(dict.fromkeys(a.format for a in artifacts), connection.send)
    counting = Counting(exported, bundle, counter.prepare(connection.send))
    # Others at work on this machine do not change a count, so all cores count at once.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for position, artifact in enumerate(artifacts):
            connection.send(f"{artifact.file}: {position + 1} of {len(artifacts)} artifacts")
            for run in _across(counting, artifact, cpus, pool):
                connection.send(run)


def _across(
    counting: Counting, artifact: Artifact, cpus: Sequence[str], pool: ThreadPoolExecutor
) -> list[SweepRun]:
    """One artifact on each CPU; outputs are compared with those of the first that runs it."""

    def count(cpu: str) -> tuple[Instructions, list[Tensors]] | FormatError:
        try:
            return counting.count(artifact, cpu)
        except FormatError as error:
            return error

    file = str(artifact.file)
    if damage := counting.exported.damage(artifact):
        return [SweepRun(file=file, cpu=cpu, reason=damage) for cpu in cpus]
    counted = list(pool.map(count, cpus))
    first = next((c[1] for c in counted if not isinstance(c, FormatError)), None)
    runs = []
    for cpu, outcome in zip(cpus, counted, strict=True):
        if isinstance(outcome, FormatError) or first is None:
            runs.append(SweepRun(file=file, cpu=cpu, reason=str(outcome)))
            continue
        instructions, outputs = outcome
        difference = _difference(first, outputs)
        if difference is None:
            reason = "its outputs are NaN or infinite there"
            runs.append(SweepRun(file=file, cpu=cpu, instructions=instructions, reason=reason))
        else:
            runs.append(SweepRun(file=file, cpu=cpu, instructions=instructions, max_abs=difference))
    return runs


def _difference(one: Sequence[Tensors], other: Sequence[Tensors]) -> float | None:
    """Largest difference of any element; None where it is no number."""
    found = 0.0
    for left, right in zip(one, other, strict=True):
        for a, b in zip(left, right, strict=True):
            if a.size:
                with np.errstate(invalid="ignore"):
                    gap = np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))
                found = float(np.maximum(found, np.where(a == b, 0.0, gap).max()))
    return found if np.isfinite(found) else None
