"""`export-mobile MODEL`: the main job."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.cli import console
from exporter.cli import options as opt
from exporter.errors import UserError
from exporter.types import Format, Precision, Scheme, Verdict

if TYPE_CHECKING:
    from exporter.pipeline.bench import BenchResult
    from exporter.pipeline.devices import Target
    from exporter.pipeline.options import Progress


def export(
    model: opt.ModelArgument,
    fp32: opt.Fp32Option = False,
    fp16: opt.Fp16Option = False,
    int8: opt.Int8Option = False,
    formats: opt.FormatOption = None,
    schemes: opt.SchemeOption = None,
    recipe: opt.RecipeOption = None,
    dynamic_batch: opt.DynamicBatchOption = False,
    factory: opt.FactoryOption = None,
    arguments: opt.FactoryArgOption = None,
    trust: opt.TrustOption = False,
    inputs: opt.InputOption = None,
    example: opt.ExampleOption = None,
    calibration: opt.CalibrationOption = None,
    evaluation: opt.EvaluationOption = None,
    preprocess: opt.PreprocessOption = None,
    limit: opt.LimitOption = 512,
    atol: opt.AtolOption = None,
    min_sqnr: opt.MinSqnrOption = None,
    min_agreement: opt.MinAgreementOption = None,
    max_drop: opt.MaxDropOption = None,
    runs: opt.RunsOption = 50,
    threads: opt.ThreadsOption = 1,
    output: opt.OutputOption = None,
    name: opt.NameOption = None,
    jobs: opt.JobsOption = None,
    devices: opt.DeviceOption = None,
    as_json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
) -> None:
    """Turn a PyTorch model into verified mobile artifacts.

    Exit code 0: all pass. 1: an artifact could not be made or is wrong (the others are there).
    2: nothing was done, because of what the message says.
    """
    asked = {Precision.FP32: fp32, Precision.FP16: fp16, Precision.INT8: int8}
    precisions = tuple(p for p, wanted in asked.items() if wanted) or (Precision.FP32,)
    factory_args = _keyword_arguments(arguments or [])

    # What PyTorch's tree code tells PyTorch's developers would stand in the midst of our lines.
    warnings.filterwarnings("ignore", category=FutureWarning, module="copyreg|torch")
    with console.stage_display(quiet) as display:
        display.begin("model", "importing torch")
        from exporter.loading import LoadRequest
        from exporter.pipeline.devices import resolve
        from exporter.pipeline.export import export as run
        from exporter.pipeline.options import Bounds, ExportOptions

        request = ExportOptions(
            load=LoadRequest(
                target=model,
                factory=factory,
                factory_args=factory_args,
                trust=trust,
                inputs=tuple(inputs or ()),
            ),
            calibration=calibration,
            evaluation=evaluation,
            example=example,
            preprocess=preprocess,
            limit=limit,
            precisions=precisions,
            formats=tuple(dict.fromkeys(formats or Format)),
            schemes=tuple(dict.fromkeys(Scheme(s) for s in schemes or ())),
            recipe=recipe,
            dynamic_batch=dynamic_batch,
            bounds=Bounds(atol, min_sqnr, min_agreement, max_drop),
            runs=runs,
            threads=threads,
            jobs=jobs,
            output=output,
            name=name,
        )
        targets = resolve(devices or ())  # a name that cannot be meant is best known at once
        manifest, folder = run(request, display)
        measured = _bench(folder, targets, runs, threads, display) if targets else None
    if measured:
        if not as_json:
            console.show_manifest(manifest, None, as_json)
        console.show_bench(measured.manifest, folder, as_json, measured.devices, swept=False)
    else:
        console.show_manifest(manifest, folder, as_json)
    holds = all(a.verdict is Verdict.PASS for a in manifest.artifacts)
    if measured:
        console.conclude(measured.problems, holds and measured.holds)
    else:
        console.conclude((), holds)


def _bench(
    folder: Path, devices: tuple[Target, ...], runs: int, threads: int, display: Progress
) -> BenchResult:
    from exporter.pipeline.bench import BenchOptions, bench
    from exporter.pipeline.device_run import Settings

    settings = Settings(threads=(threads,), runs=runs)
    return bench(BenchOptions(folder, settings, devices), display)


def _keyword_arguments(texts: list[str]) -> dict[str, object]:
    """`["depth=4", "act=gelu"]` -> `{"depth": 4, "act": "gelu"}`: JSON where it is, else text."""
    found: dict[str, object] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise UserError(f"--arg {text} is not KEY=VALUE.", "Such as: --arg num_classes=10")
        try:
            found[key] = json.loads(value)
        except json.JSONDecodeError:
            found[key] = {"True": True, "False": False, "None": None}.get(value, value)
    return found
