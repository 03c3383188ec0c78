"""Files to and from a device: under a name of their own first, checked, then renamed."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath
from secrets import token_hex

from exporter.base.files import sha256
from exporter.base.text import last_line
from exporter.device import facts
from exporter.device.adb import Device
from exporter.device.link import Client, RemoteCommand, quote
from exporter.device.refusals import Trouble, explain, named, recognize, refusal
from exporter.errors import DeviceError, UserError

SILENCE_SECONDS = 20.0
"""Without a sign of life from the device while a file is on its way."""
_CHECK_SECONDS = 300.0
"""For the device to read a file of 500 MB again."""
_SLOWEST = 50_000
"""Bytes a second: slower than any link that is of use."""
_CLEAN_SECONDS = 5.0
_CHANGED, _IS_FOLDER, _NO_FILE = 65, 73, 66
"""Exit codes of our own, after sysexits.h."""


def push(device: Device, local: Path, remote: str) -> None:
    """Copies a file to a device, where it appears complete and checked, or not at all.

    Args:
        device: where.
        local: a file.
        remote: absolute path of the file to be; missing folders are made.

    Raises:
        UserError: there is no such file.
        DeviceError: it cannot be written there, or the device fails.
    """
    if not local.is_file():
        raise UserError(f"{local} is no file.", "Only files are copied to a device.")
    target = PurePosixPath(remote)
    part = str(target.parent / f".{token_hex(8)}.part")
    try:
        text = _carry(device, ["push", str(local.absolute()), part], local.stat().st_size)
        if text is not None:
            raise _refused(device, text, str(target.parent))
        check = (
            f"[ ! -d {quote(remote)} ] || exit {_IS_FOLDER}\n"
            f"sum=$(sha256sum < {quote(part)}) || exit\n"
            f'[ "${{sum%% *}}" = {sha256(local)} ] || exit {_CHANGED}\n'
            f"mv -f {quote(part)} {quote(remote)}"
        )
        done = device.stream(check, silence=SILENCE_SECONDS, deadline=_CHECK_SECONDS)
        if done.code == _IS_FOLDER:
            raise DeviceError(f"{named(device.serial)}: {named(remote)} is a folder.")
        if done.code == _CHANGED:
            raise _corrupt(device, remote)
        if done.code:
            raise _refused(device, done.stderr, str(target.parent))
    except BaseException as error:
        if not (isinstance(error, DeviceError) and error.lost):
            with suppress(DeviceError):
                device.run(f"rm -f {quote(part)}", timeout=_CLEAN_SECONDS)
        raise


def pull(device: Device, remote: str, local: Path) -> None:
    """Copies a file from a device; `local` is replaced once it is complete and checked.

    Raises:
        UserError: there is no space for it here.
        DeviceError: it cannot be read there, or the device fails.
    """
    file = quote(remote)
    about = f"[ -f {file} ] || exit {_NO_FILE}; sha256sum < {file} && wc -c < {file}"
    done = device.stream(about, silence=SILENCE_SECONDS, deadline=_CHECK_SECONDS)
    if done.code == _NO_FILE:
        raise refusal(Trouble.NO_FILE, device.serial, f": {named(remote)}")
    if done.code:
        raise _refused(device, done.stderr, remote)
    digest, _, size = done.text.split()
    part = local.absolute().with_name(f".{token_hex(8)}.part")
    try:
        text = _carry(device, ["pull", remote, str(part)], int(size))
        if text is not None and recognize(text) is Trouble.NO_SPACE:
            raise UserError(f"There is no space left for {local}.", "Free some.")
        if text is not None:
            raise _refused(device, text, remote)
        if sha256(part) != digest:
            raise _corrupt(device, remote)
        part.replace(local)
    finally:
        part.unlink(missing_ok=True)


def _carry(device: Device, words: list[str], size: int) -> str | None:
    """Runs `adb push` or `adb pull`; what it complains of, None when it is done.

    It shows nothing of its progress and waits for ever for a device that hangs. So after a
    moment a second command is started there that only gives signs of life.
    """
    began = time.monotonic()
    until = began + 2 * SILENCE_SECONDS + size / _SLOWEST
    with Client([*device.calling, *words]) as client:
        if not client.hear_out(2.0):
            with RemoteCommand(device.calling, "while :; do sleep 3600; done") as pulse:
                while not client.hear_out(0.2):
                    pulse.listen(0)
                    now = time.monotonic()
                    silent = now - max(pulse.heard, client.heard)
                    if silent > SILENCE_SECONDS or now > until:
                        raise refusal(
                            Trouble.HUNG, device.serial, f": adb {words[0]} hung for {silent:.0f} s"
                        )
        # It says what is wrong on stdout, among its progress, or nothing when the link dies.
        text = (client.stdout + client.stderr).decode(errors="replace")
        for name in words[1:]:  # which could read as a message itself
            text = text.replace(name, "")
        why = "\n".join(x for x in text.splitlines() if x and not re.match(r"\[ *\d+%\]", x))
        # Of its exit codes, those after a failure can be trusted.
        return (why or "error: closed") if client.exit_code() else None


def _refused(device: Device, text: str, path: str) -> DeviceError:
    """The error for a message about a file."""
    trouble = recognize(text)
    if trouble in (Trouble.DENIED, Trouble.READ_ONLY, Trouble.NO_FILE):
        return refusal(trouble, device.serial, f": {named(path)}")
    if trouble is Trouble.NO_SPACE:
        return refusal(trouble, device.serial, f" in {named(path)}{_free(device, path)}")
    if trouble in (Trouble.NOT_FOUND, Trouble.LOST):
        return device.link_error(f"error: {last_line(text)}")
    return explain(text, device.serial)


def _free(device: Device, path: str) -> str:
    with suppress(DeviceError):
        told = device.run(f"df -kP {quote(path)}", timeout=_CLEAN_SECONDS).text
        if (free := facts.free_bytes(told)) is not None:
            return f" ({free / 1e6:.1f} MB free)"
    return ""


def _corrupt(device: Device, path: str) -> DeviceError:
    return DeviceError(
        f"{named(path)} arrived changed: its sha256 on {named(device.serial)} is another.",
        "Try again; if it stays: another cable or port, and a look at the device's storage.",
    )
