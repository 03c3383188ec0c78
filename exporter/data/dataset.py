"""Data sets: what a user names, or made-up inputs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporter.data.arrays import array_rows
from exporter.data.conform import conform
from exporter.data.folder import folder_rows
from exporter.data.function import first_values, function_rows
from exporter.data.preprocess import Preprocess
from exporter.data.rows import Rows, spread
from exporter.errors import UserError
from exporter.types import Array, Dataset, Sample, TensorSpec

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def load_dataset(
    reference: str,
    inputs: Sequence[TensorSpec],
    preprocess: Preprocess | None = None,
    limit: int | None = None,
) -> Dataset:
    """Loads and checks samples for a model.

    Args:
        reference: a folder of images, a .npz or .npy file, or `package.module:function`.
        inputs: the model's inputs.
        preprocess: how images become inputs. uint8 arrays for a float input are normalised with its
            scale, mean and std (they must have the model's size, layout and channel order); other
            arrays are taken as prepared. Without a preprocessing uint8 values are cast as they are.
        limit: at most so many samples, spread over the whole, always the same ones.

    Returns:
        Samples of exactly the inputs' shapes and dtypes, with labels where the source has them.

    Raises:
        UserError: the source is missing, damaged, empty, or does not fit the model; names the file
            and the index of the sample.
    """
    if limit is not None and limit < 1:
        raise UserError(f"The limit of samples is {limit}; it must be at least 1.")
    rows = _rows(reference, inputs, preprocess, limit)
    if not rows.count:
        raise UserError(f"{reference} holds no samples.")
    chosen = spread(rows.count, limit)
    return Dataset(
        samples=tuple(_sample(rows, i, inputs, preprocess) for i in chosen),
        labels=None if rows.labels is None else tuple(rows.labels[i] for i in chosen),
        origin=reference,
        left_out=rows.count + rows.dropped - len(chosen),
    )


def first_sample(
    reference: str, names: Sequence[str], preprocess: Preprocess | None = None
) -> tuple[Any, ...]:
    """The first sample, raw, for a model of which only the names of its inputs are known.

    Raises:
        UserError: as of `load_dataset`; or an image whose size nothing says.
    """
    shape: tuple[int, ...] = ()
    if Path(reference).is_dir() and preprocess:
        if preprocess.size is None:
            raise UserError(
                f"What size the images of {reference} should have must be said.",
                "Add size=224, or such, to --preprocess, or --input 1x3x224x224.",
            )
        shape = (1, 3, *preprocess.size)
    specs = [TensorSpec(name, shape, "float32") for name in names]
    if _names_function(reference):
        return first_values(reference, specs)
    rows = _rows(reference, specs, preprocess, 1)
    if not rows.count:
        raise UserError(f"{reference} holds no samples.")
    return tuple(
        np.float32(value) if preprocess and np.asarray(value).dtype == np.uint8 else value
        for value in rows.read(0)
    )


def random_dataset(inputs: Sequence[TensorSpec], count: int, seed: int = 0) -> Dataset:
    """Made-up inputs: good for a smoke test, weak as evidence.

    Floats are standard normal. Integers are uniform in [low, high) where the spec says so; else in
    [0, 2), which is valid for token ids and masks alike, or [0, 256) for uint8, which is pixels.

    Args:
        inputs: the model's inputs.
        count: number of samples.
        seed: the same seed gives the same samples.
    """
    rng = np.random.default_rng(seed)
    samples = tuple(tuple(_random(spec, rng) for spec in inputs) for _ in range(count))
    return Dataset(samples, random=True)


def overlap(evaluation: Dataset, calibration: Dataset) -> int:
    """How many evaluation samples are, byte for byte, calibration samples: not held out."""
    seen = {_digest(sample) for sample in calibration.samples}
    return sum(_digest(sample) in seen for sample in evaluation.samples)


def _rows(
    reference: str, inputs: Sequence[TensorSpec], preprocess: Preprocess | None, limit: int | None
) -> Rows:
    path = Path(reference)
    if path.is_dir():
        return folder_rows(path, inputs, preprocess)
    if path.is_file():
        return array_rows(path, inputs)
    if path.exists():
        raise UserError(f"{reference} is neither a file nor a folder.")
    if _names_function(reference):
        return function_rows(reference, inputs, limit)
    raise UserError(
        f"{reference} does not exist.",
        "Name a folder of images, a .npz or .npy file, or `package.module:function`.",
    )


def _names_function(reference: str) -> bool:
    return not Path(reference).exists() and bool(_FUNCTION.fullmatch(reference))


def _sample(
    rows: Rows, index: int, inputs: Sequence[TensorSpec], preprocess: Preprocess | None
) -> Sample:
    values, where = rows.read(index), rows.where(index)
    return tuple(
        conform(value, spec, where, preprocess) for value, spec in zip(values, inputs, strict=True)
    )


def _random(spec: TensorSpec, rng: np.random.Generator) -> Array:
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return np.asarray(rng.standard_normal(spec.shape), dtype)
    if dtype.kind == "b":
        return np.asarray(rng.integers(0, 2, spec.shape), dtype)
    if dtype.kind not in "iu":
        raise UserError(f"Input {spec.name} is {spec.dtype}; random values cannot be made for it.")
    low = spec.low or 0
    high = spec.high if spec.high is not None else low + (256 if dtype == np.uint8 else 2)
    if high <= low:
        raise UserError(f"Input {spec.name}: the range {low}..{high} is empty.")
    return np.asarray(rng.integers(low, high, spec.shape), dtype)


def _digest(sample: Sample) -> bytes:
    found = hashlib.sha256()
    for array in sample:
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(array.tobytes())
    return found.digest()
