"""The host's side of one device: a process that holds its namespaces and forwards its port.

Run as `python -m exporter.device.emulator.launcher`, with a `LaunchRequest` on stdin. All
of the device dies with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path

from exporter.device.emulator import inside, namespaces
from exporter.device.emulator.forward import answers, forward
from exporter.device.emulator.request import PATIENCE_S, LaunchRequest
from exporter.errors import UserError

_LOG_LIMIT = 1 << 20
_LOG = 2
"""Who starts this gives it the log as its stderr."""

_STOPPED, _FAILED = 0, 1


def main() -> int:
    """Launches a device and stays until it ends."""
    request = LaunchRequest.from_json(sys.stdin.read())
    os.chdir("/")
    for handle in (request.listener, request.report):
        os.set_inheritable(handle, False)
    try:
        parent = None if request.parent is None else os.pidfd_open(request.parent)
        if request.parent not in (None, os.getppid()):  # it ended, and its number was given away
            return _STOPPED
        code = _launch(request, parent)
        if code == _STOPPED:  # else the log says why it ended
            Path(request.log).unlink(missing_ok=True)
        return code
    except ProcessLookupError:
        return _STOPPED
    except UserError as error:
        _report(request.report, error)
        return _FAILED
    finally:
        Path(request.record).unlink(missing_ok=True)


def _launch(request: LaunchRequest, parent: int | None) -> int:
    machine = namespaces.Machine.this()  # before this process sees settings of its own
    namespaces.enter(machine)
    lifeline, held = os.pipe()  # never written to: it ends when this process does
    output, said = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(held)
        _be_the_device(request, machine, lifeline, said)
    for handle in (lifeline, said):
        os.close(handle)
    try:
        return asyncio.run(_serve(request, os.pidfd_open(first), parent, output))
    finally:
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)  # it goes last, after every process of its namespace
        os.close(held)


def _be_the_device(
    request: LaunchRequest, machine: namespaces.Machine, lifeline: int, said: int
) -> None:
    """The forked process: becomes the device's first, and never returns."""
    try:
        inside.stay_with_launcher(lifeline)
        inside.prepare(request, machine)
        nothing = os.open("/dev/null", os.O_RDONLY)
        for source, target in ((nothing, 0), (said, 1), (said, 2)):
            os.dup2(source, target)
        adbd = inside.start_adbd(request, machine)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        inside.watch(adbd)
    except OSError as error:
        _report(request.report, namespaces.refusal(error, machine))
    finally:
        if sys.exception():
            traceback.print_exc()
        os._exit(_FAILED)


def _report(handle: int, error: UserError | None = None) -> None:
    """Tells who started this launcher how it went; only the first report is read."""
    answer = {"message": error.message, "hint": error.hint} if error else {}
    with contextlib.suppress(BrokenPipeError):  # it did not wait
        os.write(handle, json.dumps(answer).encode() + b"\n")


async def _serve(request: LaunchRequest, device: int, parent: int | None, output: int) -> int:
    """Forwards connections until the device or the parent (pidfds) ends, or a signal comes."""
    loop = asyncio.get_running_loop()
    end: asyncio.Future[int] = loop.create_future()
    loop.add_reader(device, _settle, end, _FAILED)
    if parent is not None:
        loop.add_reader(parent, _settle, end, _STOPPED)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, _settle, end, _STOPPED)
    loop.add_reader(output, _keep_log, output)
    server = await forward(socket.socket(fileno=request.listener))
    try:
        if await _ready(end):
            _report(request.report)
            return await end
        _report(
            request.report, UserError("The emulated device's adbd does not answer.", "Try again.")
        )
        return _FAILED
    finally:
        server.close()


def _settle(end: asyncio.Future[int], code: int) -> None:
    if not end.done():
        end.set_result(code)


async def _ready(end: asyncio.Future[int]) -> bool:
    """Waits until adbd answers; False if it does not."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while not end.done():
                if await answers():
                    return True
                await asyncio.sleep(0.05)
    return False


def _keep_log(output: int) -> None:
    """Appends what adbd says to the log, which starts over when it has grown too long."""
    said = os.read(output, 1 << 16)
    if not said:
        asyncio.get_running_loop().remove_reader(output)
        return
    if os.fstat(_LOG).st_size + len(said) > _LOG_LIMIT:
        os.ftruncate(_LOG, 0)
    os.write(_LOG, said)


if __name__ == "__main__":
    sys.exit(main())
