"""Inputs and outputs of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
else:
    Array = Any

Tensors: TypeAlias = tuple[Array, ...]
"""Flat inputs, or flat outputs, of one call: positional, in the order of the signature."""

Sample: TypeAlias = Tensors
"""The inputs of one call."""

RunFn: TypeAlias = Callable[[Sample], Tensors]
"""Anything that maps one sample to its outputs: a module, a graph, an artifact in its runtime."""


Tell: TypeAlias = Callable[[str], None]
"""Takes a line of progress."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: an identifier, unique among the inputs (or outputs).
        shape: sizes in elements; the batch is the first where there is one.
        dtype: numpy's name of the element type, such as `float32`.
        low: smallest sensible value of an integer input (inclusive), where known.
        high: bound of an integer input (exclusive), where known, such as a vocabulary size.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True)
class Signature:
    """Flat inputs and outputs of the model, in call order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class Dataset:
    """Samples with where they came from.

    Attributes:
        samples: each one the flat inputs of one call.
        labels: class index of each sample, where known.
        origin: what the user named, or `random`.
        random: True for made-up inputs, which are weak evidence.
        left_out: how many more samples the origin holds.
    """

    samples: Sequence[Sample]
    labels: tuple[int, ...] | None = None
    origin: str = "random"
    random: bool = False
    left_out: int = 0


@dataclass(frozen=True)
class Example:
    """Example inputs of one call, as the model's own `forward` takes them.

    Attributes:
        args: positional inputs: numpy arrays, torch tensors, or nested collections of them.
        kwargs: inputs by keyword, likewise.
    """

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
