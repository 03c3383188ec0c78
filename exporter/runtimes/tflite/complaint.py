"""Puts what LiteRT's toolchain complains about in one sentence, with operator and source line."""

from __future__ import annotations

import re

from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.fx import Node

from exporter.base.locate import blame, source_line
from exporter.base.text import first_line
from exporter.errors import FormatError

_MLIR_ERROR = re.compile(r"(?P<file>/[^:\n]+):(?P<line>\d+):\d+: error: (?P<what>[^\n]+)")

_MISSING_KERNEL = re.compile(r"builtin opcode '(?P<name>\w+)'")

_ORIGINS = {
    "STABLEHLO_CONVOLUTION": "aten.conv_transpose3d.input aten.conv3d.default",
    "STABLEHLO_SORT": "aten.argsort.default aten.median.dim aten.msort.default aten.sort.default",
}
"""LiteRT operator without a kernel -> the PyTorch operators that become it."""

_LONGEST = 160
"""Characters of a toolchain's sentence that still fit a table cell."""


def refusal(program: ExportedProgram, error: Exception) -> FormatError:
    """The error of `litert_torch.convert` as a reason for the table."""
    text = str(error)
    mlir = _MLIR_ERROR.search(text)
    culprits = _traced(program, text) or (_at(program, mlir["file"], mlir["line"]) if mlir else [])
    where = _named(culprits, text) or blame(program, text)
    what = _short(mlir["what"] if mlir else text)
    return FormatError(
        f"LiteRT's converter does not take {where}: {what}"
        if where
        else f"LiteRT's converter refuses the model: {what}"
    )


def missing_kernel(program: ExportedProgram, error: FormatError) -> FormatError:
    """The error of a converted file that LiteRT cannot load, with the operator it came from."""
    missing = _MISSING_KERNEL.search(error.reason)
    if not missing:
        return error
    where = blame(program, _ORIGINS.get(missing["name"], ""))
    origin = f", which the converter made of {where}" if where else ""
    return FormatError(f"LiteRT has no kernel for {missing['name']}{origin}")


def _traced(program: ExportedProgram, text: str) -> list[Node]:
    """The nodes whose source lines the complaint quotes."""
    traces = [(n, (n.meta.get("stack_trace") or "").strip()) for n in _calls(program)]
    return [node for node, trace in traces if trace and trace in text]


def _at(program: ExportedProgram, file: str, line: str) -> list[Node]:
    """The nodes made at this line, which may be torch's own and so belong to several."""
    frame = f'File "{file}", line {line},'
    return [n for n in _calls(program) if frame in (n.meta.get("stack_trace") or "")]


def _calls(program: ExportedProgram) -> list[Node]:
    return [n for n in program.graph.nodes if isinstance(n.target, OpOverload)]


def _base_name(node: Node) -> str:
    """`foo` of `aten.foo.default`."""
    return str(node.target).split(".")[1]


def _named(nodes: list[Node], text: str) -> str:
    """`aten.foo.default (model.py:12, ...)` for the node to blame among those of one line.

    The toolchain names what it made of an operator, such as `aten._linalg_svd`; where it names
    none of several different ones, the line alone is the honest answer.
    """
    mentioned = [n for n in nodes if _base_name(n) in text] or nodes
    if not mentioned:
        return ""
    node, targets = mentioned[0], {n.target for n in mentioned}
    where = source_line(node)
    if len(targets) > 1:
        return f"an operator at {where}" if where else ""
    others = len({source_line(n) for n in mentioned}) - 1
    more = f", or one of {others} like it" if others else ""
    return f"{node.target} ({where}{more})" if where else str(node.target)


def _short(text: str) -> str:
    """The first line, without the operands that MLIR prints after the colon."""
    line = first_line(text).split(": %")[0].rstrip(":, ")
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "…"
