"""Runs a toy file on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from exporter.errors import FormatError
from exporter.types import Sample, Tensors, TensorSpec

from .engine import Engine


class Runner:
    """See `exporter.runtimes.api.RunnerApi`."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._engine = Engine(path, threads, FormatError)

    def __enter__(self) -> Self:
        self._engine.load()
        stored = self._engine.header["signature"]["inputs"]
        self.inputs = tuple(TensorSpec(s["name"], tuple(s["shape"]), s["dtype"]) for s in stored)
        return self

    def __exit__(self, *exc: object) -> None:
        del self._engine

    def run(self, sample: Sample) -> Tensors:
        for spec, array in zip(self.inputs, sample, strict=True):
            if array.shape != spec.shape or array.dtype != spec.dtype:
                raise FormatError(f"input {spec.name} does not fit")
        return tuple(self._engine.collect(self._engine.invoke(self._engine.feed(sample))))
