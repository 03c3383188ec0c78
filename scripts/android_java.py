"""What runs the Android app's engines off Android: a JVM, of this machine or of emulated arm64."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from exporter.device import cache, debian
from exporter.device.emulator import parts
from exporter.device.emulator.cpus import DEFAULT_CPU, cpu_name
from exporter.errors import UserError
from scripts import android_bionic

DEMO = android_bionic.SOURCES.parent.parent
LEAST_JAVA = 17
FLAVOURS: Mapping[str, str] = {
    "pte": "current",
    "onnx": "current",
    "tflite": "current",
    "ptl": "legacy",
}
"""Format -> which of the two apps has its library."""

_MAIN = "org.exportmobile.jvm.EngineHostKt"
_ARM_PACKAGES = ("openjdk-21-jre-headless", "libstdc++6")
_ARM_JAVA = "usr/lib/jvm/java-21-openjdk-arm64/bin/java"
_OPTIONS = (
    *("-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xmx1g"),
    "-XX:+DisplayVMOutputToStderr",  # what it says when it crashes is no answer
)
_EMULATED_OPTIONS = ("-XX:TieredStopAtLevel=1",)
"""To compile well takes longer under emulation than it saves."""


def classes() -> str:
    """The class path of the engines, which the app's build leaves behind.

    Raises:
        UserError: it was not built.
    """
    file = DEMO / "jvm/target/classpath.txt"
    own = DEMO / "jvm/target/classes"
    if not file.is_file() or not own.is_dir():
        raise UserError("The Android app is not built.", "Run: bash scripts/android.sh")
    return f"{own}:{file.read_text().strip()}"


def libraries(flavour: str, abi: str) -> Path:
    """The folder with the Android libraries of one of the two apps.

    Raises:
        UserError: the app was not built.
    """
    folder = DEMO / "engines" / flavour / "target/jni" / abi
    if not folder.is_dir():
        raise UserError("The Android app is not built.", "Run: bash scripts/android.sh")
    return folder


@functools.cache
def java() -> Path:
    """This machine's Java: of `$JAVA_HOME`, else on the PATH.

    Raises:
        UserError: there is none, or an old one.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    if found is None:
        raise UserError("Java is missing.", "apt-get install openjdk-17-jdk-headless")
    done = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    if version is None or int(version[1]) < LEAST_JAVA:
        raise UserError(
            f"{found} is older than Java {LEAST_JAVA}.", "apt-get install openjdk-17-jdk-headless"
        )
    return Path(found).resolve()


@functools.cache
def shim(abi: str) -> Path:
    """The bionic shim for all libraries of an ABI, built once; see `android_bionic.prepare`."""
    flavours = sorted(set(FLAVOURS.values()))
    found = [file for name in flavours for file in sorted(libraries(name, abi).glob("*.so"))]
    return android_bionic.prepare(abi, found, java().parent.parent)


@functools.cache
def _arm_root() -> Path:
    """A tree with Debian's Java for arm64, fetched once."""

    def build(folder: Path) -> Mapping[str, str]:
        versions = debian.extract("arm64", _ARM_PACKAGES, folder / "root")
        _stay_inside(folder / "root")
        return versions

    key = cache.digest(debian.SUITE, *_ARM_PACKAGES, Path(__file__))
    return cache.entry("java-arm64", key, build) / "root"


@functools.cache
def _qemu() -> Path:
    return parts.prepare(print).qemu


def _stay_inside(root: Path) -> None:
    """Turns absolute links into relative ones: followed from here they would leave the tree."""
    for link in (path for path in root.rglob("*") if path.is_symlink()):
        target = link.readlink()
        if target.is_absolute():
            link.unlink()
            link.symlink_to(os.path.relpath(root / target.relative_to("/"), link.parent))


def command(fmt: str, abi: str, cpu: str | None) -> tuple[list[str], dict[str, str]]:
    """How to start the process of one engine.

    Args:
        fmt: the format that it runs.
        abi: which build of the library.
        cpu: of emulated arm64; None for the usual one.

    Returns:
        The command, and what it adds to the environment.

    Raises:
        UserError: the app is not built, or a tool is missing; with the remedy.
    """
    here, native = shim(abi), libraries(FLAVOURS[fmt], abi)
    search = f"{here}:{native}"
    options = [
        *_OPTIONS,
        f"-Djava.library.path={native}",
        f"-Donnxruntime.native.path={native}",
        *("-cp", classes(), _MAIN, fmt, str(here), str(native)),
    ]
    if abi == "x86_64":
        return [str(java()), *options], {"LD_LIBRARY_PATH": search}
    root, qemu = _arm_root(), _qemu()
    emulated = [
        *(str(qemu), "-cpu", cpu_name(cpu or DEFAULT_CPU), "-L", str(root)),
        *("-E", f"LD_LIBRARY_PATH={search}"),
        *("-E", f"LD_PRELOAD={here / android_bionic.GUARD}"),
    ]
    return [*emulated, str(root / _ARM_JAVA), *_EMULATED_OPTIONS, *options], {}
