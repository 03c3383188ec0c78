"""Builds one layer: unpacks what it is made of, leaves out what it need not hold, and seals it."""

from __future__ import annotations

import shutil
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path

from exporter import runtimes as records
from exporter.device import cache, elf
from exporter.device.bundle import bytecode, contents, wheels
from exporter.device.bundle.seal import seal
from exporter.runtimes.record import Bundle
from exporter.types import Format

CORE = "core"
HERE = Path(__file__).parent
START_FILE = "run.sh"


def requirements(name: str) -> Path:
    """The requirement file of a layer."""
    folder = HERE if name == CORE else Path(records.__file__).parent / name
    return folder / "requirements.txt"


def wanted(name: str) -> Bundle:
    """What of its wheels goes into a layer."""
    return contents.CORE if name == CORE else records.runtime(Format(name)).bundle


def fill(name: str, folder: Path, scratch: Path) -> dict[str, str]:
    """Fills `folder` with the layer `name`; the same bytes from the same packages, every time.

    Args:
        name: of the layer.
        folder: to be made.
        scratch: an empty folder for what is fetched.

    Returns:
        What it was made of: package -> `<version> <sha256>`.
    """
    pins = requirements(name)
    site = folder / "site"
    site.mkdir(parents=True)
    for wheel in wheels.fetch(pins, scratch):
        wheels.unpack(wheel, site)
    layer = wanted(name)
    _leave_out(site, (*contents.IN_NO_LAYER, *layer.leave_out))
    for path in layer.add_empty:
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).touch()
    versions = wheels.pinned(pins)
    if name == CORE:
        tree = bytecode.python_tree(bytecode.TARGET)
        _interpreter(tree, folder)
        _standard_library(tree, folder / "py" / "lib", scratch / "stdlib")
        shutil.copyfile(HERE / START_FILE, folder / START_FILE)
        versions |= cache.provenance(tree)
    bytecode.compile_below(site, keep_sources=layer.keep_sources)
    _strip(folder)
    seal(folder)
    return versions


def _leave_out(site: Path, patterns: tuple[str, ...]) -> None:
    """Removes the files that fit a pattern, then the folders that are empty."""
    for path in sorted(site.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
            continue
        name = path.relative_to(site).as_posix()
        if _fits(name, patterns) and not _fits(name, contents.KEEP):
            path.unlink()


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _interpreter(tree: Path, folder: Path) -> None:
    """The loader with its libraries in `lib`, and the interpreter as `bin/python3`."""
    (folder / "lib").mkdir()
    (folder / "bin").mkdir()
    for library in contents.GLIBC:
        shutil.copyfile(tree / "usr/lib/aarch64-linux-gnu" / library, folder / "lib" / library)
    shutil.copyfile(tree / "usr/bin/python3.13", folder / "bin" / "python3")


def _standard_library(tree: Path, target: Path, scratch: Path) -> None:
    """The modules as bytecode in `python313.zip`, the extension modules beside it."""
    source = tree / "usr/lib/python3.13"

    def leave_out(folder: str, names: list[str]) -> set[str]:
        return set(names) & contents.NOT_OF_STDLIB if Path(folder) == source else set()

    shutil.copytree(source, scratch, ignore=leave_out)
    bytecode.compile_below(scratch)
    dynamic = target / "python3.13" / "lib-dynload"
    dynamic.mkdir(parents=True)
    for name in contents.EXTENSIONS:
        (module,) = source.glob(f"lib-dynload/{name}.cpython-*.so")
        shutil.copyfile(module, dynamic / module.name)
    with zipfile.ZipFile(target / "python313.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(scratch.rglob("*.pyc")):
            info = zipfile.ZipInfo(path.relative_to(scratch).as_posix())
            archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)


def _strip(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and elf.is_elf(path):
            path.write_bytes(elf.stripped(path.read_bytes()))
