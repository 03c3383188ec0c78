"""What an emulated device leaves behind, seen from the host."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exporter.device.emulator import Running
from exporter.device.emulator.state import record_of

BINFMT = Path("/proc/sys/fs/binfmt_misc")


def until(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@dataclass(frozen=True)
class Traces:
    """A device's namespace, and the machine as it was while the device ran.

    Attributes:
        running: the device.
        namespace: that its processes have as PID namespace.
        mounts: of the host.
        handlers: of the host's binfmt_misc.
    """

    running: Running
    namespace: str
    mounts: frozenset[str]
    handlers: frozenset[str]

    @staticmethod
    def of(running: Running) -> Traces:
        """Of a device that runs."""
        namespace = str(Path(f"/proc/{running.pid}/ns/pid_for_children").readlink())
        return Traces(running, namespace, _mounts(), _handlers())

    def processes(self) -> list[int]:
        """Those inside of the device, its first process first."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if str((place / "ns/pid").readlink()) == self.namespace and not _zombie(place):
                    found.append(int(place.name))
            except OSError:  # it has just ended
                continue
        return sorted(found)

    def left(self) -> list[str]:
        """What is still there after the device has ended; waits for it, but not for ever."""
        found = []
        if not until(lambda: not self.running.alive):
            found.append("launcher")
        if not until(lambda: not self.processes()):
            found.append(f"processes {self.processes()}")
        if not until(lambda: not listens("127.0.0.1", self.running.port)):
            found.append("port")
        if new := {line for line in _mounts() - self.mounts if "export-mobile" in line}:
            found.append(f"mounts {new}")
        if new := _handlers() - self.handlers:
            found.append(f"binfmt {new}")
        return found

    def record_left(self) -> bool:
        """Whether there is a file that says it runs."""
        return record_of(self.running.port).exists()


def listens(address: str, port: int) -> bool:
    """Whether a connection is taken there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(2)
        return probe.connect_ex((address, port)) == 0


def _zombie(place: Path) -> bool:
    return (place / "stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _mounts() -> frozenset[str]:
    return frozenset(Path("/proc/self/mountinfo").read_text().splitlines())


def _handlers() -> frozenset[str]:
    return frozenset(path.name for path in BINFMT.iterdir()) if BINFMT.exists() else frozenset()
