"""Builds all artifacts, several at once, each in a worker process of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from exporter.base.text import last_line
from exporter.errors import FormatError
from exporter.pipeline.build import BuildJob, BuildResult, work
from exporter.pipeline.options import Progress
from exporter.pipeline.output import check_space
from exporter.pipeline.workers import Worker, WorkerBugError, wait_for_any


def build_all(
    jobs: Sequence[BuildJob], at_once: int | None, logs: Path, progress: Progress
) -> list[BuildResult]:
    """Runs every job; one that crashes costs its own artifact only.

    Args:
        jobs: what to build.
        at_once: worker processes at a time; None for one a core.
        logs: folder for what the workers print.
        progress: where they say what they are doing.

    Returns:
        One result a job, in the same order.

    Raises:
        UserError: a worker met something that no format can get round, such as a full disk.
    """
    cores = os.cpu_count() or 1
    at_once = min(at_once or cores, len(jobs)) or 1
    threads = max(1, cores // at_once)
    waiting = list(enumerate(jobs))
    running: list[Worker[int]] = []
    doing: dict[int, str] = {}
    results: dict[int, BuildResult] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                index, job = waiting.pop(0)
                doing[index] = "starting"
                progress.begin(job.lane, "starting")
                running.append(Worker.start(index, work, (job,), logs / f"{job.lane}.log", threads))
            for worker in wait_for_any(running):
                job = jobs[worker.tag]
                try:
                    message = worker.receive()
                except FormatError as error:
                    message = BuildResult(problem=f"while {doing[worker.tag]}, {error.reason}")
                except WorkerBugError as bug:
                    progress.bug(job.lane, str(bug))
                    message = BuildResult(problem=f"while {doing[worker.tag]}, {_summary(bug)}")
                if isinstance(message, str):
                    doing[worker.tag] = message
                    progress.begin(job.lane, message)
                    continue
                if message.problem:
                    check_space(logs)
                if message.parity is None:
                    job.target.unlink(missing_ok=True)  # a crash may leave half a file
                results[worker.tag] = message
                running.remove(worker)
                worker.finish()
                progress.finish(job.lane, message.problem or f"ok in {message.seconds:.1f} s")
    finally:
        for worker in running:
            worker.stop()
    return [results[i] for i in range(len(jobs))]


def _summary(bug: WorkerBugError) -> str:
    return f"export-mobile itself failed: {last_line(str(bug))}"
