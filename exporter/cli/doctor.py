"""`export-mobile doctor`: versions, engines, adb, what is missing and the exact fix."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer
from rich.table import Table
from rich.text import Text

from exporter.cli import console
from exporter.cli.options import JsonOption


def doctor(as_json: JsonOption = False) -> None:
    """Check this machine: versions, engines, adb; for what is missing, the exact fix."""
    from exporter.pipeline.doctor import examine

    with console.err.status("Importing the runtimes ..."):
        findings = examine()
    if as_json:
        console.print_json(json.dumps([asdict(f) for f in findings], indent=2))
    else:
        table = Table(box=None, show_header=False, padding=(0, 1))
        for finding in findings:
            mark = (
                Text("ok", "green")
                if finding.ok
                else Text(
                    "missing" if finding.needed else "absent", "red" if finding.needed else "yellow"
                )
            )
            table.add_row(mark, finding.name, finding.found)
        console.out.print(table)
        for finding in findings:
            if not finding.ok:
                console.out.print(Text(f"{finding.name}: {finding.fix}"), soft_wrap=True)
    if any(f.needed and not f.ok for f in findings):
        raise typer.Exit(1)
