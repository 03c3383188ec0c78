"""What `adb devices` lists, and which of it is meant."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from exporter.device.refusals import Trouble, explain, named, one_line, refusal
from exporter.errors import DeviceError

READY = "device"
"""The state of a device that can be used."""

NONE_CONNECTED = (
    "Plug one in with USB debugging on, or: adb connect HOST:PORT. "
    "Without one: export-mobile emulator start"
)
"""What to do when adb sees no device."""

_LINE = re.compile(
    r"(?P<serial>.+?)\s+(?P<state>device|offline|unauthorized|authorizing|connecting|recovery|"
    r"sideload|bootloader|rescue|host|detached|unknown|no permissions.*?)"
    r"(?P<attributes>(?:\s+\w+:\S*)*)\s*"
)
"""A line of `adb devices -l`. A serial may hold spaces."""


@dataclass(frozen=True)
class Connection:
    """One line of `adb devices -l`.

    Attributes:
        serial: adb's name of the device.
        state: `device` when it is ready, else `offline`, `unauthorized`, ...
        attributes: such as `model` and `transport_id`.
    """

    serial: str
    state: str
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether it can be used."""
        return self.state == READY

    def refusal(self) -> DeviceError:
        """Why it cannot be used, with the remedy."""
        return explain(self.state, self.serial)


def parse(text: str) -> tuple[Connection, ...]:
    """What `adb devices -l` printed.

    Raises:
        DeviceError: it is no list, because adb's server does not work.
    """
    lines = text.splitlines()
    # Before the header it may say that it starts its server.
    start = next((i for i, line in enumerate(lines, 1) if line.startswith("List of dev")), None)
    if start is None:
        raise refusal(Trouble.SERVER, "adb", one_line(text) or "it lists nothing.")
    found = (_LINE.fullmatch(line) for line in lines[start:])
    return tuple(
        Connection(
            match["serial"],
            match["state"],
            dict(pair.split(":", 1) for pair in match["attributes"].split()),
        )
        for match in found
        if match
    )


def only(connections: Sequence[Connection]) -> Connection:
    """The one that is ready."""
    ready = [c for c in connections if c.ready]
    if len(ready) == 1:
        return ready[0]
    if ready:
        raise DeviceError(
            f"{len(ready)} devices are ready: {', '.join(named(c.serial) for c in ready)}.",
            "Name the one you mean, such as: --device " + shlex.quote(ready[0].serial),
            lost=True,
        )
    if len(connections) == 1:
        raise connections[0].refusal()
    if connections:
        states = ", ".join(f"{named(c.serial)} ({c.state})" for c in connections)
        raise DeviceError(
            f"No device is ready: {states}.",
            "`export-mobile devices` says what to do for each.",
            lost=True,
        )
    raise DeviceError("No device is connected.", NONE_CONNECTED, lost=True)


def listing(connections: Sequence[Connection]) -> str:
    """A sentence that names them, with the state of those that are not ready."""
    states = (
        f"{named(c.serial)} ({c.state})" if not c.ready else named(c.serial) for c in connections
    )
    return f"Connected: {', '.join(states)}." if connections else "No device is connected."
