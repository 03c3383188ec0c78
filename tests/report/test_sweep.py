"""What `--sweep-cpus` counted, in the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from exporter.manifest import SweepRun
from exporter.report import render_bench, sweep, text
from tests.report import sample
from tests.report.test_bench import WIDTHS, shown, words


@pytest.mark.parametrize("width", WIDTHS)
def test_the_sweep_has_each_artifact_on_each_cpu(width: int) -> None:
    manifest = sample.with_devices().model_copy(update={"devices": ()})
    text = shown(manifest, width)
    assert max(map(len, text.splitlines())) <= width
    for figure in (514, 255, 226, 189, 187, "91.0"):
        assert f" {figure} " in f"{text} ", figure
    said = words(text)
    differ = "cortex-a76 and neoverse-v1 by up to 0.017 from cortex-a53"
    assert f"deit.int8.tflite: outputs differ between CPUs: {differ}" in said
    assert "deit.int8.pte: the same on every CPU deit" in said
    assert "deit.int8.ptl: the same on every CPU that it runs on" in said
    assert "✗ ptl int8 static on cortex-a53: killed by SIGILL" in said


def test_ratios_are_to_the_first_cpu_that_the_artifact_runs_on() -> None:
    manifest = sample.with_devices()
    assert manifest.sweep
    lines = {x.label: x for x in sweep.lines(manifest, manifest.sweep)}
    assert [c.ratio for c in lines["pte int8 static"].cells][:3] == ["", "0.60x", "0.50x"]
    assert [c.ratio for c in lines["ptl int8 static"].cells][:3] == ["", "", "0.99x"]
    assert lines["ptl int8 static"].cells[0].instructions == text.MISSING


@pytest.mark.parametrize(
    ("distances", "said"),
    [
        ((0.0, 0.0), "the same on every CPU"),
        ((None, 0.0), "the same on every CPU"),
        ((0.0, None), "outputs were not compared"),
        ((0.0, 1e-9), "outputs differ between CPUs: b by up to 1e-09 from a"),
        ((0.0,), "runs on one CPU only"),
    ],
)
def test_outputs_are_called_the_same_only_where_they_were_compared(
    distances: tuple[float | None, ...], said: str
) -> None:
    manifest = sample.with_devices()
    assert manifest.sweep
    runs = tuple(
        SweepRun(file="x.pte", cpu=cpu, max_abs=distance)
        for cpu, distance in zip("ab", distances, strict=False)
    )
    found = manifest.sweep.model_copy(update={"cpus": ("a", "b"), "runs": runs})
    assert sweep.outputs(manifest, found) == (f"x.pte: {said}",)


def test_what_runs_nowhere_is_said() -> None:
    manifest = sample.with_devices()
    assert manifest.sweep
    runs = (SweepRun(file="x.pte", cpu="a", reason="killed by SIGILL"),)
    found = manifest.sweep.model_copy(update={"cpus": ("a",), "runs": runs})
    assert sweep.outputs(manifest, found) == ("x.pte: runs on none of these CPUs",)


def test_a_sweep_of_another_day_is_left_out() -> None:
    terminal = Console(file=io.StringIO(), width=100)
    terminal.print(render_bench(sample.with_devices(), names=["pixel"], swept=False))
    assert isinstance(terminal.file, io.StringIO)
    assert "deit on pixel" in terminal.file.getvalue()
    assert "million instructions" not in terminal.file.getvalue()
