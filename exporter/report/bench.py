"""What `bench` measured, for the terminal: devices side by side, and the generations of CPUs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from exporter.manifest import DeviceResult, Manifest, Sweep
from exporter.report import devices as on
from exporter.report import findings, rows, sweep, text
from exporter.report.rows import Column
from exporter.report.table import REPORT_NAME, draw_table, fitting, needed


def render_bench(
    manifest: Manifest,
    folder: Path | None = None,
    names: Collection[str] | None = None,
    swept: bool = True,
) -> RenderableType:
    """Everything a user wants to see after `bench`.

    Devices stand side by side, each with its own columns. Where there is no room the least telling
    columns are left out (and named); where there is none for cost and verdict of each, the
    devices stand below each other.

    Args:
        manifest: what to show.
        folder: where the report is; None names no report.
        names: devices to show, such as those just measured; None shows all.
        swept: whether to show the sweep, where there is one.
    """
    shown = manifest.sweep if swept else None
    return _Bench(manifest, folder, on.named(manifest, names), shown)


@dataclass(frozen=True)
class _Bench:
    manifest: Manifest
    folder: Path | None
    devices: tuple[DeviceResult, ...]
    sweep: Sweep | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.devices:
            yield from self._measured(console, options)
        if self.sweep:
            yield from _swept(self.manifest, self.sweep, console, options)
        if self.folder:
            yield Text(f"report: {self.folder / REPORT_NAME}", overflow="fold")

    def _measured(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        manifest, devices = self.manifest, self.devices
        tables, left_out = _tables(manifest, devices, console, options)
        where = text.printable(devices[0].name) if len(devices) == 1 else f"{len(devices)} devices"
        yield Text("")
        yield Text.assemble((manifest.name, "bold"), f" on {where}: {on.headline(devices)}")
        for table in tables:
            yield Text("")
            yield table
        yield Text("")
        threads = on.several_threads(devices)
        for device in devices:
            name = text.printable(device.name)
            for failure in findings.failures(manifest, device, threads):
                mark = (f"✗ {name}: {failure.label}", "bold red")
                yield Text.assemble(mark, f": {failure.reason}")
        for device in devices:
            for warning in findings.warnings(manifest, device):
                yield Text(warning, "yellow")
        for warning in (findings.uncounted(devices), rows.weak_evidence(manifest)):
            if warning:
                yield Text(warning, "yellow")
        for device in devices:
            for note in findings.notes(manifest, device):
                yield Text(f"note: {text.printable(device.name)}: {note}", "dim")
        yield from _how(manifest, devices)
        if left_out:
            yield Text(f"no room here for: {', '.join(left_out)}", "dim")


def _how(manifest: Manifest, devices: Sequence[DeviceResult]) -> Iterator[Text]:
    """Where each figure comes from."""
    if at := rows.measured_at(manifest):
        yield Text(at.replace(", ", ": ", 1), "dim")
    for device in devices:
        about = on.in_short(device)
        line = f"{text.printable(device.name)}: {on.method(device)}"
        yield Text(f"{line} ({about})" if about else line, "dim")
    if compared := on.compared_on(devices):
        yield Text(f"outputs compared on {compared}", "dim")


def _tables(
    manifest: Manifest, devices: Sequence[DeviceResult], console: Console, options: ConsoleOptions
) -> tuple[tuple[RenderableType, ...], tuple[str, ...]]:
    """One table with all devices, or one a device, and the titles of the columns left out."""
    side, left_out, fits = _side_by_side(manifest, devices, console, options)
    if fits or len(devices) == 1:
        return (side,), left_out
    each = [_side_by_side(manifest, [device], console, options) for device in devices]
    missing = dict.fromkeys(title for _, titles, _ in each for title in titles)
    return tuple(table for table, _, _ in each), tuple(missing)


def _side_by_side(
    manifest: Manifest, devices: Sequence[DeviceResult], console: Console, options: ConsoleOptions
) -> tuple[RenderableType, tuple[str, ...], bool]:
    """A table a group of columns, all with the same rows, as wide as there is room."""
    groups, lines = on.groups(manifest, devices), on.lines(manifest, devices)
    columns = [(group, column) for group in groups for column in group.columns]

    def draw(rank: int) -> Table:
        return _grid(groups, lines, rank)

    drawing, rank, fits = fitting(draw, (c.rank for _, c in columns), console, options)
    if not fits:  # nothing is cut: cells wrap, in one table so that rows stay together
        narrow = [c for _, c in columns if c.rank <= rank]
        drawing = draw_table(narrow, lines, ", ".join(text.printable(d.name) for d in devices))
    gone = sorted((x for x in columns if x[1].rank > rank), key=lambda x: -x[1].rank)
    titles = (f"host {c.title}" if g.title == "host" else c.title for g, c in gone)
    return drawing, tuple(dict.fromkeys(titles)), fits


def _grid(groups: Sequence[on.Group], lines: Sequence[on.Line], rank: int) -> Table:
    """The groups beside each other; no cell wraps, so that their rows are at the same height."""
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    tables = []
    for group in groups:
        if shown := [column for column in group.columns if column.rank <= rank]:
            grid.add_column()
            tables.append(draw_table(shown, lines, group.title or " ", no_wrap=True))
    grid.add_row(*tables)
    return grid


def _swept(
    manifest: Manifest, found: Sweep, console: Console, options: ConsoleOptions
) -> Iterator[RenderableType]:
    """Instructions on every CPU, and where outputs differ between them."""
    yield Text("")
    yield Text.assemble((manifest.name, "bold"), ": million instructions of one inference")
    yield from _sweep_tables(manifest, found, console, options)
    for failure in sweep.failures(manifest, found):
        yield Text.assemble((f"✗ {failure.label}", "bold red"), f": {failure.reason}")
    for sentence in sweep.outputs(manifest, found):
        yield Text(sentence)
    yield Text(f"CPUs: {sweep.METHOD}; ratio: to the first CPU", "dim")


def _sweep_tables(
    manifest: Manifest, found: Sweep, console: Console, options: ConsoleOptions
) -> tuple[RenderableType, ...]:
    """A column a CPU, with ratios where there is room; on a narrow terminal fewer CPUs a table."""
    lines, cpus = sweep.lines(manifest, found), sweep.cpus(found)
    key = Column[sweep.Line]("artifact", "", lambda x: x.label, number=False)

    def drawn(places: Sequence[int], ratios: bool) -> Table:
        return draw_table([key, *(_cpu_column(cpus[p], p, ratios) for p in places)], lines)

    for size in range(len(cpus), 0, -1):
        chunks = [range(n, min(n + size, len(cpus))) for n in range(0, len(cpus), size)]
        for ratios in (True, False) if size == len(cpus) else (False,):
            tables = [drawn(chunk, ratios) for chunk in chunks]
            if size == 1 or all(needed(t, console, options) <= options.max_width for t in tables):
                return tuple(tables)
    return ()


def _cpu_column(cpu: str, place: int, ratios: bool) -> Column[sweep.Line]:
    """Figures of one CPU; its name on two lines, as it is longer than they are."""

    def figure(line: sweep.Line) -> str:
        cell = line.cells[place]
        return f"{cell.instructions} {cell.ratio}".strip() if ratios else cell.instructions

    return Column(cpu.replace("-", "\n", 1), "", figure)
