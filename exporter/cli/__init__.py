"""The command line: one command a file, no logic. Nothing here imports torch at start-up."""

from __future__ import annotations

import os
import re
import signal
import sys
from importlib.util import find_spec
from types import FrameType

from exporter.cli.app import COMMANDS, GROUPS, app
from exporter.cli.console import report_error
from exporter.errors import UserError, refusal

EXIT_USER_ERROR = 2


def main() -> None:
    """Entry point of `export-mobile`."""
    for standard in range(3):  # started without one, a pipe of ours would take its number
        try:
            os.fstat(standard)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, _stop)
    run(sys.argv[1:])


def run(arguments: list[str]) -> None:
    """Runs a command line: the one place where errors become exit codes."""
    if arguments and arguments[0] not in (*COMMANDS, *GROUPS, "--help", "-h", "--version"):
        arguments = ["export", *arguments]  # `export-mobile deit.pt` needs no sub-command
    try:
        _check(arguments)
        app(arguments, prog_name="export-mobile")
    except UserError as error:
        _end(error)
    except ModuleNotFoundError as error:
        package = (error.name or "exporter").partition(".")[0]
        if package in sys.modules or find_spec(package):  # there, but not this part of it: a bug
            raise
        _end(
            UserError(
                f"The Python package {package} is not installed.",
                "`export-mobile doctor` says how to mend it.",
            )
        )
    except (OSError, MemoryError) as error:
        known = refusal(error)
        if known is None:
            raise
        _end(known)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the shape of a handler)
    """Being ended is as Ctrl-C: workers are stopped and what is half made is removed."""
    raise KeyboardInterrupt


def _check(arguments: list[str]) -> None:
    """Refuses what no argument can mean."""
    for before, argument in zip(["export-mobile", *arguments], arguments, strict=False):
        if not argument or re.fullmatch(r"--[\w-]+=", argument):
            raise UserError(
                f"Nothing comes after {argument or before}: the argument is empty.",
                "Is it a shell variable that is not set?",
            )
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UserError(
                f"{argument!a} is not valid UTF-8, and could not be written to the manifest.",
                "Rename the file.",
            ) from None


def _end(error: UserError) -> None:
    report_error(error)
    sys.exit(EXIT_USER_ERROR)
