"""golden.npz: inputs and the original model's outputs, so that an app can test itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exporter.data.arrays import read_arrays
from exporter.errors import UserError
from exporter.types import Array, Sample, Signature, Tensors

_INPUT, _OUTPUT, _LABELS = "input/", "output/", "labels"


@dataclass(frozen=True)
class Golden:
    """What golden.npz holds.

    Attributes:
        input_names: names of the inputs, in call order.
        output_names: names of the outputs.
        samples: inputs of each call.
        outputs: the original model's outputs of each call.
        labels: class index of each, where known.
    """

    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    samples: tuple[Sample, ...]
    outputs: tuple[Tensors, ...]
    labels: tuple[int, ...] | None = None


def write_golden(
    path: Path,
    samples: Sequence[Sample],
    outputs: Sequence[Tensors],
    labels: Sequence[int] | None,
    signature: Signature,
) -> None:
    """Writes `input/<name>` and `output/<name>`, stacked on a first sample axis, and `labels`.

    Args:
        path: the file to write.
        samples: inputs of each call.
        outputs: the original model's outputs of each call.
        labels: class index of each, where known.
        signature: names of inputs and outputs.
    """
    arrays: dict[str, Array] = {}
    for position, spec in enumerate(signature.inputs):
        arrays[_INPUT + spec.name] = np.stack([sample[position] for sample in samples])
    for position, spec in enumerate(signature.outputs):
        arrays[_OUTPUT + spec.name] = np.stack([output[position] for output in outputs])
    if labels is not None:
        arrays[_LABELS] = np.array(labels, np.int64)
    with path.open("wb") as file:  # given a name, numpy would append .npz to it
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_golden(path: Path) -> Golden:
    """Reads what `write_golden` wrote.

    Raises:
        UserError: the file is missing, damaged or something else.
    """
    arrays = read_arrays(path)
    hint = "Export the model again."
    if not isinstance(arrays, dict):
        raise UserError(f"{path} is not golden data.", hint)
    inputs = {k.removeprefix(_INPUT): v for k, v in arrays.items() if k.startswith(_INPUT)}
    outputs = {k.removeprefix(_OUTPUT): v for k, v in arrays.items() if k.startswith(_OUTPUT)}
    labels = arrays.get(_LABELS)
    if (
        not inputs
        or not outputs
        or len(arrays) != len(inputs) + len(outputs) + (labels is not None)
    ):
        raise UserError(
            f"{path} is not golden data: it holds {', '.join(arrays) or 'nothing'}.", hint
        )
    counts = {len(array) if array.ndim else 0 for array in arrays.values()}
    if len(counts) != 1 or 0 in counts:
        raise UserError(f"{path} is damaged: its arrays hold {sorted(counts)} samples.", hint)
    if labels is not None and (labels.ndim != 1 or labels.dtype.kind not in "iu"):
        raise UserError(
            f"{path} is damaged: its labels are {labels.dtype} of shape {labels.shape}.", hint
        )
    return Golden(
        input_names=tuple(inputs),
        output_names=tuple(outputs),
        samples=_rows(inputs),
        outputs=_rows(outputs),
        labels=None if labels is None else tuple(int(label) for label in labels),
    )


def _rows(columns: dict[str, Array]) -> tuple[Tensors, ...]:
    """Unstacks; np.asarray keeps a row of a one-dimensional array an array."""
    return tuple(tuple(map(np.asarray, row)) for row in zip(*columns.values(), strict=True))
