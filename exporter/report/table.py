"""The table for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from exporter.manifest import Manifest
from exporter.report import rows
from exporter.types import Verdict

REPORT_NAME = "report.html"

_STYLE: dict[str, str] = {Verdict.PASS: "green", Verdict.FAIL: "bold red"}

T = TypeVar("T")


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
        shown = rows.columns(manifest)

        def draw(rank: int) -> Table:
            return draw_table([c for c in shown if c.rank <= rank], manifest.artifacts)

        table, rank, _ = fitting(draw, (c.rank for c in shown), console, options)
        left_out = sorted((c for c in shown if c.rank > rank), key=lambda c: -c.rank)
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
        for sentence in rows.lacking(manifest):
            yield Text(sentence, "yellow")
        for note in manifest.notes:
            yield Text(f"note: {note}", "dim")
        yield Text(f"original model: {rows.original(manifest)}")
        yield Text(_how(manifest), "dim")
        if left_out:
            yield Text(f"no room here for: {', '.join(c.title for c in left_out)}", "dim")
        if self.folder:
            yield Text(f"report: {self.folder / REPORT_NAME}", overflow="fold")


def fitting(
    draw: Callable[[int], RenderableType],
    ranks: Iterable[int],
    console: Console,
    options: ConsoleOptions,
) -> tuple[RenderableType, int, bool]:
    """The fullest drawing that fits.

    Args:
        draw: makes a drawing without columns of a higher rank than the one it is given.
        ranks: of all columns.
        console: where it is printed.
        options: how wide that is.

    Returns:
        The drawing, its rank, and whether it fits: the one of rank 0 is taken as it is.
    """
    drawing, fits, rank = draw(0), False, 0
    for rank in sorted({*ranks, 0}, reverse=True):
        drawing = draw(rank)
        if fits := needed(drawing, console, options) <= options.max_width:
            break
    return drawing, rank, fits


def needed(drawing: RenderableType, console: Console, options: ConsoleOptions) -> int:
    """How wide a drawing is where there is room."""
    return Measurement.get(console, options.update(width=_WIDE), drawing).maximum


_WIDE = 10_000
"""More columns than any terminal has, so that a drawing tells what it needs."""


def draw_table(
    shown: Sequence[rows.Column[T]], items: Iterable[T], title: str = "", no_wrap: bool = False
) -> Table:
    """A table with a row an item; with `no_wrap` it is as wide as its cells and title need."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        show_edge=not title,
        header_style="bold",
        title=Text(title, "bold") if title else None,
        title_justify="left",
        min_width=cell_len(title) if no_wrap else None,
    )
    for column in shown:
        table.add_column(
            Text(column.title),
            justify="right" if column.number else "left",
            overflow="fold",
            no_wrap=no_wrap,
        )
    for item in items:
        table.add_row(*(_cell(column, item) for column in shown))
    return table


def _cell(column: rows.Column[T], item: T) -> Text:
    said = column.text(item)
    return Text(said, _STYLE.get(said, "") if column.title == rows.VERDICT else "")


def _how(manifest: Manifest) -> str:
    """Where the figures come from."""
    compared = f"outputs compared on {rows.compared_on(manifest)}"
    at = rows.measured_at(manifest)
    return f"latency: {at}; {compared}" if at else compared
