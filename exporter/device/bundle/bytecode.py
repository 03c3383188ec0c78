"""Python source to bytecode of the device's Python, compiled by the same Python on this machine."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from exporter.device import cache, debian
from exporter.device.bundle import compiler
from exporter.errors import UserError

PACKAGES = ("python3.13-minimal", "libpython3.13-stdlib", "libstdc++6", "libgomp1", "zlib1g")
"""What the interpreter, the wheels and their libraries need, with what those depend on."""

TARGET = "arm64"
TIMEOUT_S = 600.0

_DEBIAN_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}


def python_tree(arch: str) -> Path:
    """Python 3.13 of Debian and the libraries it needs, for `arch`; fetched once."""
    key = cache.digest(debian.SUITE, arch, *PACKAGES, Path(debian.__file__))

    def build(scratch: Path) -> dict[str, str]:
        return debian.extract(arch, PACKAGES, scratch)

    return cache.entry("debian-python", key, build)


def compile_below(folder: Path, keep_sources: bool = False) -> None:
    """Compiles each `.py` below `folder`, which the bytecode then replaces.

    Only the version that will run it can write bytecode, and starting under emulation from source
    takes several times as long; so Debian's Python for this machine does it.

    Args:
        folder: holds modules and packages.
        keep_sources: for packages that read their own source.

    Raises:
        UserError: this machine is neither x86-64 nor arm64.
        RuntimeError: a file does not compile.
    """
    arch = _DEBIAN_NAMES.get(platform.machine())
    if arch is None:
        raise UserError(
            f"The runtime for devices cannot be built on {platform.machine()}.",
            "Build it on an x86-64 or arm64 machine.",
        )
    tree = python_tree(arch)
    libraries = next(tree.glob("usr/lib/*-linux-gnu"))
    python = (next(libraries.glob("ld-linux-*.so.*")), "--library-path", libraries)
    script = (tree / "usr/bin/python3.13", "-S", compiler.__file__, folder)
    done = subprocess.run(
        [*python, *script, "beside" if keep_sources else "replace"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env={"PYTHONHOME": str(tree / "usr"), "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"compiling {folder} failed: {done.stderr}")
