"""Turns a toolchain's complaint into the operator and the user's source line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch.fx
    from torch.export import ExportedProgram

_FRAME = re.compile(
    r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<name>\S+)\n\s*(?P<code>.*)'
)

_OURS = re.compile(r"/exporter/|<eval_with_key>")
_TORCH = "/torch/"
"""Of files that are not the user's: all would read `nn/modules/conv.py: return F.conv2d(...)`."""


def source_line(node: torch.fx.Node, *, of_user: bool = False) -> str:
    """`model.py:12, in forward: y = foo(x)` for a graph node, or "" where it is unknown.

    Args:
        node: of a captured program.
        of_user: whether a line of torch's own, where no line of the user's is known, is none.
    """
    found = _FRAME.finditer(node.meta.get("stack_trace") or "")
    frames = [f for f in found if not _OURS.search(f["file"])]
    own = [f for f in frames if _TORCH not in f["file"]]
    if not (own if of_user else frames):
        return ""
    frame = (own or frames)[-1]
    file = frame["file"].rsplit("/", 1)[-1]
    return f"{file}:{frame['line']}, in {frame['name']}: {frame['code'].strip()}"


def blame(program: ExportedProgram, complaint: str) -> str:
    """Names the operator of `program` that `complaint` mentions, with its source line.

    Args:
        program: the program whose conversion failed.
        complaint: the toolchain's message; the longest operator name found in it wins.
            Toolchains decompose operators first, so names of those are looked for as well.

    Returns:
        `aten.foo.default (model.py:12, in forward: y = foo(x))`, or "" if none is mentioned.
    """
    complaint = complaint.replace("torch.ops.", "")
    return _named(program, complaint) or _named(program.run_decompositions(), complaint)


def _named(program: ExportedProgram, complaint: str) -> str:
    best: tuple[int, str] = (0, "")
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        full = str(node.target)  # aten.foo.default
        short = full.removesuffix(".default")
        names = (full, short, short.replace(".", "::"))
        found = next((name for name in names if _mentions(complaint, name)), None)
        if found and len(found) > best[0]:
            where = source_line(node)
            best = (len(found), f"{full} ({where})" if where else full)
    return best[1]


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w.:]){re.escape(name)}(?![\w])", text) is not None
