"""Makes a value fit a model input, or says why it does not."""

from __future__ import annotations

from typing import Any

import numpy as np

from exporter.data.pixels import normalized
from exporter.data.preprocess import Preprocess
from exporter.errors import UserError
from exporter.types import Array, TensorSpec

_RANK = {"b": 0, "u": 1, "i": 1, "f": 2}
"""Kinds of numbers; a value may become one of its own or a higher rank."""


def conform(
    value: Any, spec: TensorSpec, where: str, preprocess: Preprocess | None = None
) -> Array:
    """An own copy of `value` with exactly the shape and dtype of a model input.

    A missing batch axis of 1 is added. Floats may be rounded to another width; integers may change
    their type, or become floats, where every value survives. With a preprocessing, uint8 values
    for a float input are taken for pixels: (pixel / scale - mean) / std. Without one they are cast
    as they are.

    Args:
        value: array, tensor, number or nested list.
        spec: the input.
        where: file and sample, for messages.
        preprocess: how to normalise uint8 values.

    Raises:
        UserError: wrong shape, unsafe dtype, NaN or Inf, or an integer out of range.
    """
    where = f"{where}, input {spec.name}"
    array = _fit_shape(as_array(value, where), spec, where)
    if preprocess is not None and array.dtype == np.uint8 and spec.dtype.startswith("float"):
        array = normalized(array, preprocess, spec)
    array = _cast(array, spec, where)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UserError(f"{where}: has NaN or Inf.", "Check how the data were made.")
    if array.dtype.kind in "iu" and array.size:
        _check_range(array, spec, where)
    return array


def as_array(value: Any, where: str) -> Array:
    """A numpy array of an array, a torch tensor, a number or a nested list of numbers.

    Raises:
        UserError: it holds no plain numbers.
    """
    try:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{where}: {type(value).__name__} is no array of numbers ({error})."
        ) from error
    if array.dtype.kind not in _RANK:
        raise UserError(f"{where}: {type(value).__name__} of {array.dtype} is no array of numbers.")
    return array


def _fit_shape(array: Array, spec: TensorSpec, where: str) -> Array:
    if array.shape == spec.shape:
        return array
    if spec.shape[:1] == (1,) and array.shape == spec.shape[1:]:
        return array[None]
    raise UserError(
        f"{where}: shape {array.shape}, the model takes {spec.shape}.",
        "Bring samples of that shape (a batch of 1 may be left out), "
        "or export with --input of the data's shape.",
    )


def _cast(array: Array, spec: TensorSpec, where: str) -> Array:
    wanted = np.dtype(spec.dtype)
    if _RANK[array.dtype.kind] > _RANK.get(wanted.kind, -1):
        raise UserError(
            f"{where}: is {array.dtype}, the model takes {wanted}.", "Convert the data first."
        )
    with np.errstate(over="ignore", invalid="ignore"):  # both are looked for below
        result = np.array(array, dtype=wanted, order="C")
        kept = array.dtype.kind not in "iu" or _equal(array, result)
    if not kept:
        raise UserError(f"{where}: is {array.dtype} with values that {wanted} cannot hold.")
    return result


def _equal(integers: Array, result: Array) -> bool:
    """Whether a cast kept every value; there and back alone would miss a sign that wrapped."""
    signs_kept = np.array_equal(integers < 0, result < 0)
    return signs_kept and np.array_equal(result.astype(integers.dtype), integers)


def _check_range(array: Array, spec: TensorSpec, where: str) -> None:
    low, high = int(array.min()), int(array.max())
    if spec.low is not None and low < spec.low:
        raise UserError(f"{where}: holds {low}, the smallest allowed is {spec.low}.")
    if spec.high is not None and high >= spec.high:
        raise UserError(f"{where}: holds {high}, the largest allowed is {spec.high - 1}.")
