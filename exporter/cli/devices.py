"""`export-mobile devices`: what is connected, whether it is ready, and what to do if not."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from exporter.cli import console
from exporter.cli.options import JsonOption

if TYPE_CHECKING:
    from exporter.device.survey import Surveyed

devices = typer.Typer(
    help="List the devices that adb sees: what each is, whether it is ready, what to do if not.",
    invoke_without_command=True,
    rich_markup_mode="markdown",
)


@devices.callback()
def listing(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the devices that adb sees: what each is, whether it is ready, what to do if not."""
    if context.invoked_subcommand:
        return
    from exporter.device.adb import Adb
    from exporter.device.connections import NONE_CONNECTED
    from exporter.device.survey import survey

    with console.err.status("Asking the devices ..."):
        found = survey(Adb())
    if as_json:
        console.print_json(json.dumps([_plain(one) for one in found], indent=2))
    elif found:
        console.out.print(_table(found))
        for one in found:
            if one.problem:
                console.out.print(Text(str(one.problem)), soft_wrap=True)
    else:
        console.out.print(Text(f"No device is connected. {NONE_CONNECTED}"), soft_wrap=True)


@devices.command()
def clean(
    serial: Annotated[str, typer.Argument(metavar="SERIAL", help="As `devices` lists it.")],
) -> None:
    """Remove what export-mobile keeps on a device: the runtimes of earlier runs."""
    from exporter.device.adb import Adb
    from exporter.device.survey import clean as remove
    from exporter.report.text import megabytes

    device = Adb().resolve(serial)
    freed = remove(device)
    text = f"{megabytes(freed)} MB freed" if freed else "there was nothing to remove"
    console.out.print(Text(f"{device.serial}: {text}."), soft_wrap=True)


def _table(found: tuple[Surveyed, ...]) -> Table:
    from exporter.report.text import megabytes

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("serial", "state", "model", "ABI", "system", "cores", "features", "free"):
        table.add_column(name, no_wrap=name == "serial", overflow="fold")
    for one in found:
        facts = one.facts
        state = Text(one.state, "yellow" if one.problem else "green")
        if facts is None:
            table.add_row(Text(one.serial), state)
            continue
        free = "" if facts.free_bytes is None else f"{megabytes(facts.free_bytes)} MB"
        model = f"{facts.model} (emulated)" if facts.emulated else facts.model
        words = (model, facts.abi, facts.system, facts.cpu, " ".join(facts.features), free)
        table.add_row(Text(one.serial), state, *(Text(word) for word in words))
    return table


def _plain(one: Surveyed) -> dict[str, object]:
    problem = one.problem
    return {
        "serial": one.serial,
        "state": one.state,
        "ready": problem is None,
        "problem": problem.message if problem else None,
        "remedy": problem.hint if problem else None,
        "facts": asdict(one.facts) if one.facts else None,
    }
