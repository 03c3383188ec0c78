"""The table for the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from exporter.manifest import Manifest
from exporter.report import rows
from exporter.types import Verdict

REPORT_NAME = "report.html"

_STYLE = {Verdict.PASS: "green", Verdict.FAIL: "bold red"}


def render_table(manifest: Manifest, folder: Path | None = None) -> RenderableType:
    """Everything a user wants to see at the end of an export.

    It adapts to the width it is printed at: the least telling columns are left out where there is
    no room (and named), reasons wrap and are never cut.

    Args:
        manifest: what to show.
        folder: where the report is; None names no report.
    """
    return _Result(manifest, folder)


@dataclass(frozen=True)
class _Result:
    manifest: Manifest
    folder: Path | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        manifest = self.manifest
        table, left_out = _fitting_table(manifest, console, options)
        yield Text("")
        yield Text.assemble((manifest.name, "bold"), f": {rows.headline(manifest)}")
        yield table
        for failure in rows.failures(manifest):
            diverged = f" (first diverges at: {failure.diverged})" if failure.diverged else ""
            mark = (f"✗ {failure.label}", "bold red")
            yield Text.assemble(mark, f": {failure.reason}{diverged}")
        if warning := rows.weak_evidence(manifest):
            yield Text(warning, "yellow")
        if slower := rows.slower_than_float(manifest):
            yield Text(slower, "yellow")
        for note in manifest.notes:
            yield Text(f"note: {note}", "dim")
        yield Text(f"original model: {rows.original(manifest)}")
        yield Text(_how(manifest), "dim")
        if left_out:
            yield Text(f"no room here for: {', '.join(left_out)}", "dim")
        if self.folder:
            yield Text(f"report: {self.folder / REPORT_NAME}", overflow="fold")


def _fitting_table(
    manifest: Manifest, console: Console, options: ConsoleOptions
) -> tuple[Table, tuple[str, ...]]:
    """The table with as many columns as fit, and the titles of those that do not."""
    shown = rows.columns(manifest)
    left_out: tuple[str, ...] = ()
    while True:
        table = _table(manifest, shown)
        last = max(shown, key=lambda c: c.rank)
        needed = Measurement.get(console, options.update(width=1000), table).maximum
        if needed <= options.max_width or last.rank == 0:
            return table, left_out
        shown = tuple(c for c in shown if c is not last)
        left_out = (*left_out, last.title)


def _table(manifest: Manifest, shown: tuple[rows.Column, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in shown:
        table.add_column(
            column.title, justify="right" if column.number else "left", overflow="fold"
        )
    for row in rows.rows(manifest, shown):
        style = _STYLE[row.artifact.verdict]
        *figures, verdict = row.cells
        table.add_row(*(Text(f) for f in figures), Text(verdict, style))
    return table


def _how(manifest: Manifest) -> str:
    """Where the figures come from."""
    compared = f"outputs compared on {rows.compared_on(manifest)}"
    at = rows.measured_at(manifest)
    return f"latency: {at}; {compared}" if at else compared
