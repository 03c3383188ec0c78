"""Runs a `.ptl` in the Lite Interpreter."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch

from exporter.errors import FormatError
from exporter.runtimes.ptl.archive import read_stored
from exporter.runtimes.ptl.engine import Engine
from exporter.types import Sample, Tensors, TensorSpec


class Runner:
    """A `.ptl` loaded in the Lite Interpreter; see `exporter.runtimes.api.RunnerApi`.

    Args:
        path: the file.
        threads: of one inference.

    Raises:
        FormatError: the file does not load, or this torch has no QNNPACK.
    """

    inputs: tuple[TensorSpec, ...]

    def __init__(self, path: Path, threads: int = 1) -> None:
        stored = read_stored(path)
        self.inputs = stored.signature.inputs if stored else ()
        self._dynamic_batch = stored is not None and stored.dynamic_batch
        self._path = path
        self._threads = threads
        self._before = (torch.backends.quantized.engine, torch.get_num_threads())
        self._engine: Engine | None = None

    def __enter__(self) -> Self:
        engine = Engine(self._path, self._threads, FormatError)
        try:
            engine.load()
        except engine.failures as problem:
            self.__exit__()
            why = engine.cause(problem)
            raise FormatError(f"`{self._path.name}` does not load: {why}") from None
        self._engine = engine
        return self

    def __exit__(self, *exc: object) -> None:
        self._engine = None
        torch.backends.quantized.engine, threads = self._before
        torch.set_num_threads(threads)

    def run(self, sample: Sample) -> Tensors:
        """One inference; the arrays given back are the caller's own.

        Raises:
            FormatError: the sample does not fit, or the interpreter fails.
        """
        engine = self._engine
        if engine is None:
            raise ValueError("a Runner runs only inside its `with` block")
        self._validate(sample)
        try:
            result = engine.invoke(engine.feed(sample))
        except engine.failures as problem:
            raise FormatError(f"the Lite Interpreter fails: {engine.cause(problem)}") from None
        return tuple(engine.collect(result))

    def _validate(self, sample: Sample) -> None:
        if not self.inputs:
            return  # made by another tool: the file states no signature
        if len(sample) != len(self.inputs):
            raise FormatError(f"{len(sample)} inputs given, the model takes {len(self.inputs)}")
        for array, spec in zip(sample, self.inputs, strict=True):
            free = int(self._dynamic_batch)
            fits = array.ndim == len(spec.shape) and array.shape[free:] == spec.shape[free:]
            if not fits or array.dtype.name != spec.dtype:
                raise FormatError(
                    f"input `{spec.name}` is {array.dtype.name}{list(array.shape)}, "
                    f"the model takes {spec.dtype}{list(spec.shape)}"
                )
