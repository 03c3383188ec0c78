"""The page: one file that needs nothing else, from `report.html.j2`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from exporter.manifest import Artifact, Facts, Manifest
from exporter.report import rows, text
from exporter.report.charts import charts
from exporter.report.device_page import devices_page
from exporter.runtimes import runtimes
from exporter.types import PassOutcome, StageResult, TensorSpec

if TYPE_CHECKING:
    from jinja2 import Environment

_BOUNDS: dict[str, Callable[[float], str]] = {
    "min_sqnr_db": lambda x: f"SQNR of the worst output at least {x:g} dB",
    "atol": lambda x: f"max |Δ| at most {text.magnitude(x)}",
    "min_agreement": lambda x: f"same top-1 on at least {text.percent(x)} of samples",
    "max_drop": lambda x: f"accuracy lost at most {text.percent(x)}",
}
"""Name of a bound -> what it asks for, in words."""


def render_html(manifest: Manifest) -> str:
    """The whole page; every text of the manifest is escaped."""
    columns = rows.columns(manifest)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            manifest=manifest,
            runtimes=runtimes(),
            columns=columns,
            rows=rows.rows(manifest, columns),
            failures=rows.failures(manifest),
            charts=charts(manifest),
            on_devices=devices_page(manifest),
            headline=rows.headline(manifest),
            original=rows.original(manifest),
            compared_on=rows.compared_on(manifest),
            measured_at=rows.measured_at(manifest),
            weak=rows.weak_evidence(manifest),
            slower=rows.slower_than_float(manifest),
            lacking=rows.lacking(manifest),
        )
    )


def bounds(artifact: Artifact) -> tuple[str, ...]:
    """The bounds that an artifact was judged by, in words."""
    values = ((_BOUNDS[k], v) for k, v in artifact.tolerance.items() if k in _BOUNDS)
    return tuple(words(v) for words, v in values if isinstance(v, int | float))


def weights(artifact: Artifact) -> str:
    """Such as `int8 5.61 MB, float32 0.2 MB`, the largest first."""
    found = sorted(artifact.weight_bytes.items(), key=lambda item: -item[1])
    return ", ".join(f"{dtype} {text.megabytes(size)} MB" for dtype, size in found)


def pass_sentences(outcomes: tuple[PassOutcome, ...]) -> tuple[str, ...]:
    """What passes changed, in one sentence, and one for each thing that they left alone."""
    changed = [f"{o.name} ({o.count})" for o in outcomes if o.changed]
    what = f"Passes that changed the graph, and how often: {', '.join(changed)}."
    left = (f"The pass to {o.name} left alone {r}." for o in outcomes for r in o.refusals)
    return (*([what] if changed else []), *left)


def computed(artifact: Artifact) -> str:
    """Such as `static int8 98 % of the multiplications, float 2 %`, the most first."""
    total = sum(layer.macs for layer in artifact.layers) or 1
    shares: Counter[str] = Counter()
    for layer in artifact.layers:
        shares[layer.compute] += layer.macs
    words = [f"{name} {text.percent(n / total)}" for name, n in shares.most_common() if n]
    if not words:
        return "they look up, and multiply nothing"
    return f"{words[0]} of the multiplications" + "".join(f", {w}" for w in words[1:])


def stages(manifest: Manifest, artifact: Artifact | None) -> tuple[tuple[StageResult, bool], ...]:
    """The stages on the way to an artifact, each with whether other artifacts share it.

    Without an artifact, the stages that all share.
    """
    if artifact is None:
        return tuple((s, False) for s in manifest.capture.stages)
    shared = tuple((s, True) for s in manifest.capture.stages)
    return shared + tuple((s, False) for s in artifact.stages)


def facts(values: Facts) -> tuple[tuple[str, str], ...]:
    """Settings as (label, value), without those that are not set."""
    return tuple(
        (name.replace("_", " "), _fact(value))
        for name, value in values.items()
        if value is not None
    )


def tensor(spec: TensorSpec) -> str:
    """Shape and type, such as `1 x 3 x 224 x 224 float32`, or `1 x 16 int64, 0 to 30521`."""
    shape = " \N{MULTIPLICATION SIGN} ".join(str(size) for size in spec.shape) or "scalar"
    if spec.low is None or spec.high is None:
        return f"{shape} {spec.dtype}"
    return f"{shape} {spec.dtype}, {spec.low} to {spec.high - 1}"


def _fact(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(_fact(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else text.printable(str(value))


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("exporter.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = (text.label, text.megabytes, text.seconds, text.significant, text.count, text.where)
    figures = (text.magnitude, text.cosine, text.decibel, text.percent, text.ratio)
    parts = (bounds, weights, stages, pass_sentences, computed, facts, tensor, rows.needs)
    for function in (*words, *figures, *parts):
        environment.globals[function.__name__] = function
    return environment
