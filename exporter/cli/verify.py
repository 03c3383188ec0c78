"""`export-mobile verify DIR`: re-checks an output folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exporter.cli import console
from exporter.cli import options as opt
from exporter.types import Verdict


def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="An output folder of export-mobile.")
    ],
    as_json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
) -> None:
    """Re-check an output folder from its manifest and golden data; detects a changed file."""
    with console.stage_display(quiet) as display:
        from exporter.pipeline.verify import verify as recheck

        manifest = recheck(folder, display)
    console.show_manifest(manifest, None, as_json)
    if any(a.verdict is Verdict.FAIL for a in manifest.artifacts):
        raise typer.Exit(1)
