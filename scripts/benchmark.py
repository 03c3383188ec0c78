"""Times artifacts of one or more output folders side by side and prints ratios.

    python scripts/benchmark.py deit-mobile other-mobile --runs 100

All artifacts run in interleaved rounds, each in a process of its own, on one thread unless
--threads says otherwise. Ratios are to the first artifact; the spread is p10 to p90.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from exporter import data
from exporter.manifest import FILE_NAME, Manifest
from exporter.pipeline.latency import TimeFn, side_by_side
from exporter.pipeline.runner import IsolatedRunner
from exporter.types import Latency


def main(
    folders: Annotated[
        list[Path], typer.Argument(help="Output folders of export-mobile, of one model.")
    ],
    runs: Annotated[int, typer.Option(min=5, help="Runs of each artifact.")] = 100,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each runtime.")] = 1,
) -> None:
    """Times artifacts side by side on this machine."""
    timers: dict[str, TimeFn] = {}
    with ExitStack() as stack, tempfile.TemporaryDirectory() as logs:
        for folder in folders:
            manifest = Manifest.read(folder / FILE_NAME)
            for artifact in manifest.artifacts:
                if artifact.file:
                    log = Path(logs) / f"{len(timers)}.log"
                    runner = IsolatedRunner(artifact.format, folder / artifact.file, log, threads)
                    timers[f"{folder.name}: {artifact.precision} {artifact.format}"] = (
                        stack.enter_context(runner).time
                    )
        if manifest.golden is None:
            raise typer.BadParameter(f"{folders[-1]} has no golden data")
        sample = data.read_golden(folders[-1] / manifest.golden.file).samples[0]
        latencies, failed = side_by_side(timers, sample, runs, threads)
    Console().print(_table(latencies, failed, threads))


def _table(latencies: dict[str, Latency], failed: dict[str, str], threads: int) -> Table:
    table = Table(title=f"host, {threads} thread(s), interleaved")
    for heading in ("artifact", "p50 ms", "p10 - p90", "ratio", "runs"):
        table.add_column(heading, justify="left" if heading == "artifact" else "right")
    base = next(iter(latencies.values())).p50 if latencies else 1.0
    for name, latency in latencies.items():
        p10, p90 = np.percentile(latency.samples_ms, [10, 90])
        spread, ratio = f"{p10:.2f} - {p90:.2f}", f"{latency.p50 / base:.2f}"
        table.add_row(name, f"{latency.p50:.2f}", spread, ratio, str(latency.runs))
    for name, reason in failed.items():
        table.add_row(name, "-", reason, "-", "-")
    return table


if __name__ == "__main__":
    typer.run(main)
