"""Runs a toy file with numpy, on this machine and on devices."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Engine:
    """A .toy: four bytes, then an .npz with `steps` and weights."""

    def __init__(self, model: Path, threads: int, refusal: type[Exception]) -> None:
        self._model, self._refusal = model, refusal
        self.name = f"toy on numpy {np.__version__}"
        self.failures: tuple[type[Exception], ...] = (ValueError, KeyError)

    def load(self) -> None:
        with np.load(io.BytesIO(self._model.read_bytes()[4:])) as stored:
            self._arrays = dict(stored)
        self.header = json.loads(bytes(self._arrays.pop("header")))

    def bind(self, inputs: Sequence[tuple[str, str]], outputs: Sequence[tuple[str, str]]) -> None:
        if len(inputs) != len(self.header["signature"]["inputs"]):
            raise self._refusal("the artifact takes other inputs")

    def feed(self, sample: Sequence[Array]) -> list[Array]:
        return list(sample)

    def invoke(self, inputs: list[Array]) -> list[Array]:
        values = dict(zip(self.header["inputs"], inputs, strict=True))
        for step in self.header["steps"]:
            x = values[step["reads"]]
            match step["operator"]:
                case "linear":
                    x = x @ self._weight(step["weight"]).T + self._weight(step["bias"])
                case "relu":
                    x = np.maximum(x, 0)
                case "reshape":
                    x = x.reshape(step["shape"])
            values[step["name"]] = x
        return [values[name] for name in self.header["outputs"]]

    def collect(self, outputs: list[Array]) -> list[Array]:
        return [np.asarray(x, np.float32) for x in outputs]

    def cause(self, error: Exception, log: str = "") -> str:
        return str(error)

    def _weight(self, name: str) -> Array:
        scale = self._arrays.get(f"{name}/scale", np.float32(1))
        return self._arrays[name].astype(np.float32) * scale
