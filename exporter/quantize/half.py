"""Turns a captured float32 program into one that stores and computes in float16."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import Argument, map_aggregate

from exporter.quantize.reexport import reexport

HALF_MAX = torch.finfo(torch.float16).max
"""65504: larger scalars, such as a mask's -3.4e38, are clamped to it; infinities stay."""

_FLOATS = (torch.float32, torch.float64, torch.bfloat16)

_TO = torch.ops.aten.to.dtype

_METADATA_CHECK = "aten._assert_tensor_metadata"


def to_half(program: ExportedProgram) -> ExportedProgram:
    """Converts weights, constants and compute to float16; inputs and outputs stay as they are.

    Args:
        program: float32 program; it is not modified.

    Returns:
        A program with the same inputs and outputs: float inputs are cast to float16 at the edge
        and float outputs cast back; integer ones are untouched.
    """
    module = program.module(check_guards=False)
    assert isinstance(module, GraphModule)
    for part in module.modules():
        _convert_constants(part)
        if isinstance(part, GraphModule):
            _convert_graph(part)
    _cast_edges(module)
    return reexport(module, program)


def _cast_edges(module: GraphModule) -> None:
    """Casts float inputs to float16 where they enter, and outputs back to what they were."""
    graph = module.graph
    output = next(n for n in graph.nodes if n.op == "output")
    for node in [n for n in graph.nodes if n.op == "placeholder"]:
        if node.meta["val"].dtype in _FLOATS:
            with graph.inserting_after(node):
                half = graph.call_function(_TO, (node, torch.float16))
            node.replace_all_uses_with(
                half, delete_user_cb=lambda user, half=half: user is not half
            )
    with graph.inserting_before(output):
        output.args = (tuple(_as_before(graph, n) for n in output.args[0]),)
    module.recompile()


def _as_before(graph: Graph, result: Node) -> Node:
    dtype = result.meta["val"].dtype
    return graph.call_function(_TO, (result, dtype)) if dtype in _FLOATS else result


def _convert_constants(part: torch.nn.Module) -> None:
    """Replaces the float tensors of one module; the program keeps its own."""
    for name, weight in part.named_parameters(recurse=False):
        if weight.dtype in _FLOATS:
            setattr(part, name, torch.nn.Parameter(_half(weight), requires_grad=False))
    plain = tuple((n, v) for n, v in vars(part).items() if isinstance(v, torch.Tensor))
    for name, constant in (*part.named_buffers(recurse=False), *plain):
        if constant.dtype in _FLOATS:
            setattr(part, name, _half(constant))


def _half(value: torch.Tensor) -> torch.Tensor:
    """float16 of `value`; finite values beyond its range become its largest."""
    limited = torch.where(value.isfinite(), value.clamp(-HALF_MAX, HALF_MAX), value)
    return limited.detach().to(torch.float16)


def _convert_graph(module: GraphModule) -> None:
    """Rewrites float dtypes and scalars among the arguments."""
    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        if str(node.target).startswith(_METADATA_CHECK):
            module.graph.erase_node(node)  # it asserts the dtype that is being changed
            continue
        node.args = tuple(map_aggregate(arg, _half_argument) for arg in node.args)
        node.kwargs = {k: map_aggregate(arg, _half_argument) for k, arg in node.kwargs.items()}
        if _makes_floats_by_default(node):
            node.kwargs = {**node.kwargs, "dtype": torch.float16}
    module.recompile()


def _makes_floats_by_default(node: Node) -> bool:
    """Whether this is a call such as `full` or `zeros` that leaves its float dtype unsaid."""
    schema = getattr(node.target, "_schema", None)
    value = node.meta.get("val")
    return (
        schema is not None
        and isinstance(value, torch.Tensor)
        and value.dtype in _FLOATS
        and not any(isinstance(n.meta.get("val"), torch.Tensor) for n in node.all_input_nodes)
        and any(a.name == "dtype" and a.kwarg_only for a in schema.arguments)
    )


def _half_argument(value: Argument) -> Argument:
    if isinstance(value, torch.dtype) and value in _FLOATS:
        return torch.float16
    if isinstance(value, float) and HALF_MAX < abs(value) < float("inf"):
        return HALF_MAX if value > 0 else -HALF_MAX
    return value
