"""Example inputs from a file."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from exporter.data.arrays import read_arrays
from exporter.data.pixels import SUFFIXES, image_tensor
from exporter.data.preprocess import Preprocess
from exporter.errors import UserError
from exporter.types import Array, Example, TensorSpec

_POSITIONAL = re.compile(r"arg_(\d+)")


def read_example(
    path: Path, preprocess: Preprocess | None = None, spec: TensorSpec | None = None
) -> Example:
    """Reads example inputs.

    - `.npy`: the one input.
    - `.npz`: a single array is the one input; `arg_0`, `arg_1`, ... are positional; other names are
      keywords.
    - `.pt`: a tensor, a tuple or list of positional inputs, or a dict of keywords; read without
      running code.
    - an image: one float32 input.

    Args:
        path: the file.
        preprocess: how an image becomes an input.
        spec: the input an image is for; float32 (1, 3, height, width) where it is not known yet,
            with the size of the preprocessing.

    Returns:
        Numpy arrays, or what a `.pt` file holds.

    Raises:
        UserError: the file is missing, damaged or of another kind.
    """
    if not path.is_file():
        raise UserError(
            f"The example {path} does not exist." if not path.exists() else f"{path} is no file."
        )
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return Example(args=(_image(path, preprocess, spec),))
    if suffix in (".pt", ".pth"):
        return _tensors(path)
    arrays = read_arrays(path)
    return _named(path, arrays) if isinstance(arrays, dict) else Example(args=(np.array(arrays),))


def _image(path: Path, preprocess: Preprocess | None, spec: TensorSpec | None) -> Array:
    if preprocess is None:
        raise UserError(
            f"How the image {path} becomes an input must be said.",
            "Add --preprocess, such as imagenet or 127/128.",
        )
    if spec is None and preprocess.size is None:
        raise UserError(
            f"What size the image {path} should have must be said.",
            "Add size=224, or such, to --preprocess.",
        )
    return image_tensor(
        path, preprocess, spec or TensorSpec("input", (1, 3, *(preprocess.size or ())), "float32")
    )


def _named(path: Path, arrays: dict[str, Array]) -> Example:
    if not arrays:
        raise UserError(f"{path} holds no arrays.")
    if len(arrays) == 1:
        return Example(args=tuple(arrays.values()))
    positions = {int(match[1]): key for key in arrays if (match := _POSITIONAL.fullmatch(key))}
    if sorted(positions) != list(range(len(positions))):
        raise UserError(f"{path}: positional arrays must be arg_0, arg_1, ... without a gap.")
    return Example(
        args=tuple(arrays[positions[i]] for i in range(len(positions))),
        kwargs={key: array for key, array in arrays.items() if key not in positions.values()},
    )


def _tensors(path: Path) -> Example:
    import torch

    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} is no readable file of example tensors.",
            "Write it with torch.save: a tensor, a tuple of tensors, or a dict of keywords.",
        ) from error
    if isinstance(found, torch.Tensor):
        return Example(args=(found,))
    if isinstance(found, tuple | list) and found:
        return Example(args=tuple(found))
    if isinstance(found, dict) and found and all(isinstance(key, str) for key in found):
        return Example(kwargs=dict(found))
    raise UserError(
        f"{path} holds {type(found).__name__}, not example inputs.",
        "Save a tensor, a tuple of tensors, or a dict of keywords.",
    )
