"""What took part in an export: versions of the tools, and the machine."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from exporter import __version__
from exporter.runtimes import runtimes


@cache
def tools() -> Mapping[str, str]:
    """Name -> version, or what else is known of it; looked up once, as every job has it in its
    digest."""
    packages = dict.fromkeys(tool for record in runtimes() for tool in record.tools)
    versions = {tool: metadata.version(tool) for tool in (*packages, "numpy") if _installed(tool)}
    return {
        "export-mobile": __version__,
        **versions,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
    }


def _installed(tool: str) -> bool:
    try:
        metadata.version(tool)
    except metadata.PackageNotFoundError:
        return False
    return True


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} x {len(names)}" if names else platform.processor() or "unknown"
