"""Calls the operator of a TorchScript node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from exporter.loading.script_numbers import ON_ANYTHING, ON_CONTAINERS, ON_VALUES

# c10::ScalarType, c10::MemoryFormat and c10::Layout in order: TorchScript holds their numbers.
_DTYPES = (
    torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32,
    torch.float64, torch.complex32, torch.complex64, torch.complex128, torch.bool, torch.qint8,
    torch.quint8, torch.qint32, torch.bfloat16,
)  # fmt: skip
_MEMORY_FORMATS = (
    torch.contiguous_format,
    torch.preserve_format,
    torch.channels_last,
    torch.channels_last_3d,
)
_CPU = torch.device("cpu")

_CONVOLUTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)
_TRANSPOSED = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)


def call_operator(node: Any, inputs: Sequence[Any]) -> Any:
    """Runs a node's operator on values: tensors, numbers, lists of them.

    Raises:
        NotImplementedError: there is no such operator in Python.
    """
    namespace, _, name = node.kind().partition("::")
    if node.kind() == "prim::dtype":
        return _DTYPES.index(inputs[0].dtype)
    if namespace == "aten" and name in _RESPELLED:
        return _RESPELLED[name](*inputs)
    if namespace == "prim" or node.schema() == "(no schema)":
        raise NotImplementedError("there is no such operator outside TorchScript")
    overload = _overload(node, namespace, name)
    if str(overload).startswith("aten.to.prim_"):
        return _to_dtype(inputs)
    arguments = _numbers_alone(overload, inputs)
    if namespace == "aten" and name in ON_VALUES and _on_values(name, arguments):
        return ON_VALUES[name](*arguments)
    if str(overload) in _WITH_NUMBER:
        return _WITH_NUMBER[str(overload)](*arguments)
    return _call(overload, arguments)


def _on_values(name: str, arguments: Sequence[Any]) -> bool:
    """Whether this is the variant of an operator for Python values, not for tensors."""
    if name in ON_ANYTHING or not any(isinstance(a, Tensor) for a in arguments):
        return True
    return name in ON_CONTAINERS and not isinstance(arguments[0], Tensor)


def _overload(node: Any, namespace: str, name: str) -> Any:
    schema = torch._C.parse_schema(node.schema())
    packet = getattr(getattr(torch.ops, namespace), name)
    return getattr(packet, schema.overload_name or "default")


def _call(overload: Any, inputs: Sequence[Any]) -> Any:
    """Gives each argument the type that Python's side of the operator expects."""
    schema = overload._schema.arguments
    values = [_typed(str(a.real_type), value) for a, value in zip(schema, inputs, strict=False)]
    positional = [v for a, v in zip(schema, values, strict=False) if not a.kwarg_only]
    keywords = {a.name: v for a, v in zip(schema, values, strict=False) if a.kwarg_only}
    return overload(*positional, **keywords)


def _typed(wanted: str, value: Any) -> Any:
    if "ScalarType" in wanted and type(value) is int:
        return _DTYPES[value]
    if "MemoryFormat" in wanted and type(value) is int:
        return _MEMORY_FORMATS[value]
    if "Layout" in wanted and value is not None:
        return torch.strided
    if wanted == "Tensor" and isinstance(value, bool | int | float | torch.SymInt | torch.SymFloat):
        return _scalar_tensor(value)
    return _CPU if isinstance(value, torch.device) else value


def _numbers_alone(overload: Any, inputs: Sequence[Any]) -> list[Any]:
    """Constants of no dimension as numbers where the other operands are numbers already.

    A trace computes sizes with tensors: `size * tensor(2)`. Numbers keep that out of the graph.
    """
    wanted = [str(a.real_type) == "Tensor" for a in overload._schema.arguments]
    operands = [value for value, tensor in zip(inputs, wanted, strict=False) if tensor]
    constants = all(
        not isinstance(o, Tensor) or (type(o) is Tensor and o.dim() == 0) for o in operands
    )
    if constants and any(not isinstance(operand, Tensor) for operand in operands):
        return [_number(v) if isinstance(v, Tensor) and v.dim() == 0 else v for v in inputs]
    return list(inputs)


def _number(constant: Tensor) -> Any:
    return constant.tolist()  # unlike item(), it is no operator that the exporter would record


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Tensor:
    """A trace's convolution of any kind as the named one that all later stations know."""
    kind = weight.dim() - 3
    if transposed:
        return _TRANSPOSED[kind](x, weight, bias, stride, padding, output_padding, groups, dilation)
    return _CONVOLUTIONS[kind](x, weight, bias, stride, padding, dilation, groups)


def _tensor(data: Any, dtype: int | None = None, *_: object) -> Tensor:
    wanted = None if dtype is None else _DTYPES[dtype]
    if isinstance(data, Tensor):
        return data if wanted is None else data.to(wanted)
    if isinstance(data, torch.SymInt | torch.SymFloat):
        return _scalar_tensor(data, wanted)
    return torch.tensor(data, dtype=wanted)


def _to_dtype(inputs: Sequence[Any]) -> Any:
    """`x.to(device, dtype, ...)`: there is one device, so only the type counts."""
    dtype = next((value for value in inputs[1:] if type(value) is int), None)
    return inputs[0] if dtype is None else inputs[0].to(_DTYPES[dtype])


def _size(tensor: Tensor, dim: int | None = None) -> Any:
    return list(tensor.shape) if dim is None else tensor.shape[dim]


def _scalar_tensor(value: Any, dtype: torch.dtype | None = None) -> Tensor:
    """A symbolic size is fine here, as it is not in `torch.tensor`."""
    whole = isinstance(value, int | torch.SymInt)
    return torch.scalar_tensor(value, dtype=dtype or (torch.int64 if whole else torch.float32))


_RESPELLED: dict[str, Callable[..., Any]] = {
    "size": _size,
    "is_floating_point": lambda tensor: tensor.dtype.is_floating_point,
    "is_complex": lambda tensor: tensor.dtype.is_complex,
    "resolve_conj": lambda tensor: tensor,
    "resolve_neg": lambda tensor: tensor,
    "dim": Tensor.dim,
    "len": len,
    "numel": Tensor.numel,
    "item": Tensor.item,
    "tensor": _tensor,
    "as_tensor": _tensor,
    "_convolution": lambda *inputs: _convolution(*inputs[:9]),
}
"""Operators that Python spells in its own way, or that downstream stations know by another name."""

_WITH_NUMBER: dict[str, Callable[..., Any]] = {
    "aten.add.Scalar": lambda x, number, alpha=1: torch.add(x, number, alpha=alpha),
    "aten.sub.Scalar": lambda x, number, alpha=1: torch.sub(x, number, alpha=alpha),
    "aten.mul.Scalar": torch.mul,
    "aten.div.Scalar": torch.div,
    "aten.div.Scalar_mode": lambda x, number, mode: torch.div(x, number, rounding_mode=mode),
}
"""TorchScript alone uses these overloads; from Python, `x + 1` is `aten.add.Tensor`."""
