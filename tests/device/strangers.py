"""Devices that do not let adb in: what real adbds do when their owner has to allow it first."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_HEADER = struct.Struct("<6I")
_TOKEN_BYTES = 20


@contextmanager
def stranger(answers: bool) -> Iterator[str]:
    """Something that listens as adbd does, at the yielded address.

    Args:
        answers: asks for a signature for ever, as a phone does whose owner does not accept the
            key; otherwise it says nothing at all, and adb lists it as offline.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_listen, args=(listener, answers), daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def _listen(listener: socket.socket, answers: bool) -> None:
    while True:
        try:
            caller, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_talk, args=(caller, answers), daemon=True).start()


def _talk(caller: socket.socket, answers: bool) -> None:
    """adb's protocol: CNXN, and for ever AUTH (type 1: a token to sign)."""
    with caller, caller.makefile("rb") as incoming:
        while len(header := incoming.read(_HEADER.size)) == _HEADER.size:
            command, kind, _, size, _, _ = _HEADER.unpack(header)
            incoming.read(size)
            name = command.to_bytes(4, "little")
            signed = name == b"AUTH" and kind == 2
            if answers and (name == b"CNXN" or signed):
                caller.sendall(_message(b"AUTH", 1, b"\x11" * _TOKEN_BYTES))


def _message(name: bytes, kind: int, payload: bytes) -> bytes:
    command = int.from_bytes(name, "little")
    check = sum(payload) & 0xFFFFFFFF
    return _HEADER.pack(command, kind, 0, len(payload), check, command ^ 0xFFFFFFFF) + payload
