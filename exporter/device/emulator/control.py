"""Starting and stopping devices."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping

from exporter.device.emulator.cpus import DEFAULT_CPU, DEFAULT_STORAGE
from exporter.device.emulator.launch import launch
from exporter.device.emulator.state import Running, log_of, status
from exporter.errors import DeviceError, UserError
from exporter.types import Tell

_STOP_S = 10.0


def start(
    cpu: str = DEFAULT_CPU,
    storage: str = DEFAULT_STORAGE,
    port: int | None = None,
    tell: Tell = print,
) -> Running:
    """Starts a device that lives on after this process; returns when its adbd answers.

    Args:
        cpu: one of `CPUS`, or its short name.
        storage: size of `/data/local/tmp`, such as `800m`.
        port: of 127.0.0.1; None for the first free one from 6555.
        tell: is given progress lines while parts are fetched.

    Raises:
        UserError: the port is taken, there is no such CPU, or this machine cannot run a device.
    """
    process, device = launch(cpu, storage, port, tell, parent=None, variables={})
    process.returncode = 0  # nobody waits for it, and Python need not warn of that
    return device


@contextlib.contextmanager
def running(
    cpu: str = DEFAULT_CPU,
    storage: str = DEFAULT_STORAGE,
    tell: Tell = print,
    port: int | None = 0,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """A device for the length of a `with`; it dies with this process, however that dies.

    Args:
        cpu: see `start`.
        storage: see `start`.
        tell: see `start`.
        port: see `start`; 0 for any that is free.
        variables: added to the device's environment.

    Raises:
        UserError: see `start`.
    """
    process, device = launch(cpu, storage, port, tell, os.getpid(), variables or {})
    try:
        yield device
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        status()  # removes the record if the launcher could not


def stop(port: int | None = None, everything: bool = False) -> tuple[Running, ...]:
    """Stops a device, or all of them; returns those that were stopped.

    Args:
        port: of the device; None where only one runs.
        everything: stop all of them, if any.

    Raises:
        UserError: it is not clear which one, or there is none.
    """
    devices = status()
    if not everything:
        devices = (_the_one(devices, port),)
    for device in devices:
        with _watched(device) as launcher:
            if launcher is not None:
                _end(launcher)
    status()
    return devices


def wait(device: Running) -> None:
    """Returns when a device of this process, see `running`, has been stopped.

    Raises:
        DeviceError: it ended by itself.
    """
    ended = os.waitid(os.P_PID, device.pid, os.WEXITED | os.WNOWAIT)
    if ended is None or ended.si_status != 0:
        log = log_of(device.port)
        raise DeviceError(
            f"The emulated device {device.serial} has died.", f"See {log}.", lost=True
        )


def _the_one(devices: tuple[Running, ...], port: int | None) -> Running:
    fitting = tuple(one for one in devices if port in (None, one.port))
    if len(fitting) == 1:
        return fitting[0]
    ports = ", ".join(str(one.port) for one in devices)
    if not devices:
        raise UserError("No emulated device is running.")
    if port is None:
        raise UserError(f"Several emulated devices run: {ports}.", "Choose with --port or --all.")
    raise UserError(f"No emulated device runs at port {port}.", f"There are: {ports}.")


@contextlib.contextmanager
def _watched(device: Running) -> Iterator[int | None]:
    """The pidfd of its launcher, which no later process can take over; None if it has ended."""
    try:
        launcher = os.pidfd_open(device.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield launcher if device.alive else None
    finally:
        os.close(launcher)


def _end(launcher: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(launcher, number)
        if select.select([launcher], [], [], _STOP_S)[0]:
            return
