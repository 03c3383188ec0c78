"""What this machine has of what export-mobile needs."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata

from exporter.base.text import first_line
from exporter.errors import FormatError
from exporter.runtimes import runtimes
from exporter.runtimes.load import load_runner
from exporter.runtimes.record import Runtime

_DISTRIBUTION = "export-mobile"

_PIP = f"{sys.executable} -m pip install"
"""Of this very environment: the first pip on PATH may belong to another."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        name: what.
        ok: whether it is there and usable.
        found: version or facts.
        fix: what to do when it is not ok.
        needed: False when only some features want it.
    """

    name: str
    ok: bool
    found: str = ""
    fix: str = ""
    needed: bool = True


def examine() -> tuple[Finding, ...]:
    """Looks at Python, every pinned package, each runtime, the int8 engines and adb."""
    return (
        Finding(
            "python",
            True,
            f"{platform.python_version()} on {platform.machine()} {platform.system()}",
        ),
        *_packages(),
        *map(_runtime, runtimes()),
        _guard("QNNPACK engine", _qnnpack, "torch"),
        _guard("XNNPACK in torch", _xnnpack, "torch"),
        _adb(),
        _mmdebstrap(),
    )


def _packages() -> tuple[Finding, ...]:
    """What pyproject.toml pins, as it was installed."""
    try:
        stated = _requirements()
    except metadata.PackageNotFoundError:
        fix = f"{_PIP} .   (in the project's folder)"
        return (Finding(_DISTRIBUTION, False, "not installed", fix),)
    try:
        return tuple(_package(requirement) for requirement in stated)
    except ImportError:  # it reads the others' pins
        return (Finding("packaging", False, "not installed", f"{_PIP} packaging"),)


def _requirements() -> list[str]:
    return [text for text in metadata.requires(_DISTRIBUTION) or () if "extra ==" not in text]


def _package(requirement: str) -> Finding:
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    fix = f"{_PIP} '{wanted.name}{wanted.specifier}'"
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return Finding(wanted.name, False, "not installed", fix)
    if not wanted.specifier.contains(version, prereleases=True):
        return Finding(wanted.name, False, f"{version}, but {wanted.specifier} is needed", fix)
    return Finding(wanted.name, True, version)


def _runtime(record: Runtime) -> Finding:
    name = f"{record.name} (.{record.format})"

    def probe() -> Finding:
        load_runner(record.format)
        import_module(record.native)
        return Finding(name, True, "imports")

    return _guard(name, probe, record.distribution)


def _guard(name: str, probe: Callable[[], Finding], distribution: str) -> Finding:
    """A probe whose imports may fail; `distribution` is what to install again then."""
    try:
        return probe()
    except (FormatError, ModuleNotFoundError) as error:
        return Finding(name, False, str(error), "install what is missing above")
    except (ImportError, OSError) as error:  # it is there, but its native code does not load
        version = metadata.version(distribution)
        fix = f"{_PIP} --force-reinstall --no-deps {distribution}=={version}"
        return Finding(name, False, first_line(error), fix)


def _qnnpack() -> Finding:
    torch = import_module("torch")
    engines = [e for e in torch.backends.quantized.supported_engines if e != "none"]
    fix = "install a torch build with QNNPACK: int8 .ptl files cannot be made or run without it"
    return Finding("QNNPACK engine", "qnnpack" in engines, ", ".join(engines), fix)


def _xnnpack() -> Finding:
    torch = import_module("torch")
    has = bool(torch._C._is_xnnpack_enabled())
    fix = (
        "no need to act: weights of float .ptl files are then not prepacked; "
        "a torch built with USE_XNNPACK=1 (the aarch64 wheel of 2.10) does that"
    )
    return Finding(
        "XNNPACK in torch", has, "yes" if has else "this build has none", fix, needed=False
    )


def _adb() -> Finding:
    fix = "needed only to measure on devices: apt-get install adb (or Android's platform-tools)"
    return _program("adb", "version", r"version (\S+)", fix)


def _mmdebstrap() -> Finding:
    fix = (
        "needed only to make, once, what runs on devices: "
        "apt-get install mmdebstrap debian-archive-keyring"
    )
    return _program("mmdebstrap", "--version", r"mmdebstrap (\S+)", fix)


def _program(name: str, question: str, answer: str, fix: str) -> Finding:
    """A program that only some features want, and its version."""
    path = shutil.which(name)
    if path is None:
        return Finding(name, False, "not on PATH", fix, needed=False)
    try:
        told = subprocess.run(
            [path, question], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name, False, f"{path} does not run: {error}", fix, needed=False)
    version = re.search(answer, told)
    return Finding(name, True, version[1] if version else path, needed=False)
