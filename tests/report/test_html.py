"""The page."""

# ruff: noqa: RUF001 - the signs that the report sets

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from exporter.manifest import Manifest
from exporter.report import render_html, rows, text
from exporter.report.charts import charts
from exporter.types import Format, Verdict
from tests.report import sample

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Reads a page and holds it to well-formed nesting."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [v or "" for k, v in attrs if k in {"src", "href", "xlink:href", "srcset"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.words).split())


def mixed() -> Manifest:
    return sample.manifest(
        sample.passed(Format.ONNX),
        sample.wrong(Format.PTE),
        sample.failed(Format.TFLITE),
        sample.passed(Format.PTL),
    )


def test_what_an_artifact_needs_and_what_lacks_it_is_there() -> None:
    page = Page(
        render_html(sample.manifest(sample.lacking(Format.PTL), sample.passed(Format.ONNX)))
    )
    assert f"{sample.LACKING} (ptl int8 static)" in page.said
    assert page.said.count(sample.LACKING) == 2  # beside the artifact, too
    assert "needs bytecode version 8" in page.said
    assert "needs opset 20, IR version 10" in page.said
    assert "lacks" not in Page(render_html(sample.manifest())).said


@pytest.mark.parametrize(
    "manifest",
    [
        sample.manifest(),
        mixed(),
        sample.manifest(*(sample.failed(f) for f in Format), random=True),
        sample.manifest().model_copy(
            update={
                "artifacts": (),
                "preprocessing": None,
                "calibration": None,
                "golden": None,
                "reference_latency_ms": None,
                "capture": sample.Capture(problem="aten.foo has no meaning here"),
            }
        ),
    ],
    ids=["all pass", "mixed", "all fail", "bare"],
)
def test_is_well_formed_and_needs_nothing_else(manifest: Manifest) -> None:
    html = render_html(manifest)
    page = Page(html)
    assert not page.links
    assert not set(page.seen) & {"script", "link", "img", "iframe", "object"}
    assert set(re.findall(r"url\(([^)]*)\)", html)) <= {"#hatch"}
    assert "http" not in html
    assert "@import" not in html


def test_says_what_the_manifest_says() -> None:
    manifest = mixed()
    said = Page(render_html(manifest)).said
    for artifact in manifest.artifacts:
        assert text.label(artifact) in said
        assert (artifact.reason or "") in said
        assert (artifact.file or "–") in said
    for fact in (
        "2 of 4 artifacts hold",
        "First diverges at: artifact",
        "aten.native_layer_norm",
        "418 of 444 operators (94.1 %) in 26 delegates",
        "SQNR of the worst output at least 10 dB",
        "accuracy lost at most 2.0 %",
        "fold batch norm (3), drop dropout (2)",
        "pixels 1 × 3 × 224 × 224 float32",
        "0.485, 0.456, 0.406",
        "360 samples, digits.npz, labelled",
        "2.13.0",
        "host, 1 thread",
    ):
        assert fact in said, fact


def test_layers_are_told_with_how_they_compute() -> None:
    said = Page(render_html(sample.manifest(sample.passed(Format.PTE)))).said
    assert "Layers: static int8 66.0 % of the multiplications, float 34.0 %" in said
    assert "patch_embed.proj aten.conv2d.default static int8 28.9" in said
    assert "float the products inside attention stay float" in said
    assert "The pass to drop dropout left alone aten.dropout.default: it is active." in said


def test_layers_that_multiply_nothing_are_told_too() -> None:
    lookup = replace(sample.LAYERS[0], operator="aten.embedding.default", macs=0)
    made = sample.passed(Format.PTE).model_copy(update={"layers": (lookup,)})
    assert "multiply nothing" in Page(render_html(sample.manifest(made))).said


def test_texts_are_escaped() -> None:
    evil = "<script>alert('x')</script>"
    manifest = sample.manifest(sample.failed(Format.PTE, reason=evil), name=evil)
    html = render_html(manifest)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert evil in Page(html).said


def test_random_inputs_are_called_weak() -> None:
    assert "Weak evidence" in render_html(sample.manifest(random=True))
    assert "Weak evidence" not in render_html(mixed())


def test_the_same_manifest_gives_the_same_page() -> None:
    assert render_html(mixed()) == render_html(mixed())


def test_each_plot_has_each_artifact_and_marks_failures() -> None:
    manifest = mixed()
    for chart in charts(manifest):
        assert [bar.label for bar in chart.bars] == [text.label(a) for a in manifest.artifacts]
        assert [bar.failed for bar in chart.bars] == [
            a.verdict is Verdict.FAIL for a in manifest.artifacts
        ]
        places = [
            p for b in chart.bars for p in (b.end, b.tick, *(b.spread or ())) if p is not None
        ]
        assert all(0 <= place <= 1 for place in places)
    plots = render_html(manifest).split("<figure")[1:]
    assert len(plots) == 3
    for plot in plots:
        for artifact in manifest.artifacts:
            assert text.label(artifact) in plot
        assert plot.count("✗ fails") == 2


def test_a_bar_is_as_long_as_its_figure() -> None:
    size, latency, _ = charts(mixed())
    onnx, _, tflite, ptl = latency.bars
    assert onnx.end is not None
    assert ptl.end is not None
    assert onnx.end / ptl.end == pytest.approx(17.1 / 59.3)
    assert tflite.end is None
    assert tflite.value == text.MISSING
    assert size.bars[0].tick == 1.0  # nothing is larger than the float weights


def test_far_apart_figures_are_drawn_on_a_log_scale_and_it_is_said() -> None:
    slow = sample.passed(Format.PTL).model_copy(update={"latency_ms": sample.latency(20_000)})
    _, latency, _ = charts(sample.manifest(slow, sample.passed(Format.TFLITE)))
    assert "log scale" in latency.legend
    quick = latency.bars[1].end
    assert quick is not None
    assert quick > 0.05


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (text.cosine(0.9999999), "0.99999"),
        (text.cosine(1.0), "1.00000"),
        (text.percent(0.9996), "99.9 %"),
        (text.percent(1.0), "100.0 %"),
        (text.points(-0.0001), "±0.0"),
        (text.points(-0.0028), "−0.3"),
        (text.significant(0.01234), "0.0123"),
        (text.significant(1234.5), "1234"),
        (text.significant(0.0), "0"),
        (text.magnitude(0.0), "0"),
        (text.decibel(200.0), "exact"),
        (text.decibel(-200.0), "−200.0"),
        (text.megabytes(None), "–"),
    ],
)
def test_figures_never_round_to_something_better(said: str, wanted: str) -> None:
    assert said == wanted


def test_headlines() -> None:
    one = sample.manifest(sample.passed(Format.PTE))
    assert rows.headline(one) == "the artifact holds"
    assert rows.headline(one.model_copy(update={"artifacts": ()})) == "nothing was exported"


def test_importing_the_report_is_light() -> None:
    code = (
        "import sys, exporter.report\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'jinja2', 'onnx'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
