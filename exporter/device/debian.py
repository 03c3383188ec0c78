"""Files of Debian packages of any architecture: fetched, the signature checked, and unpacked."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from exporter.base.files import sha256
from exporter.base.text import first_line
from exporter.errors import UserError

SUITE = "trixie"
"""Debian 13: the first with an adbd for arm64 beside mksh, and with qemu 10."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TIMEOUT_S = 1200.0

_UNPACKED_BESIDE = ("var", "dev", "tmp", "run", "etc/apt", "etc/dpkg", "etc/fstab")
_OF_THE_HOST = ("etc/resolv.conf", "etc/hostname")
"""What mmdebstrap puts in the folder besides the packages' own files."""

_TROUBLE: tuple[tuple[str, str, str], ...] = (
    (
        r"NO_PUBKEY|is not signed|BADSIG|EXPKEYSIG|signatures? (?:couldn't|were invalid)|gpgv|sqv",
        "The signature of Debian's archive could not be verified with {keyring}.",
        "Bring the keys up to date: apt-get update && apt-get install debian-archive-keyring",
    ),
    (
        r"No space left on device",
        "The disk is full: Debian packages could not be unpacked in {folder}.",
        "Free some space, or set XDG_CACHE_HOME to a folder on a larger disk.",
    ),
    (
        r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate",
        "Debian trixie has no package {found} for {arch}.",
        "",
    ),
    (
        r"resolv(?:e|ing) '|Could not connect|Unable to connect|Connection (?:failed|timed out|"
        r"refused)|Network is unreachable|Failed to fetch|Unable to fetch",
        "Debian's packages could not be fetched over the network.",
        "Check the network and apt's proxy settings (apt-get update must work), and try again.",
    ),
)
"""Pattern in what apt says -> message and remedy; the first that fits."""


def extract(
    arch: str, packages: Sequence[str], folder: Path, keyring: Path = KEYRING
) -> dict[str, str]:
    """Unpacks packages and what they depend on; runs none of their scripts and needs no root.

    Args:
        arch: Debian's name, such as `arm64`.
        packages: names of packages in Debian trixie.
        folder: an empty folder. It becomes a file system tree with merged `/usr`; links in it may
            point to files that only an installation would make.
        keyring: keys that the archive may be signed with, and no others.

    Returns:
        Each unpacked package -> `<version> <sha256 of the .deb>`.

    Raises:
        UserError: mmdebstrap or the keys are missing, the signature does not hold, or the
            network fails; with the remedy.
    """
    if shutil.which("mmdebstrap") is None:
        raise UserError(
            "mmdebstrap is missing; it fetches Debian packages.", "apt-get install mmdebstrap"
        )
    if not keyring.is_file():
        raise UserError(
            f"The keys of Debian's archive are missing: {keyring}.",
            "apt-get install debian-archive-keyring",
        )
    options = (
        f"--architectures={arch}",
        f"--include={','.join(packages)}",
        # The .debs stay, to be hashed.
        "--skip=cleanup/apt/cache",
        "--verbose",
    )
    done = mmdebstrap("extract", options, folder, keyring, "Debian packages")
    if done.returncode != 0:
        raise _refusal(done.stderr, arch, folder, keyring)
    versions = dict(_identity(deb) for deb in (folder / "var/cache/apt/archives").glob("*.deb"))
    _keep_only_packages(folder)
    return versions


def mmdebstrap(
    variant: str, options: Sequence[str], folder: Path, keyring: Path, what: str
) -> subprocess.CompletedProcess[str]:
    """Runs mmdebstrap on Debian trixie, trusting nothing but a keyring.

    Args:
        variant: which packages it starts from, as it names them.
        options: further ones.
        folder: where the tree is made.
        keyring: keys that the archive may be signed with, and no others.
        what: is fetched, for the error.

    Returns:
        How it ended, with what it said on stderr.

    Raises:
        UserError: it takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="export-mobile-keys-") as no_keys:
        command = [
            "mmdebstrap",
            f"--variant={variant}",
            # `chrootless` is the mode that needs no privilege; no package's script is run.
            "--mode=root" if os.geteuid() == 0 else "--mode=chrootless",
            "--format=directory",
            # A file and a folder: they take the place of both that apt trusts on this machine.
            f"--keyring={keyring}",
            f"--keyring={no_keys}",
            # Without it mmdebstrap adds the installed keyring where ours lacks a key.
            "--skip=check/signed-by",
            '--aptopt=Acquire::AllowInsecureRepositories "false"',
            '--aptopt=APT::Get::AllowUnauthenticated "false"',
            '--aptopt=Acquire::Retries "2"',
            "--skip=chroot/mount",  # nothing of the host
            *options,
            SUITE,
            str(folder),
        ]
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env={**os.environ, "LC_ALL": "C.UTF-8"},
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UserError(
                f"Fetching {what} took longer than {TIMEOUT_S / 60:.0f} minutes.",
                "Check the network and try again.",
            ) from error


def _refusal(said: str, arch: str, folder: Path, keyring: Path) -> UserError:
    """What went wrong, from what apt and mmdebstrap said."""
    for pattern, message, hint in _TROUBLE:
        if found := re.search(pattern, said):
            name = next((group for group in found.groups() if group), "")
            values = {"keyring": keyring, "folder": folder, "arch": arch, "found": name}
            return UserError(message.format(**values), hint)
    errors = "\n".join(line for line in said.splitlines() if line.startswith("E: "))
    why = first_line(errors or said, "no reason given").removeprefix("E: ").rstrip(".")
    return UserError(f"mmdebstrap could not fetch Debian packages: {why}.")


def _identity(deb: Path) -> tuple[str, str]:
    """Name, and version with hash; apt names the file `<name>_<version>_<architecture>.deb`."""
    name, version, _ = unquote(deb.name).split("_")
    return name, f"{version} {sha256(deb)}"


def _keep_only_packages(folder: Path) -> None:
    for name in (*_UNPACKED_BESIDE, *_OF_THE_HOST):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for link in ("bin", "lib", "sbin"):
        if not (folder / link).exists():
            (folder / link).symlink_to(f"usr/{link}")
