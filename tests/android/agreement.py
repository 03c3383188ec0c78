"""How an Android library's outputs are compared with those of the same file on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from exporter import parity
from exporter.pipeline.runner import IsolatedRunner
from exporter.types import Format, Sample, Tensors

CLOSE_DB = {"pte": 55.0, "onnx": 55.0, "tflite": 40.0, "ptl": 40.0}
"""int8 outputs against the host's, at least. The latter two have other kernels than the host's."""


def on_host(fmt: str, path: Path, samples: Sequence[Sample], scratch: Path) -> list[Tensors]:
    """Outputs of the runtime that the exporter itself uses."""
    with IsolatedRunner(Format(fmt), path, scratch / "host.log") as host:
        return [host.run(sample) for sample in samples]


def column(outputs: Sequence[Tensors], position: int = 0) -> np.ndarray:
    """One output of all samples, stacked."""
    return np.stack([tensors[position] for tensors in outputs])


def assert_agrees(fmt: str, wanted: Sequence[Tensors], got: Sequence[Tensors]) -> None:
    """The same top-1 for every sample, and close by `CLOSE_DB`; one output of classes."""
    measured = parity.compare(wanted, got)
    assert measured.top1_agreement == 1.0
    assert measured.sqnr_db >= CLOSE_DB[fmt]
