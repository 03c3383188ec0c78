"""A remote command that lives as long as a block of ours does."""

from __future__ import annotations

import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from exporter.device.adb import Device
from exporter.device.link import Completed, RemoteCommand
from exporter.device.refusals import Trouble, refusal
from exporter.errors import DeviceError

_HASTE_SECONDS = 5.0
"""To wait for a clean-up after what went wrong: it is done in any case, if not before we go on."""


class Kept:
    """A running command whose stdin is held open, until the block ends or this process dies.

    What it does after its stdin has ended is done however this process ends: for locks, and for
    clean-up, as in `echo ready; cat >/dev/null; rm -rf FOLDER`.

    Args:
        device: where.
        command: for the device's POSIX shell. It should read its stdin to the end, such as by
            `cat >/dev/null`, and clean up after that.
    """

    def __init__(self, device: Device, command: str) -> None:
        self._device = device
        self._remote = RemoteCommand(device.calling, command, held=True)
        self._read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        elif isinstance(error, DeviceError) and error.lost:
            self._remote.close()  # it cleans up when it notices; to wait for that is in vain
        else:  # the reason that ends the block is worth more than what may go wrong here
            with suppress(DeviceError):
                self.close(_HASTE_SECONDS)

    def line(self, timeout: float = 30.0) -> str | None:
        """The next line it writes; None when it has ended.

        Raises:
            DeviceError: there is none in time, or the link died.
        """
        until = time.monotonic() + timeout
        while True:
            text = bytes(self._remote.stdout)
            end = text.find(b"\n", self._read)
            if end >= 0:
                line, self._read = text[self._read : end], end + 1
                return line.decode(errors="replace")
            if self._remote.code is not None:
                return None
            self._wait(until, timeout)

    def close(self, timeout: float = 30.0) -> Completed:
        """Ends its stdin, and waits for what it does then.

        Raises:
            DeviceError: it does not end in time, or the link died.
        """
        until = time.monotonic() + timeout
        try:
            self._remote.end_stdin()
            while self._remote.code is None:
                self._wait(until, timeout)
            return self._remote.completed()
        finally:
            self._remote.close()

    def _wait(self, until: float, timeout: float) -> None:
        left = until - time.monotonic()
        if left <= 0:
            raise refusal(Trouble.HUNG, self._device.serial, f": nothing came for {timeout:g} s")
        if self._remote.ended:
            raise self._device.link_error(self._remote.complaint)
        self._remote.listen(left)
