"""The command line: one command a file, no logic. Nothing here imports torch at start-up."""

from __future__ import annotations

import sys

from exporter.cli.app import COMMANDS, app
from exporter.cli.console import report_error
from exporter.errors import UserError

EXIT_VERDICT = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def main() -> None:
    """Entry point of `export-mobile`: the one place where errors become exit codes."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] not in (*COMMANDS, "--help", "-h", "--version"):
        arguments = ["export", *arguments]  # `export-mobile deit.pt` needs no sub-command
    try:
        app(arguments, prog_name="export-mobile")
    except UserError as error:
        report_error(error)
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:
        print("Stopped; nothing was written.", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
