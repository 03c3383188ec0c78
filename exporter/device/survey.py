"""All devices that adb sees, with what is wrong where one is not ready; and cleaning one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from exporter.device.adb import Adb, Connection, Device
from exporter.device.probe import FOLDER, PLACES, probe, require_arm64
from exporter.device.refusals import named, one_line
from exporter.errors import DeviceError
from exporter.types import DeviceFacts

PATIENCE_SECONDS = 6.0
"""For each device, all at once: a device that hangs does not keep the others waiting."""

LOCK = "lock"
"""File in our folder on a device, held with `flock` for the length of a run."""

_BUSY = 75
"""EX_TEMPFAIL of sysexits.h."""

_CLEAN = """
for place in {places}; do
  home=$place/{folder}
  [ -d "$home" ] && [ ! -L "$home" ] && [ -O "$home" ] || continue
  if command -v flock >/dev/null
  then exec 9>>"$home/{lock}"; flock -n 8 8>&9 || exit {busy}; fi
  size=$(du -sk "$home"); echo "${{size%%[!0-9]*}}"
  rm -rf "$home" || exit 1
done
exit 0
"""


@dataclass(frozen=True)
class Surveyed:
    """One device that adb sees.

    Attributes:
        serial: adb's name of it.
        state: adb's word; `device` when it is ready.
        facts: what it says of itself, where it could be asked.
        problem: why it cannot be measured on, and what to do; None when it can.
    """

    serial: str
    state: str
    facts: DeviceFacts | None = None
    problem: DeviceError | None = None


def survey(adb: Adb, timeout: float = PATIENCE_SECONDS) -> tuple[Surveyed, ...]:
    """Asks every connected device what it is, all at the same time.

    Args:
        adb: the client.
        timeout: seconds that a device has to answer.
    """
    connections = adb.devices()
    if not connections:
        return ()
    with ThreadPoolExecutor(len(connections)) as pool:
        return tuple(pool.map(lambda c: _look(adb, c, timeout), connections))


def clean(device: Device) -> int:
    """Removes all that export-mobile keeps on a device.

    Returns:
        Bytes that were freed; 0 when there was nothing.

    Raises:
        DeviceError: a run is on there, or something cannot be removed.
    """
    script = _CLEAN.format(places=" ".join(PLACES), folder=FOLDER, lock=LOCK, busy=_BUSY)
    done = device.run(script, timeout=120.0)
    if done.code == _BUSY:
        raise DeviceError(
            f"{named(device.serial)} is in use: export-mobile is measuring on it.",
            "Wait for that run to end, or stop it.",
        )
    if done.code:
        why = one_line(done.stderr) or f"exit code {done.code}"
        raise DeviceError(f"{named(device.serial)}: not everything could be removed: {why}")
    return sum(int(size) for size in done.text.split() if size.isdecimal()) * 1024


def _look(adb: Adb, connection: Connection, timeout: float) -> Surveyed:
    if not connection.ready:
        return Surveyed(connection.serial, connection.state, problem=connection.refusal())
    facts = None
    try:
        facts = probe(adb.device(connection.serial), timeout)
        require_arm64(facts)
    except DeviceError as error:
        return Surveyed(connection.serial, connection.state, facts, error)
    return Surveyed(connection.serial, connection.state, facts)
