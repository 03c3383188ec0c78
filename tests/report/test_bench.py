"""What `bench` measured, in the terminal."""

# ruff: noqa: RUF001 - the signs that the report sets

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from exporter.cli import console
from exporter.manifest import DeviceResult, DeviceRun, Manifest
from exporter.report import devices as on
from exporter.report import findings, render_bench
from exporter.types import Latency, Verdict, Where
from tests.report import sample

WIDTHS = [40, 60, 80, 100, 200]
HOSTILE = "<script>[bold red]x[/] \x1b[31m\u202e'\";$(id)\n"


def shown(
    manifest: Manifest,
    width: int = 200,
    names: Collection[str] | None = None,
    folder: Path | None = None,
) -> str:
    terminal = Console(file=io.StringIO(), width=width, color_system=None)
    terminal.print(render_bench(manifest, folder, names))
    assert isinstance(terminal.file, io.StringIO)
    return terminal.file.getvalue()


def words(text: str) -> str:
    return " ".join(text.split())


def phone_with(*runs: DeviceRun, **changed: object) -> Manifest:
    """A phone with the sample's runs, those named replaced by file and threads."""
    phone = sample.phone(sample.manifest())
    news = {(run.file, run.threads): run for run in runs}
    found = tuple(news.pop((r.file, r.threads), r) for r in phone.runs)
    phone = phone.model_copy(update={"runs": (*found, *news.values()), **changed})
    return sample.with_devices(phone, sweep=False)


def run(file: str, **changed: object) -> DeviceRun:
    """One run on the sample's phone."""
    found = next(r for r in sample.phone(sample.manifest()).runs if r.file == file)
    return found.model_copy(update=changed)


def crashed(file: str) -> DeviceRun:
    reason = "killed by SIGSEGV at x[:, 0] after 12 runs"
    return DeviceRun(file=file, threads=1, verdict=Verdict.FAIL, reason=reason)


def row(text: str, *start: str) -> list[str]:
    """The cells of the first row that starts so."""
    rows = (line.split() for line in text.splitlines())
    return next(cells for cells in rows if cells[: len(start)] == list(start))


def test_each_device_has_its_own_columns_beside_the_host() -> None:
    text = shown(sample.with_devices(sweep=False))
    above, header = text.splitlines()[3:5]
    assert above.split() == ["host", "pixel", "emulator:cortex-a53"]
    figures = "SQNR dB Δ host top-1 peak MB verdict"
    assert words(header) == f"format precision p50 ms SQNR dB p50 ms {figures} M instr {figures}"
    cells = "59.3 31.4 41.5 31.4 4.8e-07 99.2 % 144 pass 1212 31.4 4.8e-07 99.2 % 211 pass"
    assert words(" ".join(row(text, "ptl", "int8", "static"))) == f"ptl int8 static {cells}"
    assert above.index("pixel") == header.index("p50 ms", header.index("SQNR"))
    assert above.index("emulator") == header.index("M instr")


def test_each_figure_says_where_it_was_measured() -> None:
    text = words(shown(sample.with_devices()))
    assert "host: 1 thread" in text
    assert "pixel: device, 1 thread (Pixel 7, Android 14)" in text
    counted = "emulated (qemu), instructions counted by a TCG plugin, one thread; no latency"
    assert f"emulator:cortex-a53: {counted}" in text
    assert f"CPUs: {counted}" in text
    assert "outputs compared on 16 golden samples" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_cost_and_verdict_of_each_device_are_there_at_any_width(width: int) -> None:
    base = sample.manifest()
    three = (sample.phone(base), sample.emulated(base), sample.emulated(base, "max"))
    manifest = sample.with_devices(*three)
    text = shown(manifest, width, folder=Path("deit-mobile"))
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    lines = [line for line in text.splitlines() if "tflite" in line and "static" in line]
    for figure in ("8.68", "514", "91.0"):
        assert any(figure in line.split() for line in lines), figure
    before_sweep = text.partition("million instructions of one inference")[0]
    assert before_sweep.count(" pass") == 3 * 8
    for device in three:
        assert device.name in before_sweep
    assert "report: deit-mobile/report.html" in words(text)


