"""The table for the terminal."""

# ruff: noqa: RUF001 - the signs that the report sets

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from exporter.manifest import Manifest
from exporter.report import render_table
from exporter.types import FP32, INT8_STATIC, Format
from tests.report import sample

REASON = (
    "aten.foo.default (model.py:12, in forward: y = foo(x[:, 0])) has no kernel in this runtime"
)


def shown(manifest: Manifest, width: int = 100, folder: Path | None = None) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render_table(manifest, folder))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def mixed() -> Manifest:
    return sample.manifest(
        sample.passed(Format.ONNX),
        sample.wrong(Format.PTE),
        sample.failed(Format.TFLITE, reason=REASON),
    )


def words(text: str) -> str:
    return " ".join(text.split())


def test_every_verdict_and_reason_is_there() -> None:
    text = shown(mixed())
    assert "1 of 3 artifacts holds" in text
    assert [
        line.split()[-1] for line in text.splitlines() if "int8" in line and "✗" not in line
    ] == [
        "pass",
        "fail",
        "fail",
    ]
    said = words(text)
    assert (
        "✗ pte int8 static: top-1 agreement 0.11 is below 0.90 (first diverges at: artifact)"
        in said
    )
    assert f"✗ tflite int8 dynamic: {REASON}" in said


def test_all_figures_fit_in_100_columns() -> None:
    text = shown(mixed())
    header = next(line for line in text.splitlines() if "format" in line)
    titles = "format precision MB ratio p50 ms max |Δ| cosine SQNR dB accuracy verdict"
    assert words(header) == titles
    assert "onnx int8 static 6.45 0.28 17.1 0.031 0.99964 31.4 97.2 % −0.3 pass" in words(text)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_line_is_too_long_and_no_reason_is_cut(width: int) -> None:
    text = shown(mixed(), width)
    assert max(map(len, text.splitlines())) <= width
    assert words(REASON) in words(text)
    assert "…" not in text
    assert "\x1b" not in text


def test_what_is_left_out_is_named() -> None:
    assert "no room here for: delegated, cosine" in words(shown(mixed(), 80))
    assert "no room" not in shown(mixed(), 140)


def test_a_missing_figure_is_a_dash_never_zero() -> None:
    line = next(x for x in shown(mixed()).splitlines() if x.strip().startswith("tflite"))
    assert words(line) == "tflite int8 dynamic – – – – – – – fail"


def test_says_what_it_is_compared_with_and_where() -> None:
    text = words(shown(mixed(), folder=Path("deit-mobile")))
    assert "original model: 22.7 MB of weights, p50 24.6 ms, accuracy 97.5 %" in text
    assert "latency: host, 1 thread" in text
    assert "360 labelled samples of digits.npz" in text
    assert "report: deit-mobile/report.html" in text
    assert "Weak evidence" not in text


def test_random_inputs_are_called_weak() -> None:
    assert "Weak evidence" in shown(sample.manifest(random=True))


def test_int8_that_is_slower_than_float_is_named() -> None:
    slow = sample.passed(Format.PTL).model_copy(update={"latency_ms": sample.latency(36.9)})
    assert "ptl int8 static (1.5x the original model)" in shown(sample.manifest(slow))
    float_ptl = sample.passed(Format.PTL, FP32).model_copy(
        update={"latency_ms": sample.latency(18.45)}
    )
    assert "ptl int8 static (2.0x its ptl fp32)" in shown(sample.manifest(slow, float_ptl))
    fast = sample.passed(Format.PTL).model_copy(update={"latency_ms": sample.latency(10.0)})
    assert "Slower" not in shown(sample.manifest(fast, float_ptl))


def test_what_a_known_library_lacks_is_said_once_for_all_it_is_of() -> None:
    both = sample.manifest(*(sample.lacking(Format.PTL, v) for v in (FP32, INT8_STATIC)))
    text = words(shown(both))
    assert text.count(sample.LACKING) == 1
    assert f"{sample.LACKING} (ptl fp32 and ptl int8 static)" in text
    assert "lacks" not in shown(sample.manifest())


def test_without_labels_agreement_is_shown() -> None:
    unlabelled = sample.passed(Format.ONNX).model_copy(
        update={"parity": sample.parity(accuracy=None, reference_accuracy=None)}
    )
    text = shown(sample.manifest(unlabelled))
    assert "same top-1" in text
    assert "99.2 %" in text


def test_all_failed_still_shows() -> None:
    text = shown(sample.manifest(*(sample.failed(f) for f in Format)))
    assert "all 4 artifacts fail" in text


def test_exact_outputs_are_called_exact() -> None:
    same = sample.passed(Format.PTL, FP32).model_copy(
        update={"parity": sample.parity(200.0, max_abs=0.0, cosine=1.0)}
    )
    assert "0 1.00000 exact" in words(shown(sample.manifest(same)))


def test_markup_in_a_reason_is_text() -> None:
    text = shown(sample.manifest(sample.failed(Format.PTL, reason="y = x[bold] + [/]")))
    assert "y = x[bold] + [/]" in text
