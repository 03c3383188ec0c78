"""qemu's source package of Debian trixie: fetched by apt, which checks the archive's signature."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from exporter.device.debian import KEYRING, SUITE, TIMEOUT_S
from exporter.errors import UserError

PACKAGE = "qemu"

# For each line with packages, one with their sources: of the mirrors that mmdebstrap chose.
_ADD_SOURCES = r"""sed -i 's/^deb \(.*\)/&\ndeb-src \1/' "$1/etc/apt/sources.list" """

# The signed Release file has the hash of the Sources index, and that the hash of each file.
_FETCH = (
    'mkdir "$1/source" && cd "$1/source" && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" '
    f"apt-get --only-source --download-only source {PACKAGE}"
)


def fetch(folder: Path, keyring: Path = KEYRING) -> dict[str, str]:
    """Unpacks qemu's source, without Debian's patches, which do not matter to the counter.

    They concern firmware images, the system emulator, the start by the kernel's binfmt_misc, and
    static builds.

    Args:
        folder: an empty folder, that gets what is in the upstream archive's only folder.
        keyring: keys that the archive may be signed with, and no others.

    Returns:
        Each fetched file -> its SHA-256.

    Raises:
        UserError: the network fails, or the signature does not hold.
    """
    with tempfile.TemporaryDirectory(prefix="source-", dir=folder.parent) as name:
        tree, no_keys = Path(name) / "tree", Path(name) / "keys"
        no_keys.mkdir()
        _run(_command(tree, (keyring, no_keys)))
        files = sorted(f for f in (tree / "source").iterdir() if f.is_file())
        (archive,) = (f for f in files if ".orig.tar." in f.name)
        # Not `tarfile`: Debian 12's Python has none of its filters, and tar refuses by itself
        # what would leave the folder.
        unpack = ["tar", "--extract", "--strip-components=1", "--no-same-owner"]
        done = subprocess.run(
            [*unpack, f"--file={archive}", f"--directory={folder}"],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            why = (done.stderr.strip().splitlines() or ["no reason given"])[0]
            raise UserError(f"qemu's source could not be unpacked: {why}")
        return {f.name: _sha256(f) for f in files}


def _command(tree: Path, keyrings: tuple[Path, ...]) -> list[str]:
    return [
        "mmdebstrap",
        "--variant=custom",  # no package at all: only apt is wanted, with its lists
        "--mode=root" if os.geteuid() == 0 else "--mode=chrootless",
        "--format=directory",
        # A file and a folder: they take the place of both that apt trusts on this machine.
        *(f"--keyring={keyring}" for keyring in keyrings),
        "--skip=check/signed-by",  # or mmdebstrap adds the installed keys where these do not do
        '--aptopt=Acquire::AllowInsecureRepositories "false"',
        '--aptopt=APT::Get::AllowUnauthenticated "false"',
        '--aptopt=Acquire::Retries "2"',
        "--skip=chroot/mount",
        f"--setup-hook={_ADD_SOURCES}",
        f"--customize-hook={_FETCH}",
        SUITE,
        str(tree),
    ]


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
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
            f"Fetching qemu's source took longer than {TIMEOUT_S / 60:.0f} minutes.",
            "Check the network and try again.",
        ) from error
    if done.returncode != 0:
        # apt says first what is wrong, mmdebstrap then that apt failed.
        errors = [line for line in done.stderr.splitlines() if line.startswith(("E: ", "Err:"))]
        reason = errors[0].removeprefix("E: ") if errors else f"exit code {done.returncode}"
        raise UserError(
            f"qemu's source package could not be fetched from Debian: {reason.rstrip('.')}.",
            "Check the network and apt's proxy settings (apt-get update must work), and that "
            "debian-archive-keyring is up to date.",
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
