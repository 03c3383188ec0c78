"""What the user asked for, and where the job says what it is doing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from exporter import loading, parity
from exporter.errors import UserError
from exporter.parity import Tolerance
from exporter.pipeline.output import check_output
from exporter.types import FP32, Format, Precision, Scheme, Variant


@dataclass(frozen=True)
class Bounds:
    """Tolerances that the user set; None leaves the default."""

    atol: float | None = None
    min_sqnr_db: float | None = None
    min_agreement: float | None = None
    max_drop: float | None = None

    def tolerance(self, variant: Variant, peak: float) -> Tolerance:
        """The default tolerance with these in it; `peak` is the largest reference output."""
        return parity.override(
            parity.default_tolerance(variant, peak),
            atol=self.atol,
            min_sqnr_db=self.min_sqnr_db,
            min_agreement=self.min_agreement,
            max_drop=self.max_drop,
        )


@dataclass(frozen=True)
class ExportOptions:
    """What the user asked for.

    Attributes:
        load: which model, and how to build and feed it.
        calibration: reference to calibration data, see `exporter.data.load_dataset`.
        evaluation: reference to evaluation data.
        example: file with example inputs.
        preprocess: how images become inputs, see `exporter.data.parse_preprocess`.
        limit: at most so many samples of each data set.
        precisions: what to make, in each of `formats`.
        formats: which formats.
        schemes: of int8 activations; without any, by whether there is calibration data.
        recipe: file of an edited recipe, in place of what would be decided for its scheme.
        dynamic_batch: whether the first dimension of every input may vary.
        bounds: tolerances that the user set.
        runs: timed runs of each artifact.
        threads: threads of each runtime when timing.
        jobs: artifacts built at once; None for one a core.
        output: folder to write; None for `<name>-mobile`.
        name: base name of the artifacts; None for the model's.
    """

    load: loading.LoadRequest
    calibration: str | None = None
    evaluation: str | None = None
    example: Path | None = None
    preprocess: str | None = None
    limit: int = 512
    precisions: tuple[Precision, ...] = (Precision.FP32,)
    formats: tuple[Format, ...] = tuple(Format)
    schemes: tuple[Scheme, ...] = ()
    recipe: Path | None = None
    dynamic_batch: bool = False
    bounds: Bounds = Bounds()
    runs: int = 50
    threads: int = 1
    jobs: int | None = None
    output: Path | None = None
    name: str | None = None


LONGEST_NAME = 200
"""Bytes of UTF-8: file systems take 255, and `.int8-dynamic.tflite.data` comes after it."""


def check(options: ExportOptions) -> None:
    """Refuses what cannot be meant, before anything that takes time.

    Raises:
        UserError: an option makes no sense, alone or beside the others.
    """
    if options.name is not None:
        _check_name(options.name)
    if options.output is not None:
        check_output(options.output)
    if options.schemes and Precision.INT8 not in options.precisions:
        said = f"--scheme {options.schemes[0]} is about int8."
        raise UserError(said, "Add --int8, or leave it out.")
    if options.recipe and Precision.INT8 not in options.precisions:
        raise UserError("--recipe is about int8.", "Add --int8, or leave it out.")
    options.bounds.tolerance(FP32, peak=1.0)


def _check_name(name: str) -> None:
    if name.startswith((".", "-")) or "/" in name or "\\" in name or not name.isprintable():
        raise UserError(
            f"--name {name!r} cannot begin a file name.",
            "It must not start with a dot or dash, nor hold slashes or control characters; "
            "--output names the folder.",
        )
    if len(name.encode()) > LONGEST_NAME:
        raise UserError(f"--name is {len(name)} characters long.", "Give a shorter one.")


class Progress(Protocol):
    """Where a job says what it is doing; a lane is the model or one artifact."""

    def begin(self, lane: str, text: str) -> None:
        """`lane` now does `text`."""

    def finish(self, lane: str, text: str) -> None:
        """`lane` is done, with `text` as its outcome."""

    def bug(self, lane: str, traceback: str) -> None:
        """`lane` met an unexpected exception; the user may want to report it."""
