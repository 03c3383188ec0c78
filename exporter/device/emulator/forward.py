"""Forwards connections of the host into the device's network, which this process is in."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from exporter.device.emulator.inside import ADBD_PORT

_DEVICE = ("127.0.0.1", ADBD_PORT)
_CHUNK = 1 << 18

_CONNECT = int.from_bytes(b"CNXN", "little")
_VERSION, _MOST_DATA = 0x01000001, 1 << 20
_BANNER = b"host::"
_HEADER = struct.Struct("<6I")


async def forward(listener: socket.socket) -> asyncio.Server:
    """Connects each client of `listener` with adbd."""
    return await asyncio.start_server(_connect, sock=listener, limit=_CHUNK)


async def answers() -> bool:
    """Whether adbd answers the first message of adb's protocol.

    The message's layout is from AOSP's `packages/modules/adb/protocol.txt`.
    """
    greeting = _HEADER.pack(
        _CONNECT, _VERSION, _MOST_DATA, len(_BANNER), sum(_BANNER), _CONNECT ^ 0xFFFFFFFF
    )
    try:
        reader, writer = await asyncio.open_connection(*_DEVICE)
    except OSError:
        return False
    try:
        writer.write(greeting + _BANNER)
        command, *_ = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    except (OSError, asyncio.IncompleteReadError):
        return False
    finally:
        writer.close()
    return command == _CONNECT


async def _connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        to_read, to_write = await asyncio.open_connection(*_DEVICE, limit=_CHUNK)
    except OSError:
        writer.close()
        return
    there = asyncio.create_task(_copy(reader, to_write))
    back = asyncio.create_task(_copy(to_read, writer))
    await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
    # adb has no use for half a connection: when one side goes, so does the other.
    for task, stream in ((there, to_write), (back, writer)):
        task.cancel()
        stream.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(_CHUNK):
            target.write(data)
            await target.drain()
