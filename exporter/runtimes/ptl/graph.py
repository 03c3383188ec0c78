"""A captured program as a plain graph that `torch.jit.trace` records exactly."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.fx.graph import CodeGen
from torch.fx.node import map_aggregate

from exporter.base.locate import source_line
from exporter.errors import FormatError

aten = torch.ops.aten

_BRANCHES = {"cond", "while_loop", "map", "map_impl", "scan", "associative_scan"}
"""Control flow whose path depends on values: a trace would keep one path only."""

_CHECKS = ("aten._assert", "aten.sym_constrain_range")
"""Run-time checks of a capture, which mean nothing once sizes and dtypes are fixed."""

_VIEWS = {aten.view.default, aten._unsafe_view.default}


def plain_module(program: ExportedProgram) -> GraphModule:
    """The program as a module with positional inputs, ready to be rewritten and traced.

    Args:
        program: positional tensors in, tuple of tensors out; it is not modified.

    Returns:
        A module that computes the same, in which views are reshapes (int8 kernels give results in
        another memory layout), images come out with their channels first in memory, and varying
        sizes are read in a way that a trace records.

    Raises:
        FormatError: the program branches on values.
    """
    exported = program.module(check_guards=False)
    assert isinstance(exported, GraphModule)
    exported.graph.set_codegen(CodeGen())
    module = GraphModule(exported, exported.graph)
    for node in list(module.graph.nodes):
        if node.op == "call_function":
            _make_traceable(module, node)
    _lay_out_outputs(module)
    module.graph.eliminate_dead_code()
    module.recompile()
    for part in module.modules():
        part.training = False
    return module


def constant(module: GraphModule, node: object) -> torch.Tensor | None:
    """The tensor behind a node that reads a constant, else None."""
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    path, _, leaf = str(node.target).rpartition(".")
    value = getattr(module.get_submodule(path), leaf)
    return value.detach() if isinstance(value, torch.Tensor) else None


def _make_traceable(module: GraphModule, node: Node) -> None:
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        if node.target.name() in _BRANCHES:
            raise FormatError(
                f"`{node.target.name()}` branches on values, which a trace cannot keep"
                f"{_at(node)}; give the model as scripted TorchScript"
            )
    elif str(node.target).startswith(_CHECKS):
        module.graph.erase_node(node)
    elif node.target is aten.sym_size.int:
        node.target = _size
    elif node.target is aten.fill.Tensor:
        node.target = _filled
    elif _takes_sizes(node):
        _pass_sizes(node)
    elif node.target in _VIEWS:
        node.target = aten.reshape.default


def _lay_out_outputs(module: GraphModule) -> None:
    """Makes images that are outputs contiguous.

    What int8 kernels give has its channels last in memory, and in that order PyTorch's
    `Tensor.getDataAsFloatArray` of Java hands it to an app. It lays out all else by itself.
    """
    (output,) = module.graph.find_nodes(op="output")
    for node in output.all_input_nodes:
        value = node.meta.get("val")
        with_channels = isinstance(value, torch.Tensor) and value.dim() in (4, 5)
        if node.op == "call_function" and with_channels:
            with module.graph.inserting_before(output):
                ordered = module.graph.call_function(aten.contiguous.default, (node,))
            ordered.meta.update(node.meta)
            output.replace_input_with(node, ordered)


def _at(node: Node) -> str:
    where = source_line(node)
    return f" ({where})" if where else ""


def _size(tensor: torch.Tensor, axis: int) -> Any:
    # `torch.ops.aten.sym_size` would give a trace a plain number.
    return tensor.size(axis)


def _filled(tensor: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    # A trace of `fill` records a call that TorchScript does not know.
    return value.to(tensor.dtype).expand_as(tensor)


def _takes_sizes(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and any(
        isinstance(arg.meta.get("val"), torch.SymInt) for arg in node.all_input_nodes
    )


def _pass_sizes(node: Node) -> None:
    """Calls the operator as Python does: only then does a trace record sizes as values."""
    assert isinstance(node.target, torch._ops.OpOverload)
    name = node.target._schema.name.removeprefix("aten::")
    if node.target in _VIEWS or node.target is aten.reshape.default:
        _infer_one_size(node)
        node.target = torch.reshape
    elif hasattr(torch.Tensor, name) and _takes_tensor_first(node):
        node.target = getattr(torch.Tensor, name)
    elif hasattr(torch, name):
        node.target = getattr(torch, name)
    node.kwargs = {k: v for k, v in node.kwargs.items() if v is not None}


def _takes_tensor_first(node: Node) -> bool:
    first = node.args[0] if node.args else None
    return isinstance(first, Node) and isinstance(first.meta.get("val"), torch.Tensor)


def _infer_one_size(node: Node) -> None:
    """Writes the only varying size of a shape as -1."""
    shape = node.args[1]
    assert isinstance(shape, list | tuple)
    if sum(isinstance(size, Node) for size in shape) == 1 and -1 not in shape:
        shape = map_aggregate(shape, lambda size: -1 if isinstance(size, Node) else size)
        node.args = (node.args[0], shape)
