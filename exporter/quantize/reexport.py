"""Captures a rewritten program again, with the inputs and the varying sizes it had."""

from __future__ import annotations

import torch
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import GraphModule


def reexport(module: torch.nn.Module, program: ExportedProgram) -> ExportedProgram:
    """Captures `module`, which takes the same inputs as `program`.

    Args:
        module: positional tensors in, tuple of tensors out.
        program: where the inputs' shapes, dtypes and varying sizes are taken from.

    Returns:
        A program that can be saved and loaded; sizes that varied in `program` still do.
    """
    if isinstance(module, GraphModule):
        _drop_unused(module)
    specs = _input_values(program)
    shapes = tuple(
        {axis: Dim.AUTO for axis, size in enumerate(value.shape) if _varies(size)}
        for value in specs
    )
    with torch.no_grad():
        again = torch.export.export(
            module, stand_ins(program), dynamic_shapes=shapes if any(shapes) else None, strict=False
        )
    for before, after in zip(shapes, _input_values(again), strict=True):
        if not all(_varies(after.shape[axis]) for axis in before):
            raise RuntimeError("a size that varied became fixed while the program was rewritten")
    return again


def stand_ins(program: ExportedProgram) -> tuple[torch.Tensor, ...]:
    """Zeros with the shapes and dtypes of the inputs; a varying size is at least 2."""
    return tuple(_stand_in(value) for value in _input_values(program))


def _drop_unused(module: GraphModule) -> None:
    """Deletes constants that no node reads, such as the float weights behind int8 ones."""
    used = {str(n.target) for n in module.graph.nodes if n.op == "get_attr"}
    constants = dict((*module.named_parameters(), *module.named_buffers()))
    for name in constants.keys() - used:
        path, _, leaf = name.rpartition(".")
        delattr(module.get_submodule(path), leaf)


def _input_values(program: ExportedProgram) -> tuple[torch.Tensor, ...]:
    """The fake tensors of the user inputs, in call order."""
    names = [
        spec.arg.name
        for spec in program.graph_signature.input_specs
        if spec.kind is InputKind.USER_INPUT
    ]
    values = {n.name: n.meta["val"] for n in program.graph.nodes if n.op == "placeholder"}
    return tuple(values[name] for name in names)


def _varies(size: int | torch.SymInt) -> bool:
    return isinstance(size, torch.SymInt) and size.node.maybe_as_int() is None


def _stand_in(value: torch.Tensor) -> torch.Tensor:
    # A size of 1 would be taken for a constant.
    sizes = [
        max(2, size.node.hint or 2) if isinstance(size, torch.SymInt) else size
        for size in value.shape
    ]
    return torch.zeros(sizes, dtype=value.dtype)
