"""What a runtime folder implements, and what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from exporter.types import (
    Compute,
    Delegation,
    Description,
    RunFn,
    Sample,
    Scheme,
    Signature,
    Stage,
    Tensors,
    TensorSpec,
    Variant,
)

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.jit import ScriptModule

    from exporter.quantize.recipe import Recipe


@dataclass(frozen=True)
class ConvertJob:
    """One artifact to make.

    Attributes:
        program: float32; positional tensors in, tuple of tensors out. Passes have run, and every
            call bears the mark of the captured operator that it was made of.
        signature: names, shapes and dtypes of the flat inputs and outputs.
        variant: what was asked for.
        recipe: what becomes of each operator; None unless the variant is int8.
        calibration: a few samples, evenly spread, for ranges of tensors that the captured program
            does not have; empty unless the variant is static.
        example: one sample, for tracing.
        dynamic_batch: whether the first dimension of every input may vary.
        target: the file to write.

    Raises:
        ValueError: int8 without a recipe, or a recipe for something else.
    """

    program: ExportedProgram
    signature: Signature
    variant: Variant
    recipe: Recipe | None
    calibration: tuple[Sample, ...]
    example: Sample
    dynamic_batch: bool
    target: Path

    def __post_init__(self) -> None:
        scheme = self.recipe.scheme if self.recipe else Scheme.FLOAT
        if scheme is not self.variant.scheme:
            raise ValueError(f"{self.variant} does not go with a recipe for {scheme}")


@dataclass(frozen=True)
class Conversion:
    """What is known of an artifact once it is written.

    Attributes:
        notes: what the user should know, and no other field says.
        delegation: for runtimes with delegates.
        computes: captured operator -> how it computes in the file, for those that hold weights or
            that the recipe wants in int8; without those that cannot be told, such as one that was
            folded into a constant.
    """

    notes: tuple[str, ...] = ()
    delegation: Delegation | None = None
    computes: Mapping[str, Compute] = field(default_factory=dict)


class CheckFn(Protocol):
    """Compares an intermediate result with the original model and records it."""

    def __call__(self, stage: Stage, run: RunFn) -> object: ...


class ConvertFn(Protocol):
    """`convert` of a runtime folder.

    Calls `check(Stage.QUANTIZED, run)` unless the variant is fp32, with a `run` that executes the
    quantized (or half) graph as plainly as the toolchain can: in eager PyTorch, or without fused
    kernels.

    Raises:
        FormatError: the model cannot be converted; the reason names operator and source line.
    """

    def __call__(self, job: ConvertJob, check: CheckFn) -> Conversion: ...


class ConvertScriptFn(Protocol):
    """`convert_script` of a runtime folder whose record says `keeps_control_flow`.

    Saves a float32 TorchScript module that cannot be captured, such as one with loops.

    Raises:
        FormatError: an operator cannot be saved or loaded, or the batch cannot vary.
    """

    def __call__(
        self,
        script: ScriptModule,
        signature: Signature,
        example: Sample,
        target: Path,
        *,
        dynamic_batch: bool = False,
    ) -> Conversion: ...


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
