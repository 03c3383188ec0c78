"""Starting a launcher: its port, what it is asked, and its report."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import exporter
from exporter.base.text import last_line
from exporter.device.emulator.cpus import cpu_name, storage_size
from exporter.device.emulator.parts import prepare
from exporter.device.emulator.request import PATIENCE_S, LaunchRequest
from exporter.device.emulator.state import Running, forget_logs, log_of, record, record_of, status
from exporter.errors import UserError
from exporter.types import Tell

DEFAULT_PORT = 6555
_PORTS_TRIED = 100
_SCANNED_BY_ADB = range(5555, 5586)
"""Where an adb server looks for emulators by itself: adb(1), "odd ports 5555 to 5585"."""


def launch(
    cpu: str,
    storage: str,
    port: int | None,
    tell: Tell,
    parent: int | None,
    variables: Mapping[str, str],
) -> tuple[subprocess.Popen[bytes], Running]:
    """Starts a launcher; returns when the device answers.

    Args:
        cpu: as a user wrote it.
        storage: as a user wrote it.
        port: of 127.0.0.1; None for the first free one from 6555, 0 for any.
        tell: is given progress lines.
        parent: process that the device must not outlive.
        variables: added to the device's environment.
    """
    cpu, size = cpu_name(cpu), storage_size(storage)
    parts = prepare(tell)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listen(port))
        report, reporter = os.pipe()
        stack.enter_context(os.fdopen(report, "rb"))
        number = listener.getsockname()[1]
        request = LaunchRequest(
            root=str(parts.root),
            qemu=str(parts.qemu),
            cpu=cpu,
            storage=size,
            listener=listener.fileno(),
            report=reporter,
            record=str(record_of(number)),
            log=str(log_of(number)),
            parent=parent,
            variables=dict(variables),
        )
        with os.fdopen(reporter, "wb"):
            process = _spawn(request)
        try:
            device = Running.now(process.pid, number, cpu, storage)
            record(device)
            _question(process, request)
            _await_report(report, log_of(number))
        except BaseException:
            process.kill()
            process.wait()
            Path(request.record).unlink(missing_ok=True)
            raise
    return process, device


def _spawn(request: LaunchRequest) -> subprocess.Popen[bytes]:
    log = Path(request.log)
    log.parent.mkdir(parents=True, exist_ok=True)
    forget_logs()
    with log.open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "exporter.device.emulator.launcher"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            pass_fds=(request.listener, request.report),
            start_new_session=True,  # Ctrl-C is for who started it
            cwd=Path(exporter.__file__).parent.parent,  # where `-m` finds it, installed or not
        )


def _question(process: subprocess.Popen[bytes], request: LaunchRequest) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as stream:
        stream.write(request.to_json().encode())


def _await_report(report: int, log: Path) -> None:
    if not select.select([report], [], [], PATIENCE_S + 10)[0]:
        raise UserError("The emulated device does not start.", "Is the machine very busy?")
    line = os.read(report, 1 << 16)
    if not line:
        said = log.read_text(errors="replace") if log.exists() else ""
        why = last_line(said, "it was killed")
        raise UserError(f"The emulated device ended while it started: {why}.", f"See {log}.")
    if problem := json.loads(line.splitlines()[0]):
        raise UserError(problem["message"], problem["hint"])


def listen(port: int | None) -> socket.socket:
    """A socket on 127.0.0.1 that listens already, so that nobody else can take its port.

    Raises:
        UserError: the port is taken, or not to be used.
    """
    if port in _SCANNED_BY_ADB:
        raise UserError(
            f"Port {port} is one where adb looks for emulators by itself, and it would list the "
            "device twice.",
            "Choose one outside of 5555 to 5585.",
        )
    tried = range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED) if port is None else (port,)
    for number in tried:
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", number))
                listener.listen()
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                if error.errno == errno.EACCES:
                    message = f"Port {number} is for root only."
                    raise UserError(message, "Choose one above 1023.") from None
                raise
            stack.pop_all()
            return listener
    raise _taken(port)


def _taken(port: int | None) -> UserError:
    if any(one.port == port for one in status()):
        return UserError(
            f"Port {port} is taken by another emulated device.",
            f"Choose another, or stop it: export-mobile emulator stop --port {port}",
        )
    if port is None:
        last = DEFAULT_PORT + _PORTS_TRIED - 1
        return UserError(f"No port from {DEFAULT_PORT} to {last} is free.", "Choose one: --port.")
    return UserError(f"Port {port} is taken by another program.", "Choose another with --port.")
