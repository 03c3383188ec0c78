"""Calls with nested inputs and outputs as calls with flat tensors."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from exporter.errors import UserError
from exporter.loading.script_schema import forward_arguments
from exporter.types import Array, Example, Sample


@dataclass(frozen=True)
class CallPlan:
    """How flat tensors become the arguments of `forward`.

    Attributes:
        structure: pytree of (args, kwargs).
        leaves: its leaves; `TENSOR` where a tensor goes, else a Python constant that is baked in.
    """

    structure: pytree.TreeSpec
    leaves: tuple[object, ...]

    def arguments(self, tensors: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """(args, kwargs) with the tensors in their places."""
        rest = iter(tensors)
        return self.rebuild([next(rest) if leaf is TENSOR else leaf for leaf in self.leaves])

    def rebuild(self, leaves: Sequence[object]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """(args, kwargs) with other leaves in their places."""
        args, kwargs = pytree.tree_unflatten(leaves, self.structure)
        return args, kwargs


class _Tensor:
    """Marks the place of a tensor."""


TENSOR = _Tensor()


@dataclass(frozen=True)
class FlatInput:
    """One tensor of a call: where it sits, such as `("ids",)` or `("batch", 0)`, and its values."""

    path: tuple[str | int, ...]
    value: Array


class FlatModule(nn.Module):
    """A module with positional tensors in and a tuple of tensors out.

    Args:
        module: any module.
        plan: how its arguments are put together.
    """

    def __init__(self, module: nn.Module, plan: CallPlan) -> None:
        super().__init__()
        self.module = module
        self.plan = plan

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        args, kwargs = self.plan.arguments(tensors)
        return tuple(tensor for _, tensor in named_tensors(self.module(*args, **kwargs)))


def flatten_call(example: Example) -> tuple[CallPlan, tuple[FlatInput, ...]]:
    """Takes a call apart into its flat tensors and the plan that rebuilds it.

    Floating inputs become float32, the one float type of all runtimes.

    Raises:
        UserError: the example has no tensor.
    """
    args, kwargs = _plain(example.args), _plain(example.kwargs)
    found, structure = pytree.tree_flatten_with_path((args, kwargs))
    inputs = [
        FlatInput(tuple(_key(k) for k in path[1:]), _array(leaf))
        for path, leaf in found
        if _is_tensor(leaf)
    ]
    if not inputs:
        raise UserError(
            "The example holds no tensor, so there is nothing to vary.", "Add --input SHAPE."
        )
    leaves = tuple(TENSOR if _is_tensor(leaf) else leaf for _, leaf in found)
    return CallPlan(structure, leaves), tuple(inputs)


def named_tensors(output: object, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor of an output with its name, in order: dict keys, fields, "" and positions.

    None, numbers and texts are left out. A name says nothing more than what the model says: a
    single tensor or the items of a tuple have positions only, such as `""` and `"1"`.

    Raises:
        UserError: it holds something else.
    """
    if isinstance(output, Tensor):
        yield name, output
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield from named_tensors(value, _join(name, key))
    elif dataclasses.is_dataclass(output):
        for part in dataclasses.fields(output):
            yield from named_tensors(getattr(output, part.name), _join(name, part.name))
    elif isinstance(output, list | tuple):
        keys = getattr(output, "_fields", range(len(output)))
        for key, value in zip(keys, output, strict=True):
            yield from named_tensors(value, _join(name, key))
    elif output is not None and not isinstance(output, bool | int | float | str):
        raise UserError(
            f"The model's output holds a {type(output).__name__}, which has no known tensors.",
            "Outputs can be tensors, tuples, lists, dicts and dataclasses of them.",
        )


def input_names(module: nn.Module, inputs: Sequence[FlatInput]) -> tuple[str, ...]:
    """Names after the parameters of `forward`, made identifiers and unique."""
    parameters = _parameters(module)
    used: set[str] = set()
    names = []
    for i, flat in enumerate(inputs):
        first, *rest = flat.path
        if isinstance(first, int):
            first = parameters[first] if first < len(parameters) else f"input_{i}"
        names.append(_unique("_".join(str(part) for part in (first, *rest)), used))
    return tuple(names)


def output_names(found: Sequence[str], taken: Sequence[str]) -> tuple[str, ...]:
    """Names for outputs; those without one are `output_0`, ... ; none is also an input's."""
    used = set(taken)
    wanted = [
        f"output_{i}" if not name or name[0].isdigit() else name for i, name in enumerate(found)
    ]
    return tuple(_unique(name, used) for name in wanted)


def to_tensors(sample: Sample) -> tuple[Tensor, ...]:
    """Fresh tensors, so that a model which writes into its inputs cannot change the sample."""
    return tuple(torch.tensor(np.asarray(array)) for array in sample)


def _parameters(module: nn.Module) -> list[str]:
    if isinstance(module, torch.jit.ScriptModule):
        return [argument.name for argument in forward_arguments(module)]
    names = getattr(module, "input_names", None)  # an exported program's
    if isinstance(names, tuple):
        return list(names)
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        p.name
        for p in inspect.signature(module.forward).parameters.values()
        if p.kind in positional
    ]


def _plain(value: Any) -> Any:
    """Mappings such as transformers' BatchEncoding as plain dicts, which pytree knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    return value


def _is_tensor(leaf: object) -> bool:
    return isinstance(leaf, Tensor | np.ndarray | np.generic)


def _array(leaf: Any) -> Array:
    array = np.asarray(leaf.detach().cpu().float() if _half(leaf) else leaf)
    if array.dtype.kind not in "fiub":
        raise UserError(
            f"An example input is of type {array.dtype}.", "Inputs are floats, integers or bools."
        )
    if array.dtype.kind == "f" and np.isnan(array).any():  # infinity can be meant: a mask
        raise UserError("The example holds NaN.", "Check how it was made.")
    return np.ascontiguousarray(
        array, np.float32 if array.dtype.kind == "f" else array.dtype
    ).reshape(array.shape)


def _half(leaf: object) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def _key(entry: Any) -> str | int:
    return entry.idx if isinstance(entry, pytree.SequenceKey) else str(getattr(entry, "key", entry))


def _join(name: str, key: object) -> str:
    return f"{name}_{key}" if name else str(key)


def _unique(name: str, used: set[str]) -> str:
    base = re.sub(r"\W", "_", name, flags=re.ASCII)
    base = f"_{base}" if not base or base[0].isdigit() else base
    unique, n = base, 1
    while unique in used:
        unique, n = f"{base}_{n}", n + 1
    used.add(unique)
    return unique
