"""What a runtime folder implements, and what it is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from exporter.types import (
    Delegation,
    Description,
    Precision,
    RunFn,
    Sample,
    Scheme,
    Signature,
    Stage,
    Tensors,
    TensorSpec,
)

if TYPE_CHECKING:
    from torch.export import ExportedProgram


@dataclass(frozen=True)
class ConvertJob:
    """One artifact to make.

    Attributes:
        program: positional tensors in, tuple of tensors out. Passes have run. For a format in
            `TAKES_QUANTIZED_GRAPH` it is already quantized (QDQ) or half; else it is float32.
        signature: names, shapes and dtypes of the flat inputs and outputs.
        precision: what was asked for.
        scheme: `STATIC` or `DYNAMIC` for int8, else `FLOAT`.
        calibration: samples for a toolchain that calibrates itself; empty unless static.
        example: one sample, for tracing.
        dynamic_batch: whether the first dimension of every input may vary.
        target: the file to write.
    """

    program: ExportedProgram
    signature: Signature
    precision: Precision
    scheme: Scheme
    calibration: tuple[Sample, ...]
    example: Sample
    dynamic_batch: bool
    target: Path


@dataclass(frozen=True)
class Conversion:
    """What is known of an artifact once it is written.

    Attributes:
        notes: what the user should know, such as which operators stayed float and why.
        delegation: for runtimes with delegates.
    """

    notes: tuple[str, ...] = ()
    delegation: Delegation | None = None


class CheckFn(Protocol):
    """Compares an intermediate result with the original model and records it."""

    def __call__(self, stage: Stage, run: RunFn) -> object: ...


class ConvertFn(Protocol):
    """`convert` of a runtime folder.

    Calls `check(Stage.QUANTIZED, run)` when it quantizes by itself, with a `run` that executes
    the quantized graph as plainly as the toolchain can (no fused kernels).

    Raises:
        FormatError: the model cannot be converted; the reason names operator and source line.
    """

    def __call__(self, job: ConvertJob, check: CheckFn) -> Conversion: ...


class RunnerApi(Protocol):
    """An artifact loaded in its real runtime.

    `run` validates count, shape and dtype of the sample before it runs, takes and gives tensors
    of the model's own signature whatever the file's internal layout or integer types are, and
    returns arrays that the runtime will not overwrite on the next call.

    Raises:
        FormatError: the file does not load, the sample does not fit, or the runtime fails.
    """

    inputs: tuple[TensorSpec, ...]

    def __init__(self, path: Path, threads: int = 1) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def run(self, sample: Sample) -> Tensors: ...


class DescribeFn(Protocol):
    """`describe` of a runtime folder; `UserError` when the file is not what its kind promises."""

    def __call__(self, path: Path) -> Description: ...
