"""What is done once for all artifacts: the model is loaded, run, captured, and int8 is decided."""

from __future__ import annotations

import io
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from exporter import data, loading, parity, passes
from exporter.base.eager import eager
from exporter.base.files import sha256
from exporter.base.text import first_line
from exporter.errors import FormatError, UserError
from exporter.pipeline.inputs import Inputs, gather, variants
from exporter.pipeline.options import ExportOptions, Progress
from exporter.pipeline.stages import Evidence, StageLog
from exporter.quantize.recipe import Recipe
from exporter.types import (
    FP32,
    Dataset,
    PassOutcome,
    Precision,
    Scheme,
    Stage,
    StageResult,
    Variant,
)

if TYPE_CHECKING:
    from torch.export import ExportedProgram

MISSING_RANGES_SAMPLES = 32
"""Calibration samples that a toolchain may run for tensors that only its own graph has."""


@dataclass(frozen=True)
class Subject:
    """One export: the model and the data.

    Attributes:
        options: what the user asked for.
        name: base name of the artifacts.
        original: the model that everything is compared with.
        exported: the model that artifacts are made of.
        preprocess: how images become inputs, where that was given.
        inputs: calibration and evaluation data.
        variants: what to make in each format, in order.
        recipe: what a person made of a recipe of an earlier export; None for what is decided here.
    """

    options: ExportOptions
    name: str
    original: loading.SourceModel
    exported: loading.SourceModel
    preprocess: data.Preprocess | None
    inputs: Inputs
    variants: tuple[Variant, ...]
    recipe: Recipe | None = None

    @property
    def calibrates(self) -> bool:
        """Whether calibration data goes into an artifact: only static int8 takes any."""
        return any(v.scheme is Scheme.STATIC for v in self.variants)


@dataclass(frozen=True)
class Reference:
    """What the original model gives.

    Attributes:
        evidence: evaluation samples with its outputs.
        peak: largest magnitude of its outputs.
    """

    evidence: Evidence
    peak: float


@dataclass(frozen=True)
class Captured:
    """The model as a program, once for all artifacts.

    Attributes:
        program: file of the program; None where the model could not be captured.
        digest: SHA-256 of the program, or of the script; the same in every process.
        script: file of the TorchScript itself, in the place of a program that could not be had.
        stages: what capture and the shared passes did to the outputs.
        passes: what each of them did.
        recipes: what becomes of each operator in int8.
        undecided: why there are no recipes though int8 was asked for, or None.
        calibration: a few of the calibration samples, where a variant is static.
        problem: why there is no program.
    """

    program: Path | None
    digest: str = ""
    script: Path | None = None
    stages: tuple[StageResult, ...] = ()
    passes: tuple[PassOutcome, ...] = ()
    recipes: Mapping[Variant, Recipe] = field(default_factory=dict)
    undecided: str | None = None
    calibration: data.Stored | None = None
    problem: str | None = None


def load(options: ExportOptions, progress: Progress) -> Subject:
    """Loads model and data.

    Raises:
        UserError: the model, the data or the recipe cannot be used; the message says why.
    """
    preprocess = data.parse_preprocess(options.preprocess) if options.preprocess else None
    recipe = Recipe.read(options.recipe) if options.recipe else None
    progress.begin("model", "loading")
    request = options.load
    if options.example:
        request = replace(request, example=data.read_example(options.example, preprocess))
    elif reference := options.evaluation or options.calibration:
        request = replace(request, sample=lambda n: data.first_sample(reference, n, preprocess))
    source = loading.load(request)
    progress.begin("model", "reading data")
    specs = source.signature.inputs
    inputs = gather(specs, options.calibration, options.evaluation, preprocess, options.limit)
    chosen = variants(options.precisions, options.schemes, inputs.calibration)
    if recipe and Variant(Precision.INT8, recipe.scheme) not in chosen:
        raise UserError(
            f"The recipe is one for int8 {recipe.scheme}, which is not made here.",
            f"Add --scheme {recipe.scheme}.",
        )
    return Subject(
        options=options,
        name=options.name or source.name,
        original=source,
        exported=source,
        preprocess=preprocess,
        inputs=inputs,
        variants=chosen,
        recipe=recipe,
    )


def stored(subject: Subject, folder: Path) -> Subject:
    """The same with all samples in files of `folder`, to be mapped by every process."""
    inputs = subject.inputs
    evaluation = _moved(inputs.evaluation, folder / "evaluation.samples")
    calibration = inputs.calibration and _moved(inputs.calibration, folder / "calibration.samples")
    return replace(subject, inputs=replace(inputs, evaluation=evaluation, calibration=calibration))


