"""Packs the on-device agent into one file: itself, and the engine of each runtime."""

from __future__ import annotations

import zipfile
from importlib.resources import files
from pathlib import Path

from exporter.device.agent import ENGINES
from exporter.runtimes import runtimes

AGENT_FILE = "agent.pyz"


def write_agent(folder: Path) -> Path:
    """Writes agent.pyz, which Python runs as it is; see `exporter.device.agent`.

    Args:
        folder: where to.

    Returns:
        The file.
    """
    path = folder / AGENT_FILE
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__main__.py", "from agent.run import start\n\nstart()\n")
        archive.writestr(f"{ENGINES}/__init__.py", "")
        _add(archive, "agent", "exporter.device.agent", "*.py")
        for runtime in runtimes():
            place = f"{ENGINES}/{runtime.format}"
            archive.writestr(f"{place}/__init__.py", "")
            _add(archive, place, f"exporter.runtimes.{runtime.format}", "engine*.py")
    return path


def _add(archive: zipfile.ZipFile, place: str, package: str, pattern: str) -> None:
    folder = Path(str(files(package)))
    for file in sorted(folder.glob(pattern)):
        archive.writestr(f"{place}/{file.name}", file.read_bytes())
