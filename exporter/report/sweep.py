"""What one inference costs on each generation of CPUs, and whether outputs are the same there."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.manifest import Manifest, Sweep, SweepRun
from exporter.report import text
from exporter.report.devices import COUNTED, EMULATED, file_label
from exporter.report.rows import Failure
from exporter.types import Instructions

METHOD = f"{EMULATED}{COUNTED}; no latency"


@dataclass(frozen=True)
class Cell:
    """One artifact on one CPU.

    Attributes:
        cpu: which.
        instructions: in millions, as text.
        ratio: to the first CPU that it runs on, such as `0.60x`; "" for that one itself.
        count: of instructions, where there is one.
    """

    cpu: str
    instructions: str
    ratio: str
    count: int | None


@dataclass(frozen=True)
class Line:
    """One artifact on every CPU, in the sweep's order."""

    label: str
    colour: str
    cells: tuple[Cell, ...]


def lines(manifest: Manifest, sweep: Sweep) -> tuple[Line, ...]:
    """One line an artifact, in the manifest's order."""
    formats = {a.file: a.format.value for a in manifest.artifacts}
    return tuple(
        Line(file_label(manifest, file), formats.get(file, ""), _cells(sweep, file))
        for file in _files(manifest, sweep)
    )


def cpus(sweep: Sweep) -> tuple[str, ...]:
    return tuple(text.printable(cpu) for cpu in sweep.cpus)


def failures(manifest: Manifest, sweep: Sweep) -> tuple[Failure, ...]:
    """The artifacts that do not run on a CPU."""
    return tuple(
        Failure(
            f"{file_label(manifest, run.file)} on {text.printable(run.cpu)}",
            text.printable(run.reason),
            "",
        )
        for run in sweep.runs
        if run.reason
    )


def outputs(manifest: Manifest, sweep: Sweep) -> tuple[str, ...]:
    """One sentence an artifact: whether its outputs are the same on every CPU."""
    return tuple(
        f"{text.printable(file)}: {_outputs(_runs(sweep, file))}"
        for file in _files(manifest, sweep)
    )


def _outputs(runs: tuple[SweepRun, ...]) -> str:
    ran = [run for run in runs if not run.reason]
    if not ran:
        return "runs on none of these CPUs"
    first, *others = ran
    compared = [(text.printable(r.cpu), r.max_abs) for r in others if r.max_abs is not None]
    if not compared:
        return "outputs were not compared" if others else "runs on one CPU only"
    different = [cpu for cpu, distance in compared if distance]
    if not different:
        return "the same on every CPU" + ("" if len(ran) == len(runs) else " that it runs on")
    most = text.magnitude(max(distance for _, distance in compared))
    names = text.listed(different)
    return f"outputs differ between CPUs: {names} by up to {most} from {text.printable(first.cpu)}"


def _cells(sweep: Sweep, file: str) -> tuple[Cell, ...]:
    by_cpu = {run.cpu: run.instructions for run in sweep.runs if run.file == file}
    first = next((cpu for cpu in sweep.cpus if by_cpu.get(cpu)), "")
    return tuple(
        _cell(cpu, by_cpu.get(cpu), None if cpu == first else by_cpu.get(first))
        for cpu in sweep.cpus
    )


def _cell(cpu: str, found: Instructions | None, first: Instructions | None) -> Cell:
    if not found:
        return Cell(text.printable(cpu), text.MISSING, "", None)
    ratio = text.times(found.median / first.median) if first and first.median else ""
    return Cell(text.printable(cpu), text.millions(found.median), ratio, found.median)


def _runs(sweep: Sweep, file: str) -> tuple[SweepRun, ...]:
    """Runs of one artifact, in the order of the CPUs."""
    order = {cpu: place for place, cpu in enumerate(sweep.cpus)}
    runs = (run for run in sweep.runs if run.file == file)
    return tuple(sorted(runs, key=lambda run: order.get(run.cpu, len(order))))


def _files(manifest: Manifest, sweep: Sweep) -> tuple[str, ...]:
    known = [a.file for a in manifest.artifacts]
    found = dict.fromkeys(run.file for run in sweep.runs)
    return tuple(sorted(found, key=lambda f: known.index(f) if f in known else len(known)))
