"""Devices over the real `adb` client, with time-outs and checks of our own."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from exporter.device import connections
from exporter.device.connections import Connection
from exporter.device.link import BEAT_SECONDS, Client, Completed, RemoteCommand, quote
from exporter.device.refusals import Trouble, explain, named, one_line, recognize, refusal
from exporter.errors import DeviceError, UserError

__all__ = ["Adb", "Completed", "Connection", "Device", "quote"]

_SERVER_SECONDS = 15.0
"""For what adb's server answers by itself: starting it takes up to 3 s."""
_CONNECT_SECONDS = 20.0
_SETTLE_SECONDS = 5.0
"""A device that was just connected is offline or authorizing at first."""
_ADDRESS = re.compile(r"[\w.-]+:\d{1,5}|\[[0-9a-fA-F:.%\w]+\]:\d{1,5}")


class Adb:
    """adb's client on this computer.

    Args:
        path: of the program; None looks on PATH, then in $ANDROID_HOME/platform-tools.
        port: of adb's server; None for the user's own one.

    Raises:
        UserError: adb is not installed.
    """

    def __init__(self, path: str | None = None, port: int | None = None) -> None:
        self._command = (path or _find(), *(("-P", str(port)) if port else ()))

    def devices(self) -> tuple[Connection, ...]:
        """What adb sees, ready or not."""
        return connections.parse(self.ask(["devices", "-l"]))

    def connect(self, address: str) -> None:
        """Connects to an adbd at `HOST:PORT`, and waits until it is ready.

        Raises:
            DeviceError: nobody listens there, or the device does not let us in.
        """
        text = self.ask(["connect", address], _CONNECT_SECONDS, address)
        # It exits 0 in any case.
        connected = re.search(r"^(already )?connected to", text, re.M)
        until = time.monotonic() + (_SETTLE_SECONDS if connected else 0.0)
        while True:
            connection = next((c for c in self.devices() if c.serial == address), None)
            if connection and connection.ready:
                return
            if time.monotonic() >= until:
                # Where something listens that is no adbd, or a locked one, its state says more.
                raise connection.refusal() if connection else explain(text, address)
            time.sleep(0.1)

    def disconnect(self, address: str) -> None:
        """Ends a connection over the network; none is no error."""
        self.ask(["disconnect", address])

    def device(self, serial: str) -> Device:
        """The device of that serial, whether it is there or not."""
        return Device(self, serial)

    def resolve(self, name: str) -> Device:
        """The ready device that the user means.

        Args:
            name: a serial, `HOST:PORT` (connected where it is not yet), or `auto` for the only one.

        Raises:
            DeviceError: it is not there, or not ready, or `auto` has a choice.
        """
        found = self.devices()
        if name == "auto":
            return self.device(connections.only(found).serial)
        connection = next((c for c in found if c.serial == name), None)
        if connection is None and _ADDRESS.fullmatch(name):
            self.connect(name)
        elif connection is None:
            raise refusal(Trouble.NOT_FOUND, name, connections.listing(found))
        elif not connection.ready:
            raise connection.refusal()
        return self.device(name)

    def calling(self, serial: str) -> tuple[str, ...]:
        """How to call adb for a device."""
        return (*self._command, "-s", serial)

    def ask(
        self, words: Sequence[str], seconds: float = _SERVER_SECONDS, serial: str = "adb"
    ) -> str:
        """What adb answers, stdout and stderr, to a question that concerns its server."""
        with Client([*self._command, *words]) as client:
            if not client.hear_out(seconds):
                detail = f": `adb {words[0]}` did not end in {seconds:g} s"
                if serial == "adb":
                    raise refusal(Trouble.SERVER, serial, detail.removeprefix(": "))
                raise refusal(Trouble.HUNG, serial, detail)
            return (client.stdout + client.stderr).decode(errors="replace").strip()


class Device:
    """One device. Every method raises `DeviceError` when the device cannot be talked to.

    Args:
        adb: the client.
        serial: adb's name of the device.
    """

    def __init__(self, adb: Adb, serial: str) -> None:
        self.adb = adb
        self.serial = serial
        self.calling = adb.calling(serial)

    def shell(self, command: str, timeout: float = 30.0) -> str:
        """What a command writes to stdout.

        Raises:
            DeviceError: also when the command fails.
        """
        done = self.run(command, timeout)
        if done.code:
            why = one_line(done.stderr) or one_line(done.text) or "it gave no reason"
            raise DeviceError(
                f"{named(self.serial)}: {one_line(command, 80)!r} failed "
                f"with exit code {done.code}: {why}"
            )
        return done.text

    def run(self, command: str, timeout: float = 30.0) -> Completed:
        """How a command of a few seconds ended."""
        return self.stream(command, silence=timeout, deadline=timeout)

    def stream(
        self,
        command: str,
        *,
        silence: float,
        deadline: float,
        stdin: BinaryIO | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Runs a command for as long as it takes; whatever ends the call, the command ends, too.

        Args:
            command: for the device's POSIX shell.
            silence: seconds without a sign of life after which the device counts as hung; a
                command that is busy and silent gives one every 2 s.
            deadline: seconds after which the command itself counts as hung.
            stdin: an open file to send.
            on_line: called with each line of stdout as it comes.

        Raises:
            DeviceError: `lost` unless it is the command that takes too long.
        """
        until = time.monotonic() + deadline
        done = 0
        with RemoteCommand(self.calling, command, stdin) as remote:
            while remote.code is None and not remote.ended:
                now = time.monotonic()
                if now >= min(until, remote.heard + silence):
                    raise self._overdue(command, now - remote.heard, silence, deadline)
                remote.listen(min(until, remote.heard + silence) - now)
                if on_line:
                    lines, done = remote.lines(done)
                    for line in lines:
                        on_line(line)
            if remote.code is None:
                raise self.link_error(remote.complaint)
            return remote.completed()

    def link_error(self, text: str) -> DeviceError:
        """Why a command ended without its end mark.

        Args:
            text: what was written to stderr: adb's own message may be its last line.
        """
        start = list(re.finditer(r"^(?:adb|error)\b.*:", text, re.M))
        own = one_line(text[start[-1].start() :]) if start else ""
        trouble = recognize(own) if own else Trouble.LOST
        if trouble is Trouble.NOT_FOUND:
            return refusal(trouble, self.serial, connections.listing(self.adb.devices()))
        if trouble in (Trouble.LOST, Trouble.UNKNOWN):
            detail = f" ({own})" if own else " while a command ran there"
            return refusal(Trouble.LOST, self.serial, detail)
        return explain(own, self.serial)

    def _overdue(self, command: str, silent: float, silence: float, deadline: float) -> DeviceError:
        # A part of it, as starting the client takes some of the time.
        if silent >= 0.75 * min(silence, 3.0 * BEAT_SECONDS):
            return refusal(Trouble.HUNG, self.serial, f": nothing came for {silent:.0f} s")
        return DeviceError(
            f"{named(self.serial)}: {one_line(command, 80)!r} had not ended after {deadline:g} s.",
            "It was ended; the device itself answers.",
        )


def _find() -> str:
    """Path of adb.

    Raises:
        UserError: there is none.
    """
    if path := shutil.which("adb"):
        return path
    if (home := os.environ.get("ANDROID_HOME")) and (
        path := shutil.which("adb", path=str(Path(home) / "platform-tools"))
    ):
        return path
    raise UserError(
        "adb is not on PATH, nor in $ANDROID_HOME/platform-tools.",
        "Install it: apt-get install adb (or Android's platform-tools).",
    )
