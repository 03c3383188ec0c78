"""The one output sink: results on stdout, everything else on stderr."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import typer
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from exporter.base.quiet import STDERR, STDOUT, redirected, silenced
from exporter.errors import UserError

if TYPE_CHECKING:
    from exporter.manifest import Manifest

EXIT_BROKEN_PIPE = 141
"""128 + SIGPIPE, as shells report a program whose reader has gone; 1 would read as a verdict."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Ends quietly: `export-mobile ... | head` is no error."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # else Python complains when it flushes at exit
            os.dup2(nowhere, stream.fileno())
        raise SystemExit(EXIT_BROKEN_PIPE)


# Rich takes 80 columns for a pipe, and the table would lose some of its own.
out = _Console(highlight=False, width=None if sys.stdout and sys.stdout.isatty() else 100)
err = _Console(stderr=True, highlight=False)


def print_json(text: str) -> None:
    """JSON alone on stdout, byte for byte: nothing is wrapped or coloured."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        out.on_broken_pipe()


def conclude(problems: Sequence[UserError], holds: bool) -> None:
    """Says what went wrong with devices, and ends with the exit code that the results call for.

    Raises:
        typer.Exit: 2 where a device could not be used, 1 where an artifact does not hold.
    """
    for problem in problems:
        report_error(problem)
    if problems or not holds:
        raise typer.Exit(2 if problems else 1)


def report_error(error: UserError) -> None:
    """One sentence that says what is wrong, and one that says what to do."""
    err.print(Text.assemble(("error: ", "bold red"), error.message), soft_wrap=True)
    if error.hint:
        err.print(Text(f"  {error.hint}"), soft_wrap=True)


@contextmanager
def results_alone(quiet: bool) -> Iterator[None]:
    """Keeps off stdout what the model's code and native libraries print; it goes to stderr.

    Args:
        quiet: drop it, and what they print to stderr.
    """
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")  # the toolchains' own, about each other
        with silenced(STDOUT, STDERR) if quiet else redirected(STDERR, STDOUT):
            yield


class StageDisplay:
    """Progress per lane: a live line each on a terminal, a plain line a step elsewhere.

    Args:
        quiet: show nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._current: dict[str, tuple[str, float]] = {}
        self._start = time.monotonic()
        self._live: Live | None = None
        self._bugs: list[str] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(results_alone(self._quiet))
        if not self._quiet and err.is_terminal:
            self._live = Live(console=err, transient=True, refresh_per_second=8)
            self._open.enter_context(self._live)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)
        for text in self._bugs:
            err.print(Text(text), soft_wrap=True)
        if isinstance(error, KeyboardInterrupt):  # Typer ends the command with exit code 130
            err.print(Text(str(error) or "Stopped; nothing was written."))

    def begin(self, lane: str, text: str) -> None:
        """Lane `lane` now does `text`."""
        self._current[lane] = (text, time.monotonic())
        self._show(lane, text)

    def finish(self, lane: str, text: str) -> None:
        """Lane `lane` is done, with `text` as its outcome."""
        self._current.pop(lane, None)
        if self._quiet:
            return
        elapsed = time.monotonic() - self._start
        err.print(
            Text.assemble((f"{elapsed:6.1f} s  ", "dim"), (f"{lane:<12} ", "bold"), text),
            soft_wrap=True,
        )
        self._refresh()

    def bug(self, lane: str, traceback: str) -> None:
        """Lane `lane` met an unexpected exception: ours to mend, so it is shown in full."""
        self._bugs.append(f"{lane}: unexpected error, please report it\n{traceback}")

    def _show(self, lane: str, text: str) -> None:
        if self._live:
            self._refresh()
        elif not self._quiet:
            elapsed = time.monotonic() - self._start
            err.print(Text(f"{elapsed:6.1f} s  {lane:<12} {text} ..."), soft_wrap=True)

    def _refresh(self) -> None:
        if not self._live:
            return
        grid = Table.grid(padding=(0, 1))
        for lane, (text, _) in self._current.items():
            grid.add_row(Spinner("dots"), Text(f"{lane:<12}", style="bold"), Text(text))
        self._live.update(grid)


@contextmanager
def stage_display(quiet: bool) -> Iterator[StageDisplay]:
    """A `StageDisplay` for the length of a command."""
    with StageDisplay(quiet) as display:
        yield display


def show_manifest(manifest: Manifest, folder: Path | None, as_json: bool) -> None:
    """The manifest as JSON alone, or as the table."""
    if as_json:
        print_json(manifest.to_json())
        return
    from exporter.report import render_table

    out.print(render_table(manifest, folder))


def show_bench(
    manifest: Manifest,
    folder: Path | None,
    as_json: bool,
    names: Collection[str] | None = None,
    swept: bool = True,
) -> None:
    """The manifest as JSON alone, or the tables of the named devices (None: all) and the sweep."""
    if as_json:
        print_json(manifest.to_json())
        return
    from exporter.report import render_bench

    out.print(render_bench(manifest, folder, names, swept))
