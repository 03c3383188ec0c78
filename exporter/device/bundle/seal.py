"""A layer's list of hashes: what it holds, byte for byte, in the form that sha256sum reads."""

from __future__ import annotations

import os
from pathlib import Path

from exporter.base.files import sha256

LIST_FILE = "files.sha256"
EPOCH_S = 315532800
"""1980-01-01, the earliest a zip can state: no time of building is kept."""


def seal(folder: Path) -> None:
    """Gives every file and folder the same times and plain modes, and writes `files.sha256`."""
    lines = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in _files(folder)]
    (folder / LIST_FILE).write_text("".join(lines), encoding="utf-8")
    for path in (*folder.rglob("*"), folder):
        runs = path.is_dir() or path.parent.name == "bin" or path.name.startswith("ld-linux")
        path.chmod(0o755 if runs else 0o644)
        os.utime(path, (EPOCH_S, EPOCH_S))


def digest(folder: Path) -> str:
    """What names the content of a sealed folder: the SHA-256 of its list."""
    return sha256(folder / LIST_FILE)


def intact(folder: Path) -> bool:
    """Whether a sealed folder still holds exactly what its list says."""
    try:
        lines = (folder / LIST_FILE).read_text(encoding="utf-8").splitlines()
        listed = {path: digest for digest, path in (line.split("  ", 1) for line in lines)}
        present = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
        return listed.keys() == present.keys() and all(
            sha256(present[name]) == digest for name, digest in listed.items()
        )
    except (OSError, ValueError):
        return False


def _files(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != LIST_FILE)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())
