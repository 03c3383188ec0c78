"""Inputs as text: `[NAME=]SHAPE[:DTYPE[:LOW..HIGH]]`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from exporter.errors import UserError
from exporter.types import Array, Example

DEFAULT_RANGE = (0, 2)
"""Integers without a stated range: 0 and 1 are valid in every vocabulary, class list and mask."""

_SPEC = re.compile(
    r"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<shape>scalar|\d+(?:x\d+)*)"
    r"(?::(?P<dtype>[a-z]+\d*))?(?::(?P<low>-?\d+)\.\.(?P<high>-?\d+))?"
)
_ALIASES = {"float": "float32", "int": "int64", "long": "int64"}
_INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
_DTYPES = ("float32", *_INTEGERS, "bool")
_GRAMMAR = (
    "Write [NAME=]SHAPE[:DTYPE[:LOW..HIGH]], such as 1x3x224x224, mask=1x16:bool "
    "or ids=1x16:int64:0..30522."
)


@dataclass(frozen=True)
class InputSpec:
    """One input as the user wrote it.

    Attributes:
        name: keyword of `forward`; None for a positional input.
        shape: sizes in elements; empty for a scalar.
        dtype: numpy's name of the element type.
        low: smallest value of an integer input (inclusive), where it was stated.
        high: bound of an integer input (exclusive), where it was stated.
    """

    name: str | None
    shape: tuple[int, ...]
    dtype: str = "float32"
    low: int | None = None
    high: int | None = None


def parse_input(text: str) -> InputSpec:
    """Reads one input, such as `1x3x224x224`, `1x3x224x224:float32` or `ids=1x16:int64:0..30522`.

    A range means integers, int64 unless it is said. `scalar` is the shape without dimensions.

    Raises:
        UserError: the text is malformed, or such an input cannot be.
    """
    match = _SPEC.fullmatch(text.strip())
    if match is None:
        raise UserError(f"--input {text} cannot be read.", _GRAMMAR)
    shape = () if match["shape"] == "scalar" else tuple(int(n) for n in match["shape"].split("x"))
    if 0 in shape:
        raise UserError(f"--input {text} has no elements: a dimension is 0.", _GRAMMAR)
    ranged = match["low"] is not None
    written = match["dtype"] or ("int64" if ranged else "float32")
    dtype = _ALIASES.get(written, written)
    if dtype not in _DTYPES:
        raise UserError(
            f"--input {text}: {written} is no type for an input.",
            f"It can be {', '.join(_DTYPES)}.",
        )
    if not ranged:
        return InputSpec(match["name"], shape, dtype)
    low, high = int(match["low"]), int(match["high"])
    if dtype not in _INTEGERS:
        raise UserError(f"--input {text}: a range is for integers, not for {dtype}.", _GRAMMAR)
    limits = np.iinfo(dtype)
    if low >= high or low < limits.min or high > limits.max + 1:
        raise UserError(
            f"--input {text}: {low}..{high} is no range of {dtype}.",
            "LOW is the smallest value, HIGH the first one beyond the largest.",
        )
    return InputSpec(match["name"], shape, dtype, low, high)


def make_example(specs: Iterable[InputSpec], seed: int = 0) -> Example:
    """Random inputs: standard normal floats, evenly drawn integers of their range.

    Raises:
        UserError: a name is used twice.
    """
    rng = np.random.default_rng(seed)
    args: list[Array] = []
    kwargs: dict[str, Array] = {}
    for spec in specs:
        try:
            value = _values(spec, rng)
        except (MemoryError, ValueError, OverflowError) as error:
            size = "x".join(map(str, spec.shape))
            raise UserError(f"--input {size} is more than this machine can hold.") from error
        if spec.name is None:
            args.append(value)
        elif spec.name in kwargs:
            raise UserError(f"--input names {spec.name} twice.")
        else:
            kwargs[spec.name] = value
    return Example(tuple(args), kwargs)


def _values(spec: InputSpec, rng: np.random.Generator) -> Array:
    if spec.dtype == "float32":
        return np.asarray(rng.standard_normal(spec.shape, np.float32), np.float32)
    low, high = DEFAULT_RANGE if spec.low is None or spec.high is None else (spec.low, spec.high)
    return np.asarray(rng.integers(low, high, spec.shape), spec.dtype)
