"""Finds an emulated device's own processes on this machine, so that a test can stop or kill one."""

from __future__ import annotations

from pathlib import Path

from exporter.device.emulator import Running


def adbd_of(running: Running) -> int:
    """Process id of a device's adbd, as this machine counts."""
    parents = {int(p.name): _parent(p) for p in Path("/proc").iterdir() if p.name.isdecimal()}
    ours = {running.pid}
    while more := {p for p, parent in parents.items() if parent in ours} - ours:
        ours |= more
    found = [p for p in ours if b"/adbd\0adbd\0" in _read(Path(f"/proc/{p}/cmdline"))]
    # Every remote command's shell is its child, and for a moment its copy.
    return next(p for p in found if parents[p] not in found)


def _parent(process: Path) -> int:
    after_name = _read(process / "stat").rpartition(b") ")[2].split()
    return int(after_name[1]) if after_name else 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""
