"""Which TensorFlow Lite a file needs: what the file says, and what its operators say."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import resources

from packaging.version import InvalidVersion, Version

from exporter.types import Needs

LABEL = "minimum runtime version"


def needs(stated: str, operators: Iterable[tuple[str, int]]) -> Needs:
    """The first TensorFlow Lite that runs a file.

    Converters write it into the file; quantizing the file raises versions of operators and leaves
    what is written, so that the operators may need a later one.

    Args:
        stated: what the file says, or "".
        operators: name and version of each operator.
    """
    found = {(name, version): _release(name, version) for name, version in operators}
    written = _version(stated)
    known = max((Version(release) for release in found.values() if release), default=None)
    number = max((v for v in (written, known) if v), default=None)
    unknown = sorted(f"{name} version {version}" for (name, version), r in found.items() if not r)
    sources = []
    if known and number != written:
        said = f"the file says {written}" if written else "the file says none"
        sources.append(f"of its operators; {said}")
    if unknown:
        least = "at least: " if number else ""
        sources.append(f"{least}no release is known for {', '.join(unknown)}")
    return Needs(
        {LABEL: str(number) if number else None},
        {LABEL: "; ".join(sources)} if sources else {},
    )


def _version(stated: str) -> Version | None:
    try:
        return Version(stated)
    except InvalidVersion:
        return None


def _release(operator: str, version: int) -> str | None:
    releases = _table().get(operator, ())
    known = 0 < version <= len(releases) and releases[version - 1] != "-"
    return releases[version - 1] if known else None


@cache
def _table() -> dict[str, tuple[str, ...]]:
    """Operator -> the release that its version 1, 2, ... came with."""
    text = resources.files(__package__).joinpath("releases.txt").read_text()
    rows = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {name: tuple(releases) for name, *releases in rows}