def test_what_is_left_out_is_named() -> None:
    manifest = sample.with_devices(sweep=False)
    said = "no room here for: top-1, peak MB, host SQNR dB"
    assert said in words(shown(manifest, 100))
    assert f"{said}, Δ host, host p50 ms" in words(shown(manifest, 78))
    assert "no room" not in shown(manifest, 200)


@pytest.mark.parametrize("width", [24, 30, 36])
def test_where_even_that_does_not_fit_cells_wrap_and_nothing_is_cut(width: int) -> None:
    text = shown(phone_with(), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert text.count("8.68") == 1


def test_only_the_named_devices_are_shown() -> None:
    text = shown(sample.with_devices(sweep=False), names=["pixel"])
    assert "deit on pixel: all 8 hold" in text
    assert "emulator" not in text
    assert "M instr" not in text


def test_rows_have_threads_where_there_are_several() -> None:
    base = sample.manifest()
    text = shown(sample.with_devices(sample.phone(base, threads=(1, 4)), sweep=False))
    assert row(text, "ptl", "fp32")[2:5] == ["1", "107", "118.2"]
    four = next(x.split() for x in text.splitlines() if x.split()[:3] == ["ptl", "fp32", "4"])
    assert four[3] == "–"  # the host ran with one thread: no figure to compare with
    assert "pixel: device, 1 and 4 threads" in text


def test_what_is_missing_is_a_dash_never_zero() -> None:
    bare = run("deit.int8.pte", latency_ms=None, host_parity=None, peak_rss=None)
    text = shown(phone_with(bare))
    assert row(text, "pte", "int8", "static")[5:] == ["–", "31.4", "–", "99.2", "%", "–", "pass"]


def test_an_artifact_that_was_not_run_on_one_of_two_devices() -> None:
    base = sample.manifest()
    phone = sample.phone(base)
    lost = phone.model_copy(
        update={"runs": phone.runs[:3], "problem": "pixel: the link was lost. Plug it in."}
    )
    text = shown(sample.with_devices(lost, sample.emulated(base), sweep=False))
    assert row(text, "tflite", "fp32")[4:9] == ["–"] * 5
    assert "✗ pixel: not all was run: pixel: the link was lost. Plug it in." in text
    assert "deit on 2 devices: all 11 hold" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_failures_are_listed_by_device_with_the_whole_reason(width: int) -> None:
    text = words(shown(phone_with(crashed("deit.int8.onnx")), width))
    said = "✗ pixel: onnx int8 static: killed by SIGSEGV at x[:, 0] after 12 runs"
    assert said in text
    assert "deit on pixel: 7 of 8 hold" in text


def test_an_artifact_that_the_manifest_does_not_know_keeps_its_name() -> None:
    text = shown(phone_with(run("deit.int8.onnx").model_copy(update={"file": "old[b].pte"})))
    assert row(text, "old[b].pte")[1] == "–"


# --- emulated time ---


def emulated_with_time(milliseconds: float) -> DeviceResult:
    """What the manifest refuses: an emulated device with wall time, put past its checks."""
    device = sample.emulated(sample.manifest())
    time = Latency(*[milliseconds] * 3, 5, 1, Where.EMULATED, (milliseconds,) * 5)
    time = replace(time, p99=milliseconds, cold=milliseconds)
    runs = tuple(
        r.model_copy(update={"latency_ms": time, "load_ms": milliseconds}) for r in device.runs
    )
    return device.model_copy(update={"runs": runs})


def untimed() -> Manifest:
    """Nothing was timed on the host."""
    base = sample.manifest()
    artifacts = tuple(a.model_copy(update={"latency_ms": None}) for a in base.artifacts)
    return base.model_copy(update={"artifacts": artifacts, "reference_latency_ms": None})


@pytest.mark.parametrize("marked", [Where.EMULATED, Where.DEVICE])
@pytest.mark.parametrize("width", WIDTHS)
def test_emulated_wall_time_is_never_shown(width: int, marked: Where) -> None:
    device = emulated_with_time(7712.5).model_copy(update={"where": marked})
    text = shown(untimed().model_copy(update={"devices": (device,)}), width)
    assert "7712" not in text
    assert "7713" not in text
    assert " ms" not in text
    assert "no latency" in words(text)


def test_the_same_figure_of_a_real_device_is_shown() -> None:
    device = emulated_with_time(7712.5)
    facts = replace(device.facts, emulated=False)
    real = device.model_copy(update={"where": Where.DEVICE, "facts": facts})
    assert "7712" in shown(sample.with_devices(real))


def test_instructions_that_were_not_counted_are_a_dash_and_a_remedy() -> None:
    device = sample.emulated(sample.manifest(), counted=False)
    text = shown(sample.with_devices(device, sweep=False))
    assert row(text, "pte", "fp32")[4] == "–"
    assert "not counted on emulator:cortex-a53" in text
    assert "export-mobile emulator setup --counter" in text
    assert "instructions not counted; no latency" in text
    assert "setup --counter" not in shown(sample.with_devices())


def changed_runs(device: DeviceResult, **changes: object) -> Manifest:
    runs = tuple(run.model_copy(update=changes) for run in device.runs)
    return sample.with_devices(device.model_copy(update={"runs": runs}), sweep=False)


def test_what_cannot_be_counted_is_not_blamed_on_the_counter() -> None:
    device = sample.emulated(sample.manifest(), counted=False)
    assert "with --threads 1 only" in words(shown(changed_runs(device, threads=2)))
    assert "setup --counter" not in shown(changed_runs(device, threads=2))
    noted = changed_runs(device, notes=("not counted: the plugin saw nothing",))
    assert "setup --counter" not in shown(noted)


def test_runs_that_gave_no_outputs_were_compared_on_nothing() -> None:
    device = sample.emulated(sample.manifest(), counted=False)
    nothing = {"parity": None, "host_parity": None, "verdict": Verdict.FAIL, "reason": "crashed"}
    text = shown(changed_runs(device, **nothing))
    assert "golden sample" not in text
    assert "setup --counter" not in text


# --- hostile names, nothing at all, the sink ---


@pytest.mark.parametrize("width", WIDTHS)
def test_a_hostile_device_is_only_text(width: int) -> None:
    phone = sample.phone(sample.manifest())
    facts = replace(phone.facts, model=HOSTILE, serial=HOSTILE, system="[/]")
    manifest = phone_with(
        crashed("deit.int8.pte").model_copy(update={"reason": HOSTILE}),
        name=HOSTILE,
        facts=facts,
        problem=HOSTILE,
        notes=(HOSTILE,),
    )
    text = shown(manifest, width)
    assert "[bold red]x[/]" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_a_long_name_breaks_no_table(width: int) -> None:
    name = "adb-R58M12ABCDE-" + "x" * 300
    text = shown(phone_with(name=name), width)
    assert max(map(len, text.splitlines())) <= width
    assert name in "".join(text.split())  # in full, where each figure was measured
    assert any("8.68" in x.split() and x.split()[-1] == "pass" for x in text.splitlines())


def test_a_manifest_without_devices_shows_nothing_of_them() -> None:
    assert shown(sample.manifest()).strip() == ""


def test_a_device_without_runs_still_shows() -> None:
    text = shown(phone_with().model_copy(update={"devices": (bare_phone(),)}))
    assert "deit on pixel: nothing was run" in text
    assert "unplugged" in text


def bare_phone() -> DeviceResult:
    return sample.phone(sample.manifest()).model_copy(update={"runs": (), "problem": "unplugged"})


def test_headlines() -> None:
    phone = sample.phone(sample.manifest())
    one = phone.model_copy(update={"runs": phone.runs[:1]})
    assert on.headline([one]) == "holds"
    assert on.headline([phone, phone]) == "all 16 hold"
    assert on.headline([one.model_copy(update={"runs": (crashed("deit.int8.pte"),)})]) == "fails"


def test_failures_of_a_device_that_holds_are_none() -> None:
    manifest = sample.with_devices()
    assert not [f for d in manifest.devices for f in findings.failures(manifest, d)]


def test_show_bench_prints_the_manifest_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    manifest = sample.with_devices()
    console.show_bench(manifest, None, as_json=True, names=["pixel"])
    assert capsys.readouterr().out == manifest.to_json() + "\n"
    assert Manifest.model_validate_json(manifest.to_json()) == manifest
