"""`export-mobile bench DIR`: runs an output folder on ARM devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exporter.cli import console
from exporter.cli import options as opt
from exporter.errors import UserError
from exporter.types import Format


def bench(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="An output folder of export-mobile.")
    ],
    devices: opt.DeviceOption = None,
    formats: opt.FormatOption = None,
    threads: opt.ThreadListOption = "1",
    runs: opt.RunsOption = 50,
    warmup: opt.WarmupOption = 5,
    cooldown: opt.CooldownOption = 0.0,
    affinity: opt.AffinityOption = None,
    timeout: opt.TimeoutOption = 600.0,
    samples: opt.SamplesOption = None,
    storage: opt.StorageOption = "1500m",
    keep_runtime: opt.KeepRuntimeOption = True,
    sweep_cpus: opt.SweepOption = False,
    as_json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
) -> None:
    """Run an output folder on ARM devices over adb: parity, latency, load time and memory there.

    The results go into the folder's manifest and report.

    Exit code 0: every artifact holds on every device. 1: one does not. 2: a device could not be
    used, or not to the end, because of what the message says; what was measured is kept.
    """
    counts = _thread_counts(threads)
    with console.stage_display(quiet) as display:
        display.begin("bench", "reading the folder")
        from exporter.device.emulator import CPUS
        from exporter.manifest import FILE_NAME, Manifest
        from exporter.pipeline.bench import BenchOptions
        from exporter.pipeline.bench import bench as run
        from exporter.pipeline.device_run import Settings
        from exporter.pipeline.devices import resolve

        Manifest.read(folder / FILE_NAME)  # a wrong folder is the first thing to tell
        display.finish("bench", "read the folder")
        result = run(
            BenchOptions(
                folder=folder,
                devices=resolve(devices or (() if sweep_cpus else ("auto",))),
                formats=tuple(dict.fromkeys(formats or Format)),
                settings=Settings(
                    threads=counts,
                    runs=runs,
                    warmup=warmup,
                    cooldown=cooldown,
                    affinity=affinity,
                    timeout=timeout,
                    keep_runtime=keep_runtime,
                    storage=storage,
                    samples=samples,
                ),
                sweep=CPUS if sweep_cpus else (),
            ),
            display,
        )
    if result.devices or result.swept:
        console.show_bench(result.manifest, folder, as_json, result.devices, result.swept)
    console.conclude(result.problems, result.holds)


def _thread_counts(text: str) -> tuple[int, ...]:
    """`1,4` -> (1, 4)."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= opt.MOST_THREADS for part in parts):
        raise UserError(
            f"--threads {text} is no list of numbers from 1 to {opt.MOST_THREADS}.",
            "Such as: --threads 1,4",
        )
    return tuple(dict.fromkeys(int(part) for part in parts))
