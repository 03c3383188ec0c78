"""The Typer application and its sub-commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from exporter import __version__
from exporter.cli.bench import bench
from exporter.cli.devices import devices
from exporter.cli.doctor import doctor
from exporter.cli.emulator import emulator
from exporter.cli.export import export
from exporter.cli.inspect import inspect
from exporter.cli.verify import verify
from exporter.quantize.semantics import explain
from exporter.types import VARIANTS, Format

COMMANDS: dict[str, Callable[..., None]] = {
    "export": export,
    "bench": bench,
    "verify": verify,
    "inspect": inspect,
    "doctor": doctor,
}
GROUPS: dict[str, typer.Typer] = {"devices": devices, "emulator": emulator}

app = typer.Typer(
    name="export-mobile",
    help="Turn a PyTorch model into verified mobile artifacts: "
    f"{', '.join(f'.{format}' for format in Format)}.\n\n"
    "`export-mobile deit.pt --int8` is short for `export-mobile export deit.pt --int8`.",
    epilog="**What each precision means, for every format**\n\n"
    + "\n\n".join(explain(variant) for variant in VARIANTS),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, command in COMMANDS.items():
    app.command(name)(command)
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


def _version(value: bool) -> None:
    if value:
        print(f"export-mobile {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Turn a PyTorch model into verified mobile artifacts."""
