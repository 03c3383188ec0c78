"""TorchScript's operators on Python values: numbers, lists, dicts, texts.

In TorchScript `aten::add` also adds two ints. Done in plain Python, a size stays symbolic when the
batch is dynamic.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch


def to_int(value: Any) -> Any:
    """`int(value)`, which would fix the value of a symbolic size."""
    if isinstance(value, torch.Tensor):
        return to_int(value.item())
    return value if isinstance(value, torch.SymInt) else int(value)


def to_float(value: Any) -> Any:
    """`float(value)`, likewise."""
    if isinstance(value, torch.Tensor):
        return to_float(value.item())
    return value if isinstance(value, torch.SymFloat) else torch.sym_float(value)


def to_number(value: Any) -> Any:
    """The number in a tensor, or the number itself."""
    return value.item() if isinstance(value, torch.Tensor) else value


def divide(a: Any, b: Any, rounding_mode: str | None = None) -> Any:
    """`aten::div` on numbers."""
    if rounding_mode == "floor":
        return a // b
    return a / b if rounding_mode is None else math.trunc(a / b)


def _add(a: Any, b: Any, alpha: Any = 1) -> Any:
    return a + b if isinstance(a, list | str) else a + alpha * b


def _set_item(container: Any, key: Any, value: Any) -> Any:
    container[key] = value
    return container


def _slice(items: Any, start: Any = None, end: Any = None, step: int = 1) -> Any:
    return items[start:end:step]


def _append(items: list[Any], item: Any) -> list[Any]:
    items.append(item)
    return items


ON_VALUES: dict[str, Callable[..., Any]] = {
    "add": _add,
    "sub": lambda a, b, alpha=1: a - alpha * b,
    "rsub": lambda a, b, alpha=1: b - alpha * a,
    "mul": operator.mul,
    "div": divide,
    "floordiv": operator.floordiv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "fmod": math.fmod,
    "pow": operator.pow,
    "neg": operator.neg,
    "abs": abs,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": round,
    "sqrt": math.sqrt,
    "log": math.log,
    "exp": math.exp,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "__and__": operator.and_,
    "__or__": operator.or_,
    "__xor__": operator.xor,
    "__not__": operator.not_,
    "logical_not": operator.not_,
    "__is__": operator.is_,
    "__isnot__": operator.is_not,
    "__contains__": operator.contains,
    "__getitem__": operator.getitem,
    "_set_item": _set_item,
    "slice": _slice,
    "append": _append,
    "extend": lambda items, more: items.extend(more),
    "insert": lambda items, at, item: items.insert(at, item),
    "pop": lambda items, *at: items.pop(*at),
    "reverse": lambda items: items.reverse(),
    "copy": lambda items: items.copy(),
    "list": list,
    "len": len,
    "keys": lambda items: list(items.keys()),
    "values": lambda items: list(items.values()),
    "items": lambda items: list(items.items()),
    "get": lambda items, key, default=None: items.get(key, default),
    "sum": sum,
    "max": max,
    "min": min,
    "any": any,
    "all": all,
    "str": str,
    "format": lambda text, *values: text.format(*values),
    "Int": to_int,
    "IntImplicit": to_int,
    "Float": to_float,
    "FloatImplicit": to_float,
    "ScalarImplicit": to_number,
    "Bool": bool,
    "to": lambda value, *_: value,
    "type_as": lambda value, *_: value,
    "detach": lambda value: value,
    "item": lambda value: value,
    "warn": lambda *_: None,
}
"""Name without `aten::` -> the function on Python values; the schemas' argument order."""

ON_ANYTHING = frozenset(
    (
        "__is__",
        "__isnot__",
        "Int",
        "IntImplicit",
        "Float",
        "FloatImplicit",
        "ScalarImplicit",
        "Bool",
    )
)
"""Operators that give a Python value for tensors too."""

ON_CONTAINERS = frozenset(
    (
        "__getitem__",
        "_set_item",
        "append",
        "extend",
        "insert",
        "pop",
        "slice",
        "get",
        "__contains__",
        "copy",
        "list",
    )
)
"""Operators on lists and dicts, whose items may be tensors."""
