"""Brings the runtime bundle to a device: once, checked by content, repaired where it is damaged."""

from __future__ import annotations

import os
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import BinaryIO

from exporter.device.adb import Device, quote
from exporter.device.bundle import Layer
from exporter.device.refusals import Trouble, named, one_line, recognize
from exporter.errors import DeviceError

RUNTIME = "runtime"
"""Folder of ours on a device: one folder a layer, named by what is in it."""

_SILENCE_SECONDS = 20.0
_CHECK_SECONDS = 300.0
_PUSH_SECONDS = 1800.0
"""292 MB over a USB cable that does 200 kB a second."""
_SPARE_BYTES = 16_000_000
"""For artifacts, samples and outputs."""
_COMPRESSION = 4
"""gzip's level towards a cable: higher ones take longer than they save."""

_ABSENT, _DAMAGED = 66, 65

_CHECK = f"""
[ -f {{folder}}/files.sha256 ] && cd {{folder}} || exit {_ABSENT}
sum=$(sha256sum <files.sha256) && [ "${{{{sum%% *}}}}" = {{digest}} ] || exit {_DAMAGED}
sha256sum -c files.sha256 >/dev/null 2>&1 || exit {_DAMAGED}
"""

_UNPACK = """
mkdir -p {part} && cd {part} || exit
{unzip}tar -xf - || exit
{check}
cd / && rm -rf {folder} && mv {part} {folder} || exit
for other in {runtime}/{name}-*; do [ "$other" = {folder} ] || rm -rf "$other"; done
"""


def install(
    device: Device, home: str, layers: Sequence[Layer], tell: Callable[[str], None]
) -> dict[str, str]:
    """Makes sure that layers are on a device, whole; only what is missing or damaged is sent.

    Older versions of these layers are removed. To be called by the only one who works in `home`.

    Args:
        device: where.
        home: our folder there, absolute.
        layers: what is needed.
        tell: takes a line of progress.

    Returns:
        Name of a layer -> its absolute folder on the device.

    Raises:
        DeviceError: there is not enough space, or the device fails; nothing half-done stays.
    """
    device.shell(f"mkdir -p {quote(f'{home}/{RUNTIME}')}; rm -rf {quote(home)}/{RUNTIME}/.*.part")
    places = {layer.name: f"{home}/{RUNTIME}/{layer.name}-{layer.digest[:16]}" for layer in layers}
    missing = []
    for layer in layers:
        tell(f"checking the runtime's part {layer.name} on the device")
        if not _is_whole(device, places[layer.name], layer):
            missing.append(layer)
    _require_space(device, home, missing)
    for layer in missing:
        _send(device, f"{home}/{RUNTIME}", places[layer.name], layer, tell)
    return places


def _is_whole(device: Device, folder: str, layer: Layer) -> bool:
    """Whether a layer is there, every byte of it: a file system that was full or an unclean end
    leave files of the right name and size."""
    check = _CHECK.format(folder=quote(folder), digest=layer.digest)
    code = device.stream(check, silence=_SILENCE_SECONDS, deadline=_CHECK_SECONDS).code
    if code not in (0, _ABSENT, _DAMAGED):
        raise DeviceError(
            f"{named(device.serial)} cannot check the runtime (exit code {code}).",
            "It needs `sha256sum`, of toybox, busybox or coreutils.",
        )
    return code == 0


def _require_space(device: Device, home: str, missing: Sequence[Layer]) -> None:
    """Refuses before anything is sent what cannot fit."""
    free = _free_bytes(device, home)
    needed = sum(layer.size for layer in missing) + _SPARE_BYTES
    if missing and free is not None and free < needed:
        raise _no_space(device, home, f"{needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB free")


def _send(
    device: Device, runtime: str, folder: str, layer: Layer, tell: Callable[[str], None]
) -> None:
    """Streams a layer into a folder of its own, which is renamed once it is checked."""
    local = device.serial.startswith("127.0.0.1:")  # to pack would take longer than to send
    part = f"{runtime}/.{layer.name}-{token_hex(4)}.part"
    command = _UNPACK.format(
        part=quote(part),
        folder=quote(folder),
        runtime=quote(runtime),
        name=quote(layer.name),
        unzip="" if local else "gunzip -c | ",
        check=_CHECK.format(folder=quote(part), digest=layer.digest),
    )
    try:
        with _archive(layer, tell, compressed=not local) as archive:
            done = device.stream(
                command, silence=_SILENCE_SECONDS, deadline=_PUSH_SECONDS, stdin=archive
            )
        if done.code and recognize(done.stderr) is Trouble.NO_SPACE:
            raise _no_space(device, runtime, f"{layer.size / 1e6:.0f} MB did not fit")
        if done.code == _DAMAGED:
            raise DeviceError(
                f"The runtime's part {layer.name} arrived changed on {named(device.serial)}.",
                "Try again; if it stays: another cable or port.",
            )
        if done.code:
            why = one_line(done.stderr) or f"exit code {done.code}"
            raise DeviceError(
                f"{named(device.serial)} could not unpack the runtime's part {layer.name}: {why}"
            )
    except BaseException as error:
        if not (isinstance(error, DeviceError) and error.lost):
            with suppress(DeviceError):
                device.run(f"rm -rf {quote(part)}")
        raise


@contextmanager
def _archive(layer: Layer, tell: Callable[[str], None], compressed: bool) -> Iterator[BinaryIO]:
    """A pipe that the layer comes out of as a tar archive."""
    read, write = os.pipe()
    source = os.fdopen(read, "rb")
    writer = threading.Thread(target=_pack, args=(layer, write, tell, compressed), daemon=True)
    writer.start()
    try:
        yield source
    finally:
        source.close()
        writer.join()


def _pack(layer: Layer, write: int, tell: Callable[[str], None], compressed: bool) -> None:
    sent, told = 0, 0.0
    # Whoever read may have gone before the end; that it has is told elsewhere.
    with suppress(BrokenPipeError), os.fdopen(write, "wb") as sink:
        mode = "w|gz" if compressed else "w|"
        options = {"compresslevel": _COMPRESSION} if compressed else {}
        with tarfile.open(fileobj=sink, mode=mode, **options) as archive:  # type: ignore[call-overload]
            for path in sorted(layer.folder.rglob("*")):
                info = archive.gettarinfo(path, str(path.relative_to(layer.folder)))
                info.uid = info.gid = 0
                info.uname = info.gname = ""
                if not info.isreg():
                    archive.addfile(info)
                    continue
                if sent - told >= _TELL_BYTES or not told:
                    told = sent or 1
                    tell(
                        f"sending the runtime's part {layer.name}: "
                        f"{sent / 1e6:.0f} of {layer.size / 1e6:.0f} MB"
                    )
                with path.open("rb") as content:
                    archive.addfile(info, content)
                sent += info.size


_TELL_BYTES = 16_000_000


def _free_bytes(device: Device, folder: str) -> int | None:
    from exporter.device.facts import free_bytes

    return free_bytes(device.run(f"df -kP {quote(folder)}").text)


def _no_space(device: Device, folder: str, how: str) -> DeviceError:
    return DeviceError(
        f"There is no space left on {named(device.serial)} in {named(folder)}: {how}.",
        f"Free some, or: export-mobile devices clean {quote(device.serial)}",
    )
