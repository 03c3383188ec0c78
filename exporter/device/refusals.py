"""What adb says when it fails, and what the user is told instead: the one table of both."""

from __future__ import annotations

import re
import shlex
from enum import Enum

from exporter.errors import DeviceError


class Trouble(Enum):
    """Why a device, or the way to it, failed."""

    NOT_FOUND = "not found"
    OFFLINE = "offline"
    UNAUTHORIZED = "unauthorized"
    AUTHORIZING = "authorizing"
    CONNECTING = "connecting"
    NO_PERMISSIONS = "no permissions"
    OTHER_MODE = "recovery, sideload, bootloader"
    SEVERAL = "several"
    REFUSED = "refused"
    NO_HOST = "no host"
    SERVER = "server"
    OLD_PROTOCOL = "old protocol"
    NO_SPACE = "no space"
    NO_FILE = "no file"
    DENIED = "denied"
    READ_ONLY = "read only"
    LOST = "lost"
    HUNG = "hung"
    UNKNOWN = "unknown"


_TEXTS: tuple[tuple[str, Trouble], ...] = (
    (r"more than one device|more than one emulator", Trouble.SEVERAL),
    (r"^unauthorized|device unauthorized|failed to authenticate", Trouble.UNAUTHORIZED),
    (r"device still authorizing|^authorizing", Trouble.AUTHORIZING),
    (r"device still connecting|^connecting", Trouble.CONNECTING),
    (r"insufficient permissions|no permissions", Trouble.NO_PERMISSIONS),
    (r"device offline|^offline", Trouble.OFFLINE),
    (r"^(recovery|sideload|bootloader|rescue|host)\b", Trouble.OTHER_MODE),
    (r"device '.*' not found|no devices/emulators found|no such device", Trouble.NOT_FOUND),
    (r"target doesn't support PTY args|shell protocol", Trouble.OLD_PROTOCOL),
    (r"cannot connect to daemon|failed to (check|start) (the )?(server|daemon)", Trouble.SERVER),
    (r"ADB server didn't ACK|smartsocket listener|server version .* doesn't match", Trouble.SERVER),
    (r"failed to resolve|cannot resolve|could not resolve|bad port", Trouble.NO_HOST),
    (r"failed to connect|unable to connect|Connection refused", Trouble.REFUSED),
    (r"No space left on device|Disk quota exceeded", Trouble.NO_SPACE),
    (r"Read-only file system", Trouble.READ_ONLY),
    (r"Permission denied|Operation not permitted", Trouble.DENIED),
    (r"remote object .* does not exist|No such file or directory", Trouble.NO_FILE),
    (r"couldn't read from device|failed to read copy response", Trouble.LOST),
    (
        r"protocol fault|connection reset|broken pipe|: closed$|device disconnected",
        Trouble.LOST,
    ),
)
"""What adb 28 to 36 writes (regular expression), or a state of `adb devices` -> what it means."""

