"""The devices that a user names: which they are, which of them answer, and opening one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from exporter.device import emulator
from exporter.device.adb import Adb, Device
from exporter.device.survey import clean
from exporter.errors import DeviceError, UserError
from exporter.types import Tell

EMULATOR = "emulator"
"""Name of a device that is started for this run; `emulator:cortex-a53` names its CPU as well.
(`emulator-5554` is Android Studio's.)"""


@dataclass(frozen=True)
class Target:
    """A device that the user means.

    Attributes:
        name: what its results go by: adb's serial, or `emulator:` and the CPU in full.
        cpu: of an emulator that is started for the run; None for a device that adb sees.
    """

    name: str
    cpu: str | None = None


@dataclass(frozen=True)
class Opened:
    """A device that can be talked to.

    Attributes:
        device: it.
        cpu: where it is an emulator of ours, whoever started it; None for others.
    """

    device: Device
    cpu: str | None


def resolve(names: Sequence[str]) -> tuple[Target, ...]:
    """The devices that were named: `auto` is the only one that is there.

    Takes no longer than a question to adb's server, so that a name that cannot be meant is known
    before anything is done.

    Raises:
        UserError: a device is named twice, there is no such CPU, or `auto` has none or several to
            choose from.
    """
    found = tuple(map(_target, names))
    if twice := next((target for target in found if found.count(target) > 1), None):
        raise UserError(f"--device {twice.name} is given twice.", "Name each device once.")
    return found


def _target(name: str) -> Target:
    kind, _, cpu = name.partition(":")
    if kind == EMULATOR:
        cpu = emulator.cpu_name(cpu or emulator.DEFAULT_CPU)
        return Target(f"{EMULATOR}:{cpu}", cpu)
    return Target(Adb().resolve(name).serial if name == "auto" else name)


def reachable(targets: Sequence[Target]) -> tuple[tuple[Target, ...], list[UserError]]:
    """Those that answer (or can be started), and what is wrong with the others."""
    found, problems = [], []
    for target in targets:
        try:
            if target.cpu is None:
                Adb().resolve(target.name)
            found.append(target)
        except UserError as error:
            problems.append(error)
    return tuple(found), problems


@contextmanager
def opened(target: Target, storage: str, tell: Tell) -> Iterator[Opened]:
    """A device, for the length of a block.

    Args:
        target: which.
        storage: of an emulator that is started for it.
        tell: takes a line of progress before something that may take seconds.

    Raises:
        UserError: it is not there, does not answer, or cannot be started.
    """
    if target.cpu is None:
        device = Adb().resolve(target.name)
        cpu = next((r.cpu for r in emulator.status() if r.serial == device.serial), None)
        yield Opened(device, cpu)
        return
    with emulator.running(target.cpu, storage, tell) as running:
        adb = Adb()
        adb.connect(running.serial)
        try:
            yield Opened(adb.device(running.serial), running.cpu)
        finally:
            adb.disconnect(running.serial)


@contextmanager
def left_clean(device: Device, keep_runtime: bool) -> Iterator[None]:
    """Removes all of ours from a device at the end of a block, where it has no leave to stay.

    Raises:
        DeviceError: something cannot be removed.
    """
    try:
        yield
    except BaseException as error:
        if not keep_runtime and not (isinstance(error, DeviceError) and error.lost):
            with suppress(DeviceError):  # the reason of the end is worth more
                clean(device)
        raise
    if not keep_runtime:
        clean(device)
