"""From a loaded model to the program that everything is made of."""

from __future__ import annotations

import logging
import operator
import re
import traceback
from typing import cast

import torch
import torch.fx.traceback
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import Node

from exporter.base.quiet import hushed
from exporter.base.text import first_line
from exporter.errors import FormatError
from exporter.loading.flat import FlatModule, to_tensors
from exporter.loading.program import ProgramModule
from exporter.loading.script import ScriptProgram
from exporter.loading.source import SourceModel

_LIBRARY = re.compile(r"/torch/|/exporter/|<eval_with_key>|/contextlib\.py")
_DATA_DEPENDENT = ("data-dependent", "GuardOnDataDependent")


def capture(source: SourceModel, dynamic_batch: bool = False) -> ExportedProgram:
    """Captures the model with torch.export, in training IR: ATen operators, none decomposed.

    The program keeps no state and leaves its inputs alone: where the model writes into a buffer or
    an input, the program writes into a copy.

    Args:
        source: the model.
        dynamic_batch: whether the first dimension of every input may vary.

    Returns:
        Positional tensors in, tuple of tensors out. Its nodes' stack traces name the user's lines.

    Raises:
        FormatError: the model cannot be captured, or its batch cannot vary; the reason says where.
    """
    module: nn.Module = source.module
    if isinstance(source.module.module, torch.jit.ScriptModule):
        module = FlatModule(ScriptProgram(source.module.module), source.module.plan).eval()
    tensors = to_tensors(source.example)
    if dynamic_batch:
        if not all(t.dim() for t in tensors):
            raise FormatError(
                "the batch cannot vary: an input is a scalar, without a first dimension"
            )
        tensors = tuple(_two_or_more(t) for t in tensors)
    try:
        program = _export(module, tensors, dynamic_batch)
    except FormatError as error:
        if dynamic_batch and isinstance(source.module.module, ProgramModule):
            raise FormatError(f"{error.reason} (the .pt2 was exported with fixed sizes)") from error
        raise

    _write_into_copies(program)
    for node in program.graph.nodes:
        node.meta.pop("custom", None)  # notes of the tracer to itself
    return program


def _export(module: nn.Module, tensors: tuple[Tensor, ...], dynamic_batch: bool) -> ExportedProgram:
    batch = Dim("batch", min=1) if dynamic_batch else None
    shapes = {"tensors": tuple({0: batch} for _ in tensors)} if batch else None
    try:
        # Keeping node metadata lets a module that runs a graph say which user line each node is.
        with torch.no_grad(), hushed(logging.CRITICAL), torch.fx.traceback.preserve_node_meta():
            return torch.export.export(module, tensors, dynamic_shapes=shapes, strict=False)
    except FormatError:
        raise
    except Exception as error:  # tracing runs the user's code, which may raise anything
        raise FormatError(_reason(error, dynamic_batch)) from error


def _two_or_more(tensor: Tensor) -> Tensor:
    """A size of 1 would be taken for a constant."""
    return tensor if tensor.shape[0] > 1 else torch.cat([tensor, tensor])


def _reason(error: Exception, dynamic_batch: bool) -> str:
    text = str(error)
    where = _user_line(error)
    place = f", at {where}" if where else ""
    if any(sign in text or sign in type(error).__name__ for sign in _DATA_DEPENDENT):
        return f"the model branches on a tensor's values, which a graph cannot{place}"
    if dynamic_batch:
        return f"the batch cannot vary{place}: {_constraint(text) or first_line(error)}"
    return f"torch.export cannot capture the model{place}: {first_line(error)}"


def _constraint(text: str) -> str:
    """The line of torch.export's long explanation that names the dimension."""
    lines = (line.strip(" -") for line in text.splitlines())
    return next((line for line in lines if "specialized" in line or "must be" in line), "")


def _user_line(error: BaseException) -> str:
    """`model.py:12, in forward: if x.sum() > 0:`, the innermost of the user's own frames."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if not _LIBRARY.search(f.filename)
    ]
    inside = [f for f in frames if f.name == "forward"] and frames
    if not inside:
        return ""
    frame = inside[-1]
    return (
        f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}, in {frame.name}: {frame.line or ''}"
    )


def _write_into_copies(program: ExportedProgram) -> None:
    """Gives each placeholder that the graph writes into, or a view of it, a copy to write on."""
    graph = program.graph_module.graph
    roots: dict[Node, Node] = {node: node for node in graph.nodes if node.op == "placeholder"}
    written: dict[Node, None] = {}
    for node in graph.nodes:
        for argument, writes in _aliased(node):
            if argument in roots:
                roots[node] = roots[argument]
                if writes:
                    written[roots[argument]] = None
    for placeholder in written:
        with graph.inserting_after(_last_placeholder(program)):
            copy = graph.call_function(torch.ops.aten.clone.default, (placeholder,))
        copy.meta = {"val": placeholder.meta["val"].clone()}
        for user in [user for user in placeholder.users if user is not copy]:
            user.replace_input_with(placeholder, copy)
    program.graph_module.recompile()


def _aliased(node: Node) -> list[tuple[Node, bool]]:
    """The arguments whose memory the result shares, and whether the node writes into it."""
    if node.target is operator.getitem:
        return [(cast(Node, node.args[0]), False)]
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return []
    schema = node.target._schema.arguments
    given = [*zip((a.name for a in schema), node.args, strict=False), *node.kwargs.items()]
    info = {a.name: a.alias_info for a in schema if a.alias_info is not None}
    return [
        (part, info[name].is_write)
        for name, value in given
        if name in info
        for part in (value if isinstance(value, list | tuple) else [value])
        if isinstance(part, Node)
    ]


def _last_placeholder(program: ExportedProgram) -> Node:
    return [node for node in program.graph.nodes if node.op == "placeholder"][-1]
