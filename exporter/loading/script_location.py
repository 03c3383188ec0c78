"""Where in the user's code a TorchScript node comes from."""

from __future__ import annotations

import itertools
import linecache
import re
from dataclasses import dataclass
from typing import Any

_LIBRARY = "/torch/"

_SCRIPTED = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)')
_TRACED = re.compile(r"^(?P<file>\S.*)\((?P<line>\d+)\): (?P<name>\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class _Frame:
    file: str
    line: int
    name: str
    code: str


def stack_trace(node: Any) -> str:
    """The node's frames, outermost first, as Python prints them; "" where none is known."""
    return "\n".join(
        f'  File "{f.file}", line {f.line}, in {f.name}\n    {f.code}'
        for f in reversed(_frames(node))
    )


def location(node: Any) -> str:
    """`model.py:12, in forward: y = foo(x)`, the user's own line where there is one, or ""."""
    frames = _frames(node)
    frame = next((f for f in frames if _LIBRARY not in f.file), frames[0] if frames else None)
    if frame is None:
        return ""
    return f"{frame.file.rsplit('/', 1)[-1]}:{frame.line}, in {frame.name}: {frame.code}".rstrip(
        ": "
    )


def _frames(node: Any) -> list[_Frame]:
    """Innermost first. A scripted node knows one frame, a traced one all of them."""
    text = str(node.sourceRange()).partition("\nSerialized")[0]
    if (match := _SCRIPTED.match(text)) and not _generated(match["file"]):
        code = _marked(text.splitlines()[1:])
        return [_Frame(match["file"], int(match["line"]), "forward", code)]
    found = [
        _Frame(
            m["file"],
            int(m["line"]),
            m["name"],
            linecache.getline(m["file"], int(m["line"])).strip(),
        )
        for m in _TRACED.finditer(text)
    ]
    found = [frame for frame in found if not _generated(frame.file)]
    inside = [i for i, frame in enumerate(found) if frame.name == "forward"]
    return found[: inside[-1] + 1] if inside else found  # beyond it is the script that traced


def _generated(file: str) -> bool:
    """Code that no user wrote: TorchScript's own, such as for division, or the archive's."""
    return file == "<string>" or file.startswith("code/__torch__")


def _marked(lines: list[str]) -> str:
    """The first line that `~~~` underlines."""
    for code, marks in itertools.pairwise(lines):
        if marks.strip().startswith("~"):
            return code.strip()
    return ""
