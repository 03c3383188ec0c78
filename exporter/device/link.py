"""One run of adb's client, and the wrapper that makes a remote command's end certain.

adb's own exit codes tell little: it exits 0 when the link dies under a command, and waits for ever
for a device that hangs. So a command is wrapped: it prints a mark of ours with its exit code when
it has ended, and a sign of life every few seconds until then. No mark: the link died. No sign of
life: the device hangs. A command that is busy is neither.
"""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex
from types import TracebackType
from typing import BinaryIO, Self

from exporter.device.refusals import named
from exporter.errors import UserError

BEAT_SECONDS = 2
"""Between two signs of life. They cost the device a fork each."""

_GRACE_SECONDS = 1.0
"""For what comes after the end mark: the rest of stderr, and the client's own end."""

_EXIT_SECONDS = 5.0
"""For a client that has closed its outputs to be gone."""

_WATCH = """exec 3<&0 </dev/null
(read x <&3; kill -9 -$$) >/dev/null 2>&1 &
exec 3<&-
"""
"""Our end of stdin closes when this process dies, however it dies; then the command dies as well.
(adbd leaves a silent command running for ever when its client has gone, and so does adb when its
caller has. Its shell is the leader of a session, so that -$$ is all that it started.)"""

_BEATS = """(trap '' HUP PIPE
while sleep {seconds} 2>/dev/null && read -r s </proc/$$/stat \
&& case $s in *') Z '*) false;; esac && echo {beat} >&2; do :; done
kill -9 -$$) </dev/null >/dev/null &
"""
"""Ends when nobody hears it any more or the command's shell is a zombie, and ends the rest then."""

_COMMAND = """(eval {command})
echo {mark}:$?
kill -9 -$$
"""
"""`eval` keeps a syntax error inside; the last line ends what is left in the background."""


@dataclass(frozen=True)
class Completed:
    """How a remote command ended.

    Attributes:
        code: its exit code; 128 + n when signal n killed it.
        stdout: exactly what it wrote.
        stderr: likewise, as text.
    """

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """`stdout` as text."""
        return self.stdout.decode(errors="replace")


class Client:
    """A run of adb's client that never outlives its block: killed and reaped at the end of it.

    Args:
        command: with the path of adb.
        stdin: a file to send; None for nothing at all; `subprocess.PIPE` to hold it open.

    Attributes:
        stdout: what came until now.
        stderr: likewise.
        heard: when something came last, by the monotonic clock; at first, when it was started.
    """

    def __init__(self, command: Sequence[str], stdin: BinaryIO | int | None = None) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._process = _spawn(command, subprocess.DEVNULL if stdin is None else stdin)
        assert self._process.stdout
        assert self._process.stderr
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ, self.stdout)
        self._selector.register(self._process.stderr, selectors.EVENT_READ, self.stderr)
        self.heard = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def ended(self) -> bool:
        """Whether nothing more can come."""
        return not self._selector.get_map()

    def listen(self, seconds: float) -> None:
        """Takes what comes, waiting at most so long for it."""
        for key, _ in self._selector.select(max(0.0, seconds)):
            piece = os.read(key.fd, 1 << 16)
            self.heard = time.monotonic()
            if piece:
                key.data.extend(piece)
            else:
                self._selector.unregister(key.fileobj)

    def hear_out(self, seconds: float) -> bool:
        """Takes all there is until the client ends; False when it has not by then."""
        until = time.monotonic() + seconds
        while not self.ended and time.monotonic() < until:
            self.listen(until - time.monotonic())
        return self.ended

    def exit_code(self) -> int:
        """Of a client that nothing more can come from; one that is not gone soon is killed."""
        try:
            return self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def end_stdin(self) -> None:
        """Closes the end of stdin that was held open."""
        if self._process.stdin:
            self._process.stdin.close()

    def close(self) -> None:
        """Kills what still runs, and waits for it to be gone."""
        self._selector.close()
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                stream.close()


def _spawn(command: Sequence[str], stdin: BinaryIO | int) -> subprocess.Popen[bytes]:
    # $ADB_TRACE would put its log among our texts; $ANDROID_SERIAL could name another device.
    skipped = {"ADB_TRACE", "ANDROID_SERIAL"}
    try:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={name: value for name, value in os.environ.items() if name not in skipped},
            process_group=0,  # Ctrl-C is for us: we end it when there is nothing left to do with it
        )
    except ValueError as error:
        raise UserError(f"adb cannot be given {command[-1]!a}: {error}.") from error
    except FileNotFoundError as error:
        raise UserError(f"{command[0]} is gone.", "Install adb again.") from error


class RemoteCommand(Client):
    """A command in the device's shell, wrapped.

    Args:
        adb: how to call adb for this device.
        command: for the device's POSIX shell.
        stdin: a file to send; None for nothing.
        held: leaves stdin to the command, open until `end_stdin`, or this process' death: what
            the command does after its stdin ends is done in any case.
    """

    def __init__(
        self,
        adb: Sequence[str],
        command: str,
        stdin: BinaryIO | None = None,
        held: bool = False,
    ) -> None:
        nonce = token_hex(16)
        self._beat = f"{nonce}.\n".encode()
        self._end = re.compile(rb"%b:(\d+)\n" % nonce.encode())
        self.code: int | None = None
        watched = stdin is None and not held
        script = (
            ("trap '' HUP PIPE\n" if held else "")
            + (_WATCH if watched else "")
            + ("" if held else _BEATS.format(seconds=BEAT_SECONDS, beat=f"{nonce}."))
            + _COMMAND.format(command=quote(command), mark=nonce)
        )
        super().__init__([*adb, "shell", "-T", script], stdin or subprocess.PIPE)

    def listen(self, seconds: float) -> None:
        """Takes what comes, and notes the end mark."""
        before = len(self.stdout)
        super().listen(seconds)
        if self.code is not None:
            del self.stdout[before:]  # of what the command left in the background
        elif len(self.stdout) > before:
            start = max(0, before - len(self._beat) - 8)  # the mark may come in two pieces
            if found := self._end.search(self.stdout, start):
                self.code = int(found[1])
                del self.stdout[found.start() :]

    @property
    def complaint(self) -> str:
        """stderr without the signs of life."""
        return bytes(self.stderr).replace(self._beat, b"").decode(errors="replace")

    def lines(self, start: int) -> tuple[list[str], int]:
        """Complete lines of stdout from position `start` on, and where the next one starts."""
        stop = len(self.stdout) if self.code is not None else self.stdout.rfind(b"\n") + 1
        if stop <= start:
            return [], start
        text = bytes(self.stdout[start:stop]).decode(errors="replace")
        return text.removesuffix("\n").split("\n"), stop

    def completed(self) -> Completed:
        """How it ended, once `code` is known."""
        assert self.code is not None
        self.hear_out(_GRACE_SECONDS)
        return Completed(self.code, bytes(self.stdout), self.complaint)


def quote(word: str) -> str:
    """A word for the device's shell, so that nothing in it has a meaning there.

    Raises:
        UserError: it holds a NUL, which no shell can be given.
    """
    if "\0" in word:
        raise UserError(f"{named(word)} holds a NUL character.", "Choose another name.")
    return "'" + word.replace("'", "'\\''") + "'"
