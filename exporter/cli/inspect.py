"""`export-mobile inspect FILE`: what a model or artifact is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from exporter.cli import console
from exporter.cli import options as opt
from exporter.types import Description, TensorSpec

_OPERATORS_SHOWN = 20


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A model or an artifact.")],
    as_json: opt.JsonOption = False,
) -> None:
    """Say what a file is, what it needs, and which known Android library lacks that. Runs nothing
    in it."""
    from exporter.pipeline.inspect import describe, lacks

    with console.results_alone(quiet=True):
        description = describe(file)
        lacking = lacks(file, description)
    if as_json:
        facts = {**asdict(description), "lacking": lacking}
        console.print_json(json.dumps(facts, indent=2))
    else:
        console.out.print(_table(file, description, lacking))


def _table(file: Path, description: Description, lacking: Sequence[str]) -> Table:
    from exporter.report.text import megabytes

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row("file", str(file))
    table.add_row("kind", description.kind)
    table.add_row("size", f"{megabytes(description.size)} MB")
    for label, specs in (("input", description.inputs), ("output", description.outputs)):
        for spec in specs:
            table.add_row(label, _spec(spec))
    for dtype, size in sorted(description.weight_bytes.items(), key=lambda item: -item[1]):
        table.add_row("weights", f"{dtype}  {megabytes(size)} MB")
    for label, value in description.details.items():
        table.add_row(label, value)
    for label, value in description.needs.facts.items():
        if label != "operators":  # they are listed below
            table.add_row("needs", f"{label} {value}")
    for sentence in lacking:
        table.add_row("lacking", sentence)
    counts = list(description.operators.items())
    for operator, count in counts[:_OPERATORS_SHOWN]:
        table.add_row("operator", f"{count:5d}  {operator}")
    if len(counts) > _OPERATORS_SHOWN:
        table.add_row("", f"and {len(counts) - _OPERATORS_SHOWN} more (--json lists all)")
    return table


def _spec(spec: TensorSpec) -> str:
    shape = "x".join(map(str, spec.shape)) or "scalar"
    return f"{spec.name}  {shape}  {spec.dtype}"
