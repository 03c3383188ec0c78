"""A qemu that loads plugins, and the plugin: built once, from source, into the cache.

Debian's own qemu for user mode is static and cannot load any.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from exporter.base.files import sha256
from exporter.base.text import last_line
from exporter.device import cache, debian
from exporter.device.bundle import wheels
from exporter.device.emulator.counter import process, source, tools
from exporter.device.emulator.counter.count import PLUGIN, QEMU, Counter
from exporter.errors import UserError
from exporter.types import Tell

KIND = "counter"
HERE = Path(__file__).parent
REQUIREMENTS, PLUGIN_SOURCE = HERE / "requirements.txt", HERE / "count.c"
TIMEOUT_S = 3600.0

_CONFIGURE = (
    "--target-list=aarch64-linux-user",
    "--enable-plugins",
    "--without-default-features",
    "--enable-tcg",
    *(f"--disable-{part}" for part in ("system", "tools", "docs", "werror", "debug-info")),
    "--disable-download",
    "--extra-ldflags=-s",
)
_TOLD = 20
"""How often the build says how far it is: 390 steps, which take three minutes on two cores."""


def prepare(tell: Tell) -> Counter:
    """What counts, built first where the cache has none or it was damaged.

    Args:
        tell: is given a line for each step that takes time.

    Raises:
        UserError: a tool or the network is missing, or qemu cannot be built; with the remedy.
    """

    def build(folder: Path) -> dict[str, str]:
        tools.require(folder)
        return _build(folder, tell)

    return Counter(cache.entry(KIND, _key(), build, _is_sound))


def available() -> Counter | None:
    """What counts if it is built already, else None."""
    place = cache.cache_root() / KIND / _key()
    return Counter(place) if place.is_dir() and _is_sound(place) else None


def _key() -> str:
    fetching = (Path(source.__file__), Path(debian.__file__))
    recipe = (Path(__file__), *fetching, REQUIREMENTS, PLUGIN_SOURCE)
    return cache.digest(debian.SUITE, platform.machine(), *recipe)


def _is_sound(place: Path) -> bool:
    """Whether both files are as they were built, and the libraries that qemu takes still there."""
    try:
        made = cache.provenance(place)
        if any(sha256(place / name) != made[name] for name in (QEMU, PLUGIN)):
            return False
        asked = [str(place / QEMU), "--version"]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0
    except (OSError, ValueError, KeyError):  # a file is gone, or not as it was
        return False


def _build(folder: Path, tell: Tell) -> dict[str, str]:
    scratch = folder / "scratch"
    tree = scratch / "qemu"
    tree.mkdir(parents=True)
    tell("Fetching qemu's source (40 MB) from Debian trixie")
    made = source.fetch(tree)
    made |= wheels.pinned(REQUIREMENTS)
    wheels.fetch(REQUIREMENTS, tree / "python" / "wheels")
    _leave_out_firmware(tree)
    _compile_qemu(tree, tell)
    shutil.copyfile(tree / "build" / QEMU, folder / QEMU)
    (folder / QEMU).chmod(0o755)
    _compile_plugin(tree / "include" / "qemu", folder / PLUGIN)
    shutil.rmtree(scratch)
    return made | {name: sha256(folder / name) for name in (QEMU, PLUGIN)}


def _leave_out_firmware(tree: Path) -> None:
    """Debian's source package lacks the binary firmware that this part of the build copies."""
    meson = tree / "meson.build"
    text = meson.read_text(encoding="utf-8")
    meson.write_text(text.replace("subdir('pc-bios')\n", "roms = []\n"), encoding="utf-8")


def _compile_qemu(tree: Path, tell: Tell) -> None:
    build = tree / "build"
    build.mkdir()
    tell("Building qemu: configuring")
    run_step(["../configure", f"--python={sys.executable}", *_CONFIGURE], build, "configured")
    told = 0

    def on_line(line: str) -> None:
        nonlocal told
        step = re.match(r"\[(\d+)/(\d+)\]", line)
        if step and (share := int(step[1]) * _TOLD // int(step[2])) > told:
            told = share
            tell(f"Building qemu: {int(step[1]):,} of {int(step[2]):,} steps")

    jobs = len(os.sched_getaffinity(0))
    run_step(["nice", "ninja", f"-j{jobs}", QEMU], build, "compiled", on_line)


def _compile_plugin(headers: Path, plugin: Path) -> None:
    asked = ["pkg-config", "--cflags", "glib-2.0"]
    glib = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    options = ["-O2", "-fPIC", "-shared", "-s", "-fvisibility=hidden", f"-I{headers}", *glib]
    run_step(["gcc", *options, f"-o{plugin}", PLUGIN_SOURCE], headers, "compiled")


def run_step(
    command: Sequence[str | Path],
    folder: Path,
    done: str,
    on_line: Callable[[str], None] = lambda _: None,
) -> None:
    """Runs one step of the build; its log is kept where it fails."""
    log = cache.cache_root() / KIND / "build.log"
    try:
        code = process.run(command, folder=folder, log=log, seconds=TIMEOUT_S, on_line=on_line)
    except process.OutOfTimeError as error:
        raise UserError(
            f"qemu was not {done} in {TIMEOUT_S / 60:.0f} minutes.",
            f"Is the machine very busy? See {log}.",
        ) from error
    if code != 0:
        said = log.read_text(encoding="utf-8")
        errors = "\n".join(re.findall(r"^.*\berror\b.*$", said, re.IGNORECASE | re.MULTILINE))
        why = last_line(errors or said, f"exit code {code}")
        raise UserError(f"qemu could not be {done}: {why}", f"See {log}.")
    log.unlink()
