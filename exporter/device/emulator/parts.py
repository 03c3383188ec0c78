"""What an emulated device is made of, fetched and built once into the cache."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from exporter.base.files import sha256
from exporter.device import cache, debian
from exporter.device.emulator import root
from exporter.errors import UserError
from exporter.types import Tell

_PHONE_PACKAGES = ("adbd", "mksh", "toybox")
_QEMU_PACKAGES = ("qemu-user",)
_SEAL_FILE = "content.sha256"


@dataclass(frozen=True)
class Parts:
    """Folders and files of the cache that all devices share; nothing is ever written there.

    Attributes:
        root: the device's file system.
        qemu: runs arm64 programs; static.
    """

    root: Path
    qemu: Path


def prepare(tell: Tell) -> Parts:
    """The parts, built first where the cache has none or they were damaged.

    Raises:
        UserError: this machine cannot emulate a device, or a tool or the network is missing.
    """
    require_host(sys.platform, platform.machine())
    place = cache.cache_root()
    place.mkdir(parents=True, exist_ok=True)
    cache.require_exec(place)
    qemu = _sealed("qemu", cache.digest(debian.SUITE, *_QEMU_PACKAGES), _fetch_qemu, tell)
    key = cache.digest(debian.SUITE, *_PHONE_PACKAGES, Path(root.__file__))
    program = qemu / "qemu-aarch64"
    phone = _sealed("phone", key, lambda folder, tell: _build_phone(folder, program, tell), tell)
    return Parts(phone / "root", program)


def require_host(system: str, machine: str) -> None:
    """Refuses what the emulated device does not run on."""
    if system != "linux":
        raise UserError(
            "The emulated device needs Linux: it is made of Linux namespaces.",
            "Use a phone (--device SERIAL), or a Linux machine.",
        )
    if machine not in ("x86_64", "AMD64"):
        raise UserError(
            f"The emulated device runs on x86-64 only, and this machine is {machine}.",
            "Use a phone (--device SERIAL), or an x86-64 machine.",
        )


def _fetch_qemu(folder: Path, tell: Tell) -> Mapping[str, str]:
    tell("Fetching qemu (amd64) from Debian trixie")
    with tempfile.TemporaryDirectory(dir=folder) as tree:
        versions = debian.extract("amd64", _QEMU_PACKAGES, Path(tree))
        shutil.copyfile(Path(tree) / "usr/bin/qemu-aarch64", folder / "qemu-aarch64")
    (folder / "qemu-aarch64").chmod(0o755)
    return {name: versions[name] for name in _QEMU_PACKAGES}


def _build_phone(folder: Path, qemu: Path, tell: Tell) -> Mapping[str, str]:
    tell("Fetching adbd, mksh and toybox (arm64) from Debian trixie")
    with tempfile.TemporaryDirectory(dir=folder) as tree:
        versions = debian.extract("arm64", _PHONE_PACKAGES, Path(tree))
        tell("Building the device's file system")
        root.build_root(Path(tree), qemu, folder / "root")
    return versions


def _sealed(
    kind: str, key: str, build: Callable[[Path, Tell], Mapping[str, str]], tell: Tell
) -> Path:
    """A cache entry whose content is compared with a digest before each use."""

    def build_and_seal(folder: Path) -> Mapping[str, str]:
        fetched = build(folder, tell)
        (folder / _SEAL_FILE).write_text(_content(folder))
        return fetched

    def sound(folder: Path) -> bool:
        seal = folder / _SEAL_FILE
        return seal.is_file() and seal.read_text() == _content(folder)

    return cache.entry(kind, key, build_and_seal, sound)


def _content(folder: Path) -> str:
    """Digest of names, modes and content of everything in an entry but its own records."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.parent == folder and path.name in (_SEAL_FILE, cache.PROVENANCE_FILE):
            continue
        if path.is_symlink():
            data = os.fsencode(path.readlink())
        else:
            data = b"" if path.is_dir() else bytes.fromhex(sha256(path))
        total.update(f"{path.relative_to(folder)}\0{path.lstat().st_mode:o}\0".encode() + data)
    return total.hexdigest()