def refer(subject: Subject, folder: Path, progress: Progress) -> Reference:
    """Runs the original model on every evaluation sample."""
    dataset = subject.inputs.evaluation
    progress.begin("model", f"running the original on {len(dataset.samples)} samples")
    outputs = data.store(map(subject.original.run, dataset.samples), folder / "reference.samples")
    evidence = Evidence.of(outputs, dataset, subject.original.signature.outputs)
    return Reference(evidence, parity.peak(outputs))


def capture(subject: Subject, reference: Reference, folder: Path, progress: Progress) -> Captured:
    """Captures the model, runs the shared passes, decides int8, and saves it for the workers.

    Raises:
        UserError: a recipe that was given is not one for this model.
    """
    exact = subject.options.bounds.tolerance(FP32, reference.peak)
    log = StageLog(reference.evidence, exact, exact, lambda text: progress.begin("model", text))
    try:
        log.announce("capturing")
        program = loading.capture(subject.exported, subject.options.dynamic_batch)
        log.check(Stage.CAPTURED, eager(program))
        log.announce("passes")
        program, outcomes = passes.apply(program, passes.SHARED)
        log.check(Stage.PASSES, eager(program))
    except FormatError as error:
        progress.finish("model", f"cannot be captured: {error.reason}")
        return _kept_script(subject, folder, tuple(log.results), error.reason)
    recipes, undecided = _recipes(subject, program, progress)
    digest = passes.digest(program)
    program_file = _saved(program, folder / "program.pt2")
    progress.finish("model", "captured")
    return Captured(
        program_file,
        digest=digest,
        stages=tuple(log.results),
        passes=tuple(o for o in outcomes if o.notable),
        recipes=recipes,
        undecided=undecided,
        calibration=_few(subject),
    )


def _recipes(
    subject: Subject, program: ExportedProgram, progress: Progress
) -> tuple[Mapping[Variant, Recipe], str | None]:
    """Decides what becomes of each operator in int8.

    Returns:
        A recipe for each variant in int8, and why there is none, or None.

    Raises:
        UserError: a recipe that was given is not one for this model.
    """
    from exporter.quantize import decide, ranges

    int8 = [v for v in subject.variants if v.precision is Precision.INT8]
    try:
        observed = None
        if subject.calibrates and subject.inputs.calibration:
            progress.begin("model", "calibrating")
            observed = ranges.observe(program, subject.inputs.calibration.samples)
        recipes = {v: decide.recipe(program, v.scheme, observed) for v in int8}
    except UserError:
        raise
    except Exception as error:  # ours; the float artifacts can be made all the same
        progress.bug("model", traceback.format_exc())
        return {}, f"while deciding int8, export-mobile itself failed: {first_line(error)}"
    if subject.recipe:
        edited = Variant(Precision.INT8, subject.recipe.scheme)
        decide.check(subject.recipe, recipes[edited])
        recipes[edited] = subject.recipe
    return recipes, None


def _saved(program: ExportedProgram, target: Path) -> Path:
    """Saves a program whose every call is marked with its own name."""
    import torch

    from exporter.quantize.marker import mark

    mark(program)
    _write(target, lambda buffer: torch.export.save(program, buffer))
    return target


def _few(subject: Subject) -> data.Stored | None:
    calibration = subject.inputs.calibration
    if not subject.calibrates or calibration is None:
        return None
    assert isinstance(calibration.samples, data.Stored)
    few = data.spread(len(calibration.samples), MISSING_RANGES_SAMPLES)
    return calibration.samples.pick(few)


def _moved(dataset: Dataset, path: Path) -> Dataset:
    return replace(dataset, samples=data.store(dataset.samples, path))


def _kept_script(
    subject: Subject, folder: Path, stages: tuple[StageResult, ...], problem: str
) -> Captured:
    """What is left where the model cannot be captured: its TorchScript, flat inputs apart."""
    import torch

    failed = Captured(None, stages=stages, problem=problem)
    if not subject.exported.script:
        return failed
    try:
        script = loading.flat_script(subject.exported)
    except FormatError:
        return failed  # the reason of the capture is the one to tell
    target = folder / "script.pt"
    _write(target, lambda buffer: torch.jit.save(script, buffer))
    return replace(failed, script=target, digest=subject.exported.sha256 or sha256(target))


def _write(target: Path, save: Callable[[io.BytesIO], None]) -> None:
    """Writes what torch saves: torch itself ends the process where a disk is full."""
    buffer = io.BytesIO()
    save(buffer)
    target.write_bytes(buffer.getbuffer())
