"""What is fetched or built once: folders named by what goes into them, each whole or absent."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from exporter.base.locks import locked, sweep
from exporter.errors import UserError

PROVENANCE_FILE = "provenance.json"
LOCK_SUFFIX, SCRATCH_SUFFIX = ".lock", ".part"
PATIENCE_S = 1800.0
"""How long to wait for another process that builds the same: a cold build of qemu takes minutes."""

Build: TypeAlias = Callable[[Path], Mapping[str, str] | None]
"""Fills an empty folder; returns what it fetched, name -> version or hash."""


@dataclass(frozen=True)
class Entry:
    """One folder of the cache.

    Attributes:
        kind: what it is, such as `layer`.
        key: digest of what determines its content.
        size: bytes of its files.
    """

    kind: str
    key: str
    size: int


def cache_root() -> Path:
    """`$XDG_CACHE_HOME/export-mobile`, or `~/.cache/export-mobile` where that is not set."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG base directory specification: "relative paths must be ignored".
    return (base if base.is_absolute() else Path.home() / ".cache") / "export-mobile"


def require_exec(place: Path) -> None:
    """Refuses a folder that no program may run from.

    Raises:
        UserError: its file system is mounted noexec.
    """
    if os.statvfs(place).f_flag & os.ST_NOEXEC:
        raise UserError(
            f"No program may run from {place}: its file system is mounted noexec.",
            "Set XDG_CACHE_HOME to a folder on another one.",
        )


def digest(*parts: str | Path) -> str:
    """A key from everything that determines an entry: words as they are, files by content."""
    total = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode()
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()[:20]


def entry(
    kind: str, key: str, build: Build, sound: Callable[[Path], bool] = lambda _: True
) -> Path:
    """The folder `<root>/<kind>/<key>`, built first where there is none.

    It is built aside, under a lock that another process waits for, and moved into place by one
    rename: an interrupted build leaves nothing that could be taken for a whole one.

    Args:
        kind: a word for what it is; one folder a kind.
        key: see `digest`.
        build: fills the folder. What it returns is kept as `provenance.json` in it.
        sound: False for a folder that was damaged since; it is then built again.

    Raises:
        UserError: another process has been building the same for half an hour.
    """
    place = cache_root() / kind / key
    if place.is_dir() and sound(place):
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with _locked(place):
        sweep(place.parent.glob(f".*{SCRATCH_SUFFIX}"), _lock_of)
        if place.is_dir() and sound(place):  # built while this process waited
            return place
        _build(place, build)
    return place


def provenance(place: Path) -> dict[str, str]:
    """What went into an entry: name -> version or hash."""
    fetched = json.loads((place / PROVENANCE_FILE).read_text(encoding="utf-8"))["fetched"]
    return {str(name): str(value) for name, value in fetched.items()}


def entries() -> tuple[Entry, ...]:
    """What the cache holds."""
    found = (p for p in sorted(cache_root().glob("*/*")) if (p / PROVENANCE_FILE).is_file())
    return tuple(Entry(p.parent.name, p.name, size(p)) for p in found)


def size(folder: Path) -> int:
    """Bytes of all files below `folder`; links count nothing."""
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


def _build(place: Path, build: Build) -> None:
    scratch = _beside(place, SCRATCH_SUFFIX)
    if scratch.exists():  # of a build that was killed: this process holds the lock
        shutil.rmtree(scratch)
    scratch.mkdir()
    try:
        fetched = build(scratch)
        record = {"built": datetime.now(UTC).isoformat("T", "seconds"), "fetched": fetched or {}}
        text = json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False)
        (scratch / PROVENANCE_FILE).write_text(text + "\n", encoding="utf-8")
        if place.exists():  # damaged
            shutil.rmtree(place)
        scratch.rename(place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Holds the lock of one entry."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(_made(_beside(place, LOCK_SUFFIX)), PATIENCE_S))
        except BlockingIOError as error:
            raise UserError(
                f"Another process is still building {place}.",
                "Wait for it, or end it and try again.",
            ) from error
        yield


def _made(lock: Path) -> Path:
    lock.touch()
    return lock


def _lock_of(scratch: Path) -> Path:
    return scratch.with_suffix(LOCK_SUFFIX)


def _beside(place: Path, suffix: str) -> Path:
    return place.with_name(f".{place.name}{suffix}")
