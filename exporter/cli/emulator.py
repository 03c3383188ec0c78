"""`export-mobile emulator`: an arm64 phone for any adb client, without a phone (Linux, x86-64)."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from exporter.cli import console
from exporter.cli.options import JsonOption

if TYPE_CHECKING:
    from exporter.device.emulator import Running

emulator = typer.Typer(
    help="An emulated arm64 phone at 127.0.0.1 for any adb client (Linux, x86-64).\n\n"
    "It runs real adbd under qemu, in namespaces of its own, and keeps its files in memory: they "
    "are gone when it stops. `export-mobile bench DIR --device emulator` starts and stops one by "
    "itself.",
    no_args_is_help=True,
)

CpuOption = Annotated[
    str,
    typer.Option(
        "--cpu",
        metavar="CPU",
        help="cortex-a53, cortex-a55, cortex-a76, cortex-a710, neoverse-v1 or max; "
        "`a53` and the like will do.",
    ),
]
StorageOption = Annotated[
    str,
    typer.Option("--storage", metavar="SIZE", help="Of /data/local/tmp, such as 800m; in memory."),
]
PortOption = Annotated[
    int | None,
    typer.Option(
        "--port", min=1, max=65535, help="Of 127.0.0.1. Default: the first free one from 6555."
    ),
]
WhichOption = Annotated[
    int | None, typer.Option("--port", help="Of the device; not needed if only one runs.")
]


@emulator.command()
def setup(
    runtimes: Annotated[
        bool, typer.Option("--runtimes", help="Also the runtimes that are brought to devices.")
    ] = False,
    counter: Annotated[
        bool,
        typer.Option(
            "--counter", help="Also the qemu that counts instructions; takes about 3 minutes."
        ),
    ] = False,
) -> None:
    """Fetch and build, once, what devices are made of; `start` does it too where needed."""
    from exporter.device import cache
    from exporter.device.emulator import prepare

    prepare(_tell)
    if runtimes:
        from exporter.device.bundle import layers
        from exporter.types import Format

        layers(Format, _tell)
    if counter:
        from exporter.device.emulator.counter import prepare as prepare_counter

        prepare_counter(_tell)
    console.out.print(f"Ready, in {cache.cache_root()}", soft_wrap=True)


@emulator.command()
def start(
    cpu: CpuOption = "cortex-a76",
    storage: StorageOption = "1500m",
    port: PortOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a device that runs until it is stopped."""
    from exporter.device.emulator import start as begin

    device = begin(cpu, storage, port, _tell)
    if as_json:
        console.print_json(json.dumps(_facts(device), indent=2))
    else:
        _introduce(device)


@emulator.command()
def run(
    cpu: CpuOption = "cortex-a76", storage: StorageOption = "1500m", port: PortOption = None
) -> None:
    """Run a device until Ctrl-C."""
    from exporter.device.emulator import running, wait

    with running(cpu, storage, _tell, port) as device:
        _introduce(device)
        wait(device)


@emulator.command()
def stop(
    port: WhichOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Stop every device.")] = False,
) -> None:
    """Stop a device, or all of them."""
    from exporter.device.emulator import stop as end

    for device in end(port, everything):
        console.out.print(f"Stopped {device.serial}.")


@emulator.command()
def status(as_json: JsonOption = False) -> None:
    """List the devices that run."""
    from exporter.device.emulator import status as devices

    found = devices()
    if as_json:
        console.print_json(json.dumps([_facts(device) for device in found], indent=2))
        return
    if not found:
        console.out.print("No emulated device is running.")
        return
    table = Table("serial", "cpu", "storage", "pid", "since", box=None, padding=(0, 1))
    for device in found:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(device.since))
        table.add_row(device.serial, device.cpu, device.storage, str(device.pid), since)
    console.out.print(table)


def _introduce(device: Running) -> None:
    console.out.print(f"{device.serial}  {device.cpu}, {device.storage} of storage")
    console.out.print(f"adb connect {device.serial}")


def _facts(device: Running) -> dict[str, object]:
    return {
        "serial": device.serial,
        "port": device.port,
        "cpu": device.cpu,
        "storage": device.storage,
        "pid": device.pid,
        "since": device.since,
    }


def _tell(line: str) -> None:
    console.err.print(f"{line} ...", soft_wrap=True)
