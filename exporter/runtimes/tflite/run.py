"""Runs a .tflite file in LiteRT's interpreter."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any, Self

import numpy as np

from exporter.base.quiet import STDERR, silenced
from exporter.errors import FormatError
from exporter.runtimes.tflite.engine import Details, Engine, is_quantized
from exporter.runtimes.tflite.signature import read
from exporter.types import Array, Sample, Signature, Tensors, TensorSpec


class Kernels(Enum):
    """Which kernels execute the graph."""

    DELEGATED = "AUTO"
    """XNNPACK where it can, as in an app."""

    PLAIN = "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
    """The interpreter's own, one operator at a time. `BUILTIN_REF` would be plainer still, and
    takes eight times as long."""


class Runner:
    """A .tflite file loaded in LiteRT.

    Takes and gives the model's own signature, whatever types the file has.

    Args:
        path: the file.
        threads: of the interpreter.
        kernels: which kernels execute the graph.

    Raises:
        FormatError: the file does not load, or neither interpreter is installed.
    """

    def __init__(self, path: Path, threads: int = 1, kernels: Kernels = Kernels.DELEGATED) -> None:
        self._name = path.name
        try:
            content = path.read_bytes()
            stored = read(content)
        except (OSError, ValueError) as error:
            raise FormatError(f"{path.name} does not load: {error}") from error
        self._engine = engine = _loaded(content, threads, kernels, path.name)
        signature = stored or Signature(_specs_of(engine.inputs), _specs_of(engine.outputs))
        engine.bind(_endpoints(signature.inputs), _endpoints(signature.outputs))
        self.inputs = signature.inputs
        self.outputs = signature.outputs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        del self._engine  # frees the arena; the object is of no use afterwards

    def run(self, sample: Sample) -> Tensors:
        """Outputs for one sample, as copies.

        Raises:
            FormatError: the sample does not fit the signature, or the interpreter fails.
        """
        if len(sample) != len(self.inputs):
            raise FormatError(f"{self._name} takes {len(self.inputs)} inputs, not {len(sample)}")
        for spec, value in zip(self.inputs, sample, strict=True):
            _validate(spec, value)
        engine = self._engine
        engine.feed(sample)
        try:
            engine.invoke(None)
            return tuple(engine.collect(None))
        except engine.failures as error:
            why = engine.cause(error)
            raise FormatError(f"LiteRT cannot run {self._name}: {why}") from error


def load(content: bytes, threads: int, kernels: Kernels, name: str) -> Any:
    """An interpreter with its tensors allocated.

    Args:
        content: of a .tflite file.
        threads: of the interpreter.
        kernels: which kernels execute the graph.
        name: what to call the file in an error.

    Raises:
        FormatError: the content is damaged, or an operator has no kernel.
    """
    return _loaded(content, threads, kernels, name).interpreter


def _loaded(content: bytes, threads: int, kernels: Kernels, name: str) -> Engine:
    try:
        engine = Engine(content, threads, FormatError, kernels.value)
    except ModuleNotFoundError as error:
        raise FormatError(
            "a .tflite file needs a runtime: `pip install ai-edge-litert` (or tflite-runtime)"
        ) from error
    try:
        with silenced(STDERR):  # LiteRT announces its delegate there at each load
            engine.load()
    except engine.failures as error:
        raise FormatError(f"{name} does not load in LiteRT: {engine.cause(error)}") from error
    return engine


def _endpoints(specs: tuple[TensorSpec, ...]) -> list[tuple[str, str]]:
    return [(spec.name, spec.dtype) for spec in specs]


def _specs_of(details: Details) -> tuple[TensorSpec, ...]:
    """What a file without our metadata takes or gives; quantized tensors count as float."""
    return tuple(
        TensorSpec(
            name,
            tuple(int(n) for n in d["shape"]),
            "float32" if is_quantized(d) else np.dtype(d["dtype"]).name,
        )
        for name, d in details.items()
    )


def _validate(spec: TensorSpec, value: Array) -> None:
    if value.shape != spec.shape or value.dtype.name != spec.dtype:
        raise FormatError(
            f"input {spec.name} is {value.dtype.name} {list(value.shape)}, "
            f"the model takes {spec.dtype} {list(spec.shape)}"
        )
