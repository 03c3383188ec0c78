"""What this machine has of what export-mobile needs."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata

from exporter.errors import FormatError
from exporter.runtimes import RUNTIMES, load_runner
from exporter.types import Format

_DISTRIBUTION = "export-mobile"


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
        *(_package(r) for r in metadata.requires(_DISTRIBUTION) or () if "extra ==" not in r),
        *(_runtime(f) for f in Format),
        _guard("QNNPACK engine", _qnnpack),
        _guard("XNNPACK in torch", _xnnpack),
        _adb(),
    )


def _package(requirement: str) -> Finding:
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    fix = f"pip install '{wanted.name}{wanted.specifier}'"
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return Finding(wanted.name, False, "not installed", fix)
    if not wanted.specifier.contains(version, prereleases=True):
        return Finding(wanted.name, False, f"{version}, but {wanted.specifier} is needed", fix)
    return Finding(wanted.name, True, version)


def _runtime(format: Format) -> Finding:
    name = f"{RUNTIMES[format]} (.{format.value})"
    try:
        load_runner(format)
    except (FormatError, ImportError) as error:
        return Finding(name, False, str(error), "pip install --force-reinstall export-mobile")
    return Finding(name, True, "imports")


def _guard(name: str, probe: Callable[[], Finding]) -> Finding:
    try:
        return probe()
    except ImportError as error:
        return Finding(name, False, str(error), "pip install torch==2.13.0")


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
    path = shutil.which("adb")
    fix = "needed only to measure on devices: apt-get install adb (or Android's platform-tools)"
    if path is None:
        return Finding("adb", False, "not on PATH", fix, needed=False)
    told = subprocess.run(
        [path, "version"], capture_output=True, text=True, timeout=10, check=False
    ).stdout
    version = re.search(r"version (\S+)", told)
    return Finding("adb", True, version[1] if version else path, needed=False)
