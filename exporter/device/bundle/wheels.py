"""Wheels for the device, fetched by pip and checked against the hashes in `requirements/`."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from exporter.base.text import last_line
from exporter.errors import UserError

PYTHON = "3.13"
"""Of Debian trixie; the bundle's interpreter."""

PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
TIMEOUT_S = 1800.0

_PINNED = re.compile(r"^([\w.-]+)==(\S+) --hash=sha256:([0-9a-f]{64})$", re.MULTILINE)
_TROUBLE: tuple[tuple[str, str, str], ...] = (
    (
        r"DO NOT MATCH THE HASHES",
        "What was downloaded for {requirements} is not what it should be: its SHA-256 differs"
        "{found}.",
        "Nothing of it was kept. Check which package index or proxy pip uses: pip config list",
    ),
    (
        r"No space left on device",
        "The disk is full: the wheels of {requirements} could not be downloaded.",
        "Free some space, or set XDG_CACHE_HOME and TMPDIR to folders on a larger disk.",
    ),
    (
        r"NewConnectionError|NameResolutionError|Max retries exceeded|timed out|ProtocolError|"
        r"ProxyError|SSLError|Network is unreachable",
        "The wheels of {requirements} could not be downloaded over the network.",
        "Check the network and pip's proxy settings, and try again.",
    ),
    (
        r"No matching distribution found for (\S+)",
        "The package index that pip uses has no wheel of {found} for arm64.",
        "Check the network, and which package index pip uses: pip config list",
    ),
)
"""Pattern in what pip says -> message and remedy; the first that fits."""


def pinned(requirements: Path) -> dict[str, str]:
    """Each package of a requirement file -> `<version> <sha256 of the wheel>`."""
    found = _PINNED.findall(requirements.read_text(encoding="utf-8"))
    return {name: f"{version} {sha256}" for name, version, sha256 in found}


def fetch(requirements: Path, folder: Path) -> tuple[Path, ...]:
    """Downloads the wheels of a requirement file that pins each by version and hash.

    Raises:
        UserError: pip is missing, the network fails, or a hash differs; with the remedy.
    """
    if not pinned(requirements):  # a runtime may need nothing but the core
        return ()
    if importlib.util.find_spec("pip") is None:
        raise UserError(
            "pip is missing; it fetches the runtimes for devices.", f"{sys.executable} -m ensurepip"
        )
    # Every warning of pip's goes to stderr, the reason for a refusal as well.
    command = [sys.executable, "-m", "pip", "download", "--no-input", "--progress-bar=off"]
    command += ["--disable-pip-version-check", "--require-hashes", "--no-deps"]
    command += ["--only-binary=:all:", f"--python-version={PYTHON}", "--implementation=cp"]
    command += [f"--platform={platform}" for platform in PLATFORMS]
    command += [f"--abi={abi}" for abi in (f"cp{PYTHON.replace('.', '')}", "abi3", "none")]
    command += [f"--dest={folder}", f"--requirement={requirements}"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"Downloading the wheels of {_said(requirements)} took longer than "
            f"{TIMEOUT_S / 60:.0f} minutes.",
            "Check the network and try again.",
        ) from error
    if done.returncode != 0:
        raise _refusal(done.stderr, requirements)
    return tuple(sorted(folder.glob("*.whl")))


def unpack(wheel: Path, folder: Path) -> None:
    """Unpacks a wheel as pip would install it, with no scripts and no bytecode."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)


def _said(requirements: Path) -> str:
    """Which file that is: they are all called the same."""
    return f"{requirements.parent.name}/{requirements.name}"


def _refusal(said: str, requirements: Path) -> UserError:
    for pattern, message, hint in _TROUBLE:
        if found := re.search(pattern, said):
            name = found[1] if found.groups() else ""
            return UserError(message.format(requirements=_said(requirements), found=name), hint)
    errors = "\n".join(line for line in said.splitlines() if line.startswith("ERROR: "))
    last = last_line(errors or said, "no reason given").removeprefix("ERROR: ")
    return UserError(f"pip could not download the wheels of {_said(requirements)}: {last}")
