"""qemu's source package of Debian trixie: fetched by apt, which checks the archive's signature."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from exporter.base.files import sha256
from exporter.base.text import first_line
from exporter.device import debian
from exporter.device.debian import KEYRING
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
        tree = Path(name) / "tree"
        _download(tree, keyring)
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
            why = first_line(done.stderr, "no reason given")
            raise UserError(f"qemu's source could not be unpacked: {why}")
        return {f.name: sha256(f) for f in files}


def _download(tree: Path, keyring: Path) -> None:
    hooks = (f"--setup-hook={_ADD_SOURCES}", f"--customize-hook={_FETCH}")
    # `custom` is no package at all: only apt is wanted, with its lists.
    done = debian.mmdebstrap("custom", hooks, tree, keyring, "qemu's source")
    if done.returncode != 0:
        # apt says first what is wrong, mmdebstrap then that apt failed.
        errors = [line for line in done.stderr.splitlines() if line.startswith(("E: ", "Err:"))]
        reason = errors[0].removeprefix("E: ") if errors else f"exit code {done.returncode}"
        raise UserError(
            f"qemu's source package could not be fetched from Debian: {reason.rstrip('.')}.",
            "Check the network and apt's proxy settings (apt-get update must work), and that "
            "debian-archive-keyring is up to date.",
        )
