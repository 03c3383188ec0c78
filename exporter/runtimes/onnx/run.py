"""Runs .onnx in ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from exporter.errors import FormatError
from exporter.runtimes.onnx.session import open_session, run_fn
from exporter.types import Sample, Tensors, TensorSpec

_DTYPES = {"float": "float32", "double": "float64"}
"""ONNX Runtime's type names that are not numpy's."""

FREE = -1
"""Stands for a dimension of any size."""


class Runner:
    """See `exporter.runtimes.api.RunnerApi`.

    Args:
        path: the artifact; external data lies beside it.
        threads: threads within an operator.

    Raises:
        FormatError: the file does not load.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        if not path.is_file():
            raise FormatError(f"there is no file {path.name}")
        engine = open_session(path, threads=threads)
        self._run = run_fn(engine)
        self.inputs: tuple[TensorSpec, ...] = tuple(
            TensorSpec(
                i.name, tuple(d if isinstance(d, int) else FREE for d in i.shape), _dtype(i.type)
            )
            for i in engine.session.get_inputs()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        del self._run

    def run(self, sample: Sample) -> Tensors:
        """Outputs for one sample, each an array of its own.

        Raises:
            FormatError: the sample does not fit the inputs, or the runtime fails.
        """
        if len(sample) != len(self.inputs):
            raise FormatError(f"{len(self.inputs)} inputs are needed, {len(sample)} were given")
        for spec, array in zip(self.inputs, sample, strict=True):
            _validate(spec, array.shape, array.dtype.name)
        return self._run(sample)


def _validate(spec: TensorSpec, shape: tuple[int, ...], dtype: str) -> None:
    if dtype != spec.dtype:
        raise FormatError(f"input {spec.name} is {spec.dtype}, {dtype} was given")
    fits = len(shape) == len(spec.shape) and all(
        want in (FREE, size) for want, size in zip(spec.shape, shape, strict=True)
    )
    if not fits:
        wanted = "x".join("?" if d == FREE else str(d) for d in spec.shape)
        raise FormatError(f"input {spec.name} is {wanted}, {'x'.join(map(str, shape))} was given")


def _dtype(name: str) -> str:
    """`tensor(float)` -> `float32`."""
    inner = name.removeprefix("tensor(").removesuffix(")")
    return _DTYPES.get(inner, inner)
