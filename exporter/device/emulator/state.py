"""Which devices run: one file a device, believed only while its launcher lives."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from exporter.device.cache import cache_root


@dataclass(frozen=True)
class Running:
    """A device that has been started.

    Attributes:
        pid: of its launcher.
        port: of 127.0.0.1.
        cpu: qemu's name of it.
        storage: as it was asked for, such as `800m`.
        since: start, in seconds since the epoch.
        birth: what tells the launcher from a later process of the same number.
    """

    pid: int
    port: int
    cpu: str
    storage: str
    since: float
    birth: str

    @property
    def serial(self) -> str:
        """What adb calls it once it is connected."""
        return f"127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether the launcher still runs."""
        return birth(self.pid) == self.birth

    @staticmethod
    def now(pid: int, port: int, cpu: str, storage: str) -> Running:
        """Of a launcher that was just started."""
        return Running(pid, port, cpu, storage, time.time(), birth(pid) or "")


def birth(pid: int) -> str | None:
    """Boot and clock tick that a process was started at; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # proc_pid_stat(5): the name, in parentheses, may hold spaces; then field 3, the state, follows.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX":  # dead, and not yet collected by its parent
        return None
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{fields[19]}"


def record_of(port: int) -> Path:
    """The file that says what runs at a port."""
    return cache_root() / "running" / f"{port}.json"


def log_of(port: int) -> Path:
    """The file for what the device's daemon says."""
    return record_of(port).with_suffix(".log")


def record(running: Running) -> None:
    """Writes a device's file, whole or not at all."""
    place = record_of(running.port)
    scratch = place.with_suffix(f".{os.getpid()}")
    scratch.write_text(json.dumps(asdict(running)))
    scratch.replace(place)


def status() -> tuple[Running, ...]:
    """The devices that run, by port. What a killed one left here is removed."""
    found = []
    for place in record_of(0).parent.glob("*.json"):
        running = _read(place)
        if running and running.alive:
            found.append(running)
        else:
            place.unlink(missing_ok=True)
            place.with_suffix(".log").unlink(missing_ok=True)
    return tuple(sorted(found, key=lambda one: one.port))


def forget_logs() -> None:
    """Removes what devices said that have ended: it is of use until the next one starts."""
    status()
    for log in record_of(0).parent.glob("*.log"):
        if not log.with_suffix(".json").exists():
            log.unlink(missing_ok=True)


def _read(place: Path) -> Running | None:
    try:
        return Running(**json.loads(place.read_text()))
    except (OSError, ValueError, TypeError):
        return None
