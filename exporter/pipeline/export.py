"""The main job: one model in; artifacts, manifest, report and golden data out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from exporter import data
from exporter.errors import FormatError, UserError
from exporter.manifest import FILE_NAME, Manifest
from exporter.pipeline import prepare, record
from exporter.pipeline.build import BuildJob, BuildResult
from exporter.pipeline.latency import TimeFn, side_by_side, stopwatch
from exporter.pipeline.options import ExportOptions, Progress, check
from exporter.pipeline.output import aside, move_into_place
from exporter.pipeline.plan import jobs, recipe_files
from exporter.pipeline.pool import build_all
from exporter.pipeline.prepare import Reference, Subject
from exporter.pipeline.record import GOLDEN
from exporter.pipeline.runner import IsolatedRunner
from exporter.types import Latency


def export(options: ExportOptions, progress: Progress) -> tuple[Manifest, Path]:
    """Makes and proves every artifact that was asked for.

    Returns:
        The manifest, and the folder with everything in it.

    Raises:
        UserError: nothing was done, for a reason that the user can mend.
    """
    started = time.perf_counter()
    check(options)
    subject = prepare.load(options, progress)
    output = options.output or Path(f"{subject.name}-mobile")
    with aside(output) as scratch:
        subject = prepare.stored(subject, scratch)
        reference = prepare.refer(subject, scratch, progress)
        captured = prepare.capture(subject, reference, scratch, progress)
        todo = jobs(subject, reference, captured, scratch)
        built = dict(zip(todo, build_all(todo, options.jobs, scratch, progress), strict=True))
        progress.begin("model", "timing side by side")
        original, built = _time(subject, reference, built, scratch)
        progress.begin("model", "writing the report")
        for name, recipe in recipe_files(subject, captured).items():
            (scratch / name).write_text(recipe.to_json() + "\n", encoding="utf-8")
        golden = reference.evidence.golden
        data.write_golden(
            scratch / GOLDEN,
            golden.samples,
            golden.reference,
            golden.labels,
            subject.original.signature,
        )
        seconds = time.perf_counter() - started
        manifest = record.manifest(subject, reference, captured, built, original, scratch, seconds)
        _publish(manifest, scratch, output)
    progress.finish("model", "done")
    return manifest, output


def _time(
    subject: Subject, reference: Reference, built: Mapping[BuildJob, BuildResult], scratch: Path
) -> tuple[Latency | None, dict[BuildJob, BuildResult]]:
    """Times the original beside every artifact that runs, each in a process of its own.

    Returns:
        The original's latency, and the results with theirs; a crash becomes the problem.
    """
    import torch

    threads = subject.options.threads
    timers: dict[BuildJob | None, TimeFn] = {None: stopwatch(subject.original.run)}
    failed: dict[BuildJob | None, str] = {}
    torch.set_num_threads(threads)
    with ExitStack() as stack:
        for job in (j for j, result in built.items() if result.parity):
            runner = IsolatedRunner(
                job.format, job.target, scratch / f"{job.lane}.timing.log", threads
            )
            try:
                timers[job] = stack.enter_context(runner).time
            except FormatError as error:
                failed[job] = error.reason
        latencies, crashed = side_by_side(
            timers, reference.evidence.samples[0], subject.options.runs, threads
        )
    failed |= crashed
    timed = {
        job: replace(
            result,
            latency=latencies.get(job),
            problem=result.problem or (f"while timing, {failed[job]}" if job in failed else None),
        )
        for job, result in built.items()
    }
    return latencies.get(None), timed


def _publish(manifest: Manifest, scratch: Path, output: Path) -> None:
    """Moves everything into `output`, the manifest last: with it the folder is whole."""
    from exporter.report import REPORT_NAME, render_html

    manifest.write(scratch / FILE_NAME)
    (scratch / REPORT_NAME).write_text(render_html(manifest), encoding="utf-8")
    names = [*sorted(_files(manifest)), GOLDEN, REPORT_NAME, FILE_NAME]
    move_into_place(scratch, output, names, lambda: _last_files(output))


def _last_files(output: Path) -> set[str]:
    """What an earlier export wrote into this folder."""
    try:
        return _files(Manifest.read(output / FILE_NAME))
    except UserError:
        return set()


def _files(manifest: Manifest) -> set[str]:
    """Every file of every artifact, and the recipes."""
    made = {a.file for a in manifest.artifacts if a.file}
    return made.union(manifest.capture.recipes, *(a.sidecars for a in manifest.artifacts))