_SAYS: dict[Trouble, tuple[str, str, bool]] = {
    Trouble.NOT_FOUND: (
        "{serial} is not connected.",
        "{detail} Check the cable and USB debugging; over the network: adb connect HOST:PORT",
        True,
    ),
    Trouble.OFFLINE: (
        "{serial} is offline: adb sees it, but it does not answer.",
        "Plug it in again (or: adb reconnect offline); over the network: adb disconnect {word}, "
        "then adb connect {word}",
        True,
    ),
    Trouble.UNAUTHORIZED: (
        "{serial} has not allowed this computer to use it.",
        "Unlock its screen and accept `Allow USB debugging?`. No prompt: switch USB debugging off "
        "and on again, then adb reconnect offline",
        True,
    ),
    Trouble.AUTHORIZING: (
        "{serial} is still checking this computer's key.",
        "Unlock its screen, accept `Allow USB debugging?`, and try again.",
        True,
    ),
    Trouble.CONNECTING: (
        "{serial} is still connecting.",
        "Try again in a few seconds; if it stays: plug it in again (or: adb reconnect offline)",
        True,
    ),
    Trouble.NO_PERMISSIONS: (
        "This user may not open the USB device of {serial}.",
        "Install the udev rules (apt-get install android-sdk-platform-tools-common), join their "
        "group (usermod -aG plugdev $USER), log in again and plug the device in again.",
        True,
    ),
    Trouble.OTHER_MODE: (
        "{serial} runs {detail}, not its normal system.",
        "Start it normally: adb -s {word} reboot (in the bootloader: fastboot reboot)",
        True,
    ),
    Trouble.SEVERAL: (
        "Several devices are connected.",
        "Name one by its serial: `export-mobile devices` lists them.",
        True,
    ),
    Trouble.REFUSED: (
        "Nothing answers adb at {serial}.",
        "Is the device on, in the same network, with wireless debugging on (adb tcpip 5555)? "
        "An emulated one: export-mobile emulator start",
        True,
    ),
    Trouble.NO_HOST: (
        "{serial} is no address that can be found.",
        "An address is HOST:PORT, such as 192.168.1.20:5555",
        True,
    ),
    Trouble.SERVER: (
        "adb's server on this computer does not work: {detail}",
        "Restart it: adb kill-server, then adb start-server",
        True,
    ),
    Trouble.OLD_PROTOCOL: (
        "{serial} runs an adbd that cannot tell exit codes (older than Android 7).",
        "Update its system, or its adbd.",
        True,
    ),
    Trouble.NO_SPACE: (
        "{serial} has no space left{detail}.",
        "Free some: `export-mobile devices clean {word}` removes what export-mobile keeps there.",
        False,
    ),
    Trouble.NO_FILE: ("{serial} has no such file{detail}.", "", False),
    Trouble.DENIED: (
        "{serial} refused it: permission denied{detail}.",
        "Choose a folder that adb's user may write, such as /data/local/tmp.",
        False,
    ),
    Trouble.READ_ONLY: (
        "{serial} refused it: the file system is read-only{detail}.",
        "Choose a folder that adb's user may write, such as /data/local/tmp.",
        False,
    ),
    Trouble.LOST: (
        "The connection to {serial} was lost{detail}.",
        "Check the cable or network and that `export-mobile devices` lists it, then run it again.",
        True,
    ),
    Trouble.HUNG: (
        "{serial} does not answer{detail}.",
        "Its adbd or the link hangs: plug it in again, or switch USB debugging off and on. "
        "Over the network: adb disconnect {word}, then adb connect {word}",
        True,
    ),
    Trouble.UNKNOWN: (
        "adb failed with {serial}: {detail}",
        "`export-mobile devices` says whether it is ready.",
        False,
    ),
}
"""Trouble -> (what is wrong, what to do, whether the device is lost for this run)."""


def recognize(text: str) -> Trouble:
    """What a message of adb's, or a state that `adb devices` lists, means."""
    found = (trouble for pattern, trouble in _TEXTS if re.search(pattern, text, re.I | re.M))
    return next(found, Trouble.UNKNOWN)


def refusal(trouble: Trouble, serial: str, detail: str = "") -> DeviceError:
    """The error for the user.

    Args:
        trouble: what it is.
        serial: of the device.
        detail: what the sentence of this trouble has a place for, such as ` in /data (0 MB free)`.
    """
    message, hint, lost = _SAYS[trouble]
    words = {"serial": named(serial), "word": shlex.quote(one_line(serial)), "detail": detail}
    return DeviceError(message.format(**words), hint.format(**words).strip(), lost=lost)


def explain(text: str, serial: str, detail: str = "") -> DeviceError:
    """The error for a message of adb's; one that is not known is quoted on one line."""
    trouble = recognize(text)
    if trouble in (Trouble.UNKNOWN, Trouble.SERVER):
        detail = one_line(text) or "it gave no reason."
    elif trouble is Trouble.OTHER_MODE:
        detail = one_line(text)
    return refusal(trouble, serial, detail)


def named(serial: str) -> str:
    """A serial, or any word of the user's, for a sentence: in quotes where it could be misread."""
    return serial if re.fullmatch(r"[\w.:@/%+-]+", serial) else repr(serial)


def one_line(text: str, width: int = 200) -> str:
    """Text of a device for a sentence: printable, on one line, not endless."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= width else flat[: width - 3] + "..."
