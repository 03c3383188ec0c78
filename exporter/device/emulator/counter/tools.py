"""What building qemu takes of this machine."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from exporter.device import cache
from exporter.device.debian import KEYRING
from exporter.errors import UserError

_PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "setpriv": "util-linux",
    "tar": "tar",
    "xz": "xz-utils",
    "gcc": "gcc",
    "ninja": "ninja-build",
    "pkg-config": "pkg-config",
}
"""Program -> Debian's package."""

_LIBRARIES = {
    "glib-2.0 >= 2.66": "libglib2.0-dev",  # which qemu 10 asks for
    "zlib": "zlib1g-dev",
}
"""As pkg-config knows it -> Debian's package."""


def require(folder: Path) -> None:
    """Checks that qemu can be built, and run, in `folder`.

    Raises:
        UserError: something is missing; it names all of it, with one remedy.
    """
    if sys.platform != "linux":
        raise UserError(
            "Instructions are counted on Linux only: qemu's user mode needs it.",
            "Use a Linux machine, or a phone (--device SERIAL).",
        )
    cache.require_exec(folder.parent)
    wanted = {program: package for program, package in _PROGRAMS.items() if not _has(program)}
    wanted |= {name: package for name, package in _LIBRARIES.items() if not _has_library(name)}
    if importlib.util.find_spec("ensurepip") is None:
        wanted["Python's ensurepip"] = "python3-venv"
    if not KEYRING.is_file():
        wanted["the keys of Debian's archive"] = "debian-archive-keyring"
    if wanted:
        raise UserError(
            f"Building qemu, which counts instructions, needs what is missing here: "
            f"{', '.join(wanted)}.",
            f"apt-get install {' '.join(wanted.values())}",
        )


def _has(program: str) -> bool:
    return shutil.which(program) is not None


def _has_library(name: str) -> bool:
    if not _has("pkg-config"):
        # It cannot be asked, and the remedy does no harm.
        return False
    asked = ["pkg-config", "--print-errors", "--exists", name]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0
