"""What the page shows of devices, ready for `devices.html.j2`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.manifest import DeviceResult, DeviceRun, Facts, Manifest
from exporter.report import devices as on
from exporter.report import findings, sweep, text
from exporter.report.charts import Chart
from exporter.report.device_charts import device_charts, sweep_charts
from exporter.report.rows import Column, Failure
from exporter.types import Verdict, Where

OVERVIEW_RANK = 3
"""Columns up to this rank are in the table that compares devices."""


@dataclass(frozen=True)
class Heading:
    """Of one column; `meaning` is a sentence."""

    title: str
    meaning: str
    number: bool


@dataclass(frozen=True)
class Row:
    """One artifact: its label, its format as the style sheet's colour, and a cell a column."""

    label: str
    colour: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class DevicePart:
    """Everything about one device.

    Attributes:
        name: as the user named it.
        where: `device` or `emulated`.
        verdict: of all its runs, as the style sheet's name of it.
        headline: the outcome in a few words.
        measured: when.
        method: where and how its figures were taken.
        facts: what the device says of itself.
        options: how it was run.
        headings: of its table.
        rows: of its table.
        failures: what does not hold there.
        warnings: what else the user should see.
        notes: and know.
    """

    name: str
    where: str
    verdict: str
    headline: str
    measured: str
    method: str
    facts: tuple[tuple[str, str], ...]
    options: Facts
    headings: tuple[Heading, ...]
    rows: tuple[Row, ...]
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """All devices side by side.

    Attributes:
        groups: heading of each group of columns, and how many columns it spans.
        headings: of the columns.
        rows: one an artifact and number of threads.
    """

    groups: tuple[tuple[str, int], ...]
    headings: tuple[Heading, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class SweepPart:
    """The generations of CPUs."""

    cpus: tuple[str, ...]
    lines: tuple[sweep.Line, ...]
    outputs: tuple[str, ...]
    failures: tuple[Failure, ...]
    charts: tuple[Chart, ...]
    method: str


@dataclass(frozen=True)
class DevicesPage:
    """Both sections of the page.

    Attributes:
        parts: one a device.
        overview: where there are several devices.
        charts: of the devices.
        sweep: where CPUs were swept.
        meanings: what each column of the devices' tables says, by title.
        compared_on: what outputs were compared on.
    """

    parts: tuple[DevicePart, ...]
    overview: Overview | None
    charts: tuple[Chart, ...]
    sweep: SweepPart | None
    meanings: tuple[tuple[str, str], ...]
    compared_on: str


def devices_page(manifest: Manifest) -> DevicesPage | None:
    """None where nothing was measured on any device."""
    devices = manifest.devices
    if not devices and not manifest.sweep:
        return None
    meanings = {column.title: column.meaning for d in devices for column in on.columns(d)}
    return DevicesPage(
        parts=tuple(_part(manifest, device) for device in devices),
        overview=_overview(manifest, devices) if len(devices) > 1 else None,
        charts=device_charts(manifest),
        sweep=_sweep(manifest),
        meanings=tuple(meanings.items()),
        compared_on=on.compared_on(devices),
    )


def _part(manifest: Manifest, device: DeviceResult) -> DevicePart:
    shown = on.columns(device)
    threads = on.several_threads([device])
    failures = findings.failures(manifest, device)
    warnings = (*findings.warnings(manifest, device), findings.uncounted([device]))
    return DevicePart(
        name=text.printable(device.name),
        where=(Where.EMULATED if on.is_emulated(device) else Where.DEVICE).value,
        verdict=(Verdict.FAIL if failures or not device.runs else Verdict.PASS).value,
        headline=on.headline([device]),
        measured=f"{device.measured:%Y-%m-%d %H:%M %Z}",
        method=on.method(device),
        facts=_facts(device),
        options=device.options,
        headings=tuple(_heading(c) for c in shown),
        rows=tuple(
            Row(
                on.label(manifest, run, threads),
                _colour(manifest, run.file),
                tuple(c.text(run) for c in shown),
            )
            for run in device.runs
        ),
        failures=failures,
        warnings=tuple(w for w in warnings if w),
        notes=findings.notes(manifest, device),
    )


def _facts(device: DeviceResult) -> tuple[tuple[str, str], ...]:
    """What the device says of itself, as (label, value)."""
    about = device.facts
    known = (
        ("serial", about.serial if about.serial != device.name else ""),
        ("model", about.model),
        ("system", about.system),
        ("ABI", about.abi),
        ("CPU", f"{about.cpu} ({text.count(about.cores, 'core')})"),
        ("features", ", ".join(about.features) or "none of those that matter here"),
        ("memory", f"{text.megabytes(about.memory_bytes)} MB" if about.memory_bytes else ""),
        ("free storage", f"{text.megabytes(about.free_bytes)} MB" if about.free_bytes else ""),
        ("battery", "" if on.is_emulated(device) else _battery(device)),
        ("runtimes", ", ".join(dict.fromkeys(r.runtime for r in device.runs if r.runtime))),
    )
    return tuple((name, text.printable(value)) for name, value in known if value)


def _battery(device: DeviceResult) -> str:
    """Such as `81 → 74 %, charging`, over all runs; "" where it is not readable."""
    states = [s for r in device.runs for s in (r.before, r.after) if s]
    charge = on.change([s.battery_percent for s in (states[:1] + states[-1:])])
    if charge == text.MISSING:
        return ""
    return f"{charge} %, {'' if any(s.charging for s in states) else 'not '}charging"


def _overview(manifest: Manifest, devices: Sequence[DeviceResult]) -> Overview:
    _, *groups = on.groups(manifest, devices)
    told = [(g, [c for c in g.columns if c.rank <= OVERVIEW_RANK]) for g in groups]
    threads = on.several_threads(devices)
    columns = [column for _, shown in told for column in shown]

    def row(line: on.Line) -> Row:
        name = on.file_label(manifest, line.file)
        label = f"{name}, {text.count(line.threads, 'thread')}" if threads else name
        cells = tuple(column.text(line) for column in columns)
        return Row(label, _colour(manifest, line.file), cells)

    return Overview(
        groups=tuple((group.title, len(shown)) for group, shown in told if shown),
        headings=tuple(_heading(column) for column in columns),
        rows=tuple(row(line) for line in on.lines(manifest, devices)),
    )


def _sweep(manifest: Manifest) -> SweepPart | None:
    if not (found := manifest.sweep):
        return None
    return SweepPart(
        cpus=sweep.cpus(found),
        lines=sweep.lines(manifest, found),
        outputs=sweep.outputs(manifest, found),
        failures=sweep.failures(manifest, found),
        charts=sweep_charts(manifest, found),
        method=sweep.METHOD,
    )


def _heading(column: Column[on.Line] | Column[DeviceRun]) -> Heading:
    return Heading(column.title, column.meaning, column.number)


def _colour(manifest: Manifest, file: str) -> str:
    artifact = on.artifact_of(manifest, file)
    return artifact.format.value if artifact else ""
