"""`export-mobile bench` as a user runs it, on a small model, with all that it may leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from exporter.device.adb import Device
from exporter.device.probe import home
from exporter.manifest import DeviceRun, Manifest
from exporter.types import Format, Precision
from tests.command import EXPORT_MOBILE, ROOT, export_mobile

NAME = "it's; $(small)"
"""As nasty as the name of a file may be."""
TEMPORARY = "temporary"
"""Folder beside the output folder that a command's temporary files go to."""
MARK = "EXPORT_MOBILE_TEST"
"""Environment variable by which processes that a command started are found."""


def network() -> torch.nn.Module:
    """A small convolutional classifier with fixed weights."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 16, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 10),
    )


def export(folder: Path, formats: Sequence[Format], precisions: Sequence[Precision]) -> Path:
    """`network` in each of these formats and precisions."""
    done = export_mobile(
        f"{__name__}:network",
        *("--input", "1x3x20x24", "--runs", "5", "--name", NAME, "--output", folder),
        *(f"--{precision}" for precision in precisions),
        *(word for format in formats for word in ("--format", format)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def bench(
    folder: Path, *arguments: object, timeout: float = 300, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs it to its end."""
    with started(folder, *arguments, **variables) as process:
        out, told = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, out, told)


@contextmanager
def started(folder: Path, *arguments: object, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Runs it beside the test; it is killed with the block."""
    temporary = folder.parent / TEMPORARY
    temporary.mkdir(exist_ok=True)
    with subprocess.Popen(
        [str(EXPORT_MOBILE), "bench", str(folder), *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "COLUMNS": "120",
            "TMPDIR": str(temporary),
            MARK: str(temporary),
            **variables,
        },
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def await_line(process: subprocess.Popen[str], words: str) -> None:
    """Reads progress until a line of the device's holds these words."""
    assert process.stderr
    told = []
    for line in process.stderr:
        if words in line and " host " not in line:
            return
        told.append(line)
    raise AssertionError(f"ended with {process.wait()} before {words!r}:\n{''.join(told)}")


def await_agent(phone: Device) -> int:
    """Process id, on the device, of the agent that runs an artifact there."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for line in phone.shell("ps -A -o PID,ARGS").splitlines():
            number, _, command = line.strip().partition(" ")
            if "agent.pyz" in command and "/ld-linux" in command:
                return int(number)
        time.sleep(0.05)
    raise AssertionError("no agent runs")


def runs_of(folder: Path, name: str) -> dict[tuple[Format, Precision], DeviceRun]:
    """What the manifest says of a device, by artifact."""
    manifest = Manifest.read(folder / "manifest.json")
    device = next(d for d in manifest.devices if d.name == name)
    made = {a.file: (a.format, a.precision) for a in manifest.artifacts}
    return {made[run.file]: run for run in device.runs}


def left_on(phone: Device) -> list[str]:
    """What lies in our folder on the device but for the runtime and the lock, and what runs."""
    ours = home(phone)
    listed = phone.shell(f"cd {ours} && ls -A . && ls -A runtime | grep '^[.]' || true")
    names = [name for name in listed.split("\n") if name not in ("", "runtime", "lock")]
    running = phone.shell("ps -A -o ARGS=").splitlines()
    return names + [line for line in running if ours in line and "ps -A" not in line]


def left_here(folder: Path) -> list[str]:
    """What a bench of this folder has left on this machine: files, and processes."""
    temporary = folder.parent / TEMPORARY
    # onnxruntime and torch leave files of their own, under other names.
    files = [*folder.glob(".*"), *temporary.glob("tmp*")]
    return [*map(str, files), *(command for _, command in _processes(temporary))]


def kill_what_is_left(folder: Path) -> None:
    """Ends processes of a bench that a test could not end."""
    for number, _ in _processes(folder.parent / TEMPORARY):
        os.kill(number, signal.SIGKILL)


def _processes(temporary: Path) -> Iterator[tuple[int, str]]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={temporary}\0".encode() in (process / "environ").read_bytes() + b"\0":
                yield int(process.name), (process / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has ended meanwhile, or is not ours
            continue
