"""The parts of the page that are about devices."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from exporter.manifest import DeviceResult, DeviceRun, Manifest
from exporter.report import render_html, text
from exporter.report.device_charts import device_charts, sweep_charts
from exporter.types import DeviceState, Latency, Verdict, Where
from tests.report import sample
from tests.report.test_bench import HOSTILE, crashed, emulated_with_time, phone_with, untimed
from tests.report.test_html import Page


def about_devices(html: str) -> str:
    """What stands between the host's figures and the artifacts."""
    return html.partition("<h2>Devices</h2>")[2].partition("<h2>Artifacts</h2>")[0]


def bare(where: Where) -> Manifest:
    """A device of which nothing is known, and nothing could be run on."""
    device = sample.emulated(sample.manifest(), counted=False)
    run = DeviceRun(file="deit.int8.pte", threads=1, verdict=Verdict.FAIL, reason="no answer")
    facts = replace(device.facts, emulated=where is Where.EMULATED, model="", system="", cpu="")
    device = device.model_copy(update={"where": where, "facts": facts, "runs": (run,)})
    return sample.with_devices(device, sweep=False, golden=None)


@pytest.mark.parametrize(
    "manifest",
    [
        sample.with_devices(),
        sample.with_devices(sweep=False),
        sample.with_devices().model_copy(update={"devices": ()}),
        sample.with_devices(sample.phone(sample.manifest(), threads=(1, 4))),
        phone_with(crashed("deit.int8.pte"), problem="unplugged", notes=("noted",)),
        bare(Where.DEVICE),
        bare(Where.EMULATED),
    ],
    ids=["both", "no sweep", "only a sweep", "threads", "failed", "bare", "bare emulated"],
)
def test_is_well_formed_and_needs_nothing_else(manifest: Manifest) -> None:
    html = render_html(manifest)
    page = Page(html)
    assert not page.links
    assert not set(page.seen) & {"script", "link", "img", "iframe", "object"}
    assert set(re.findall(r"url\(([^)]*)\)", html)) <= {"#hatch"}
    assert "http" not in html
    assert "None" not in page.said


def test_says_what_was_measured_and_where() -> None:
    said = Page(about_devices(render_html(sample.with_devices()))).said
    for fact in (
        "Pixel 7",
        "Android 14",
        "4 x Cortex-A55, 2 x Cortex-A78, 2 x Cortex-X1 (8 cores)",
        "dotprod, fp16",
        "7900 MB",
        "81 → 80 %, not charging",
        "31 → 33",
        "p99 ms",
        "cold ms",
        "load ms",
        "Measured: device, 1 thread",
        "Measured: emulated (qemu), instructions counted by a TCG plugin, one thread; no latency",
        "deit.int8.tflite: outputs differ between CPUs: cortex-a76 and neoverse-v1 by up to 0.017",
        "killed by SIGILL",
        "on 16 golden samples",
        "416 0.60x",
        "M instr Million instructions of one warm inference, the median; this is no latency.",
    ):
        assert fact in said, fact
    row = "pte int8 static 12.7 14.0 16.6 47.1 29.3 31.4 0.031 4.8e-07 99.2 % 144 31 → 33 2850"
    assert f"{row} ✓ pass" in said


def test_failures_warnings_and_notes_are_there() -> None:
    hot = sample.phone(sample.manifest()).runs[4].model_copy(update={"after": DeviceState(50.0)})
    manifest = phone_with(crashed("deit.int8.pte"), hot, problem="unplugged", notes=("noted",))
    html = render_html(manifest)
    said = Page(about_devices(html)).said
    for fact in ("✗ 7 of 8 hold", "killed by SIGSEGV", "unplugged", "noted", "(31 to 50 °C)"):
        assert fact in said, fact
    assert "✗ pixel (device): 7 of 8 hold" in Page(html).said


def test_a_page_without_devices_has_nothing_of_them() -> None:
    html = render_html(sample.manifest())
    for sign in ("<h2>Devices", "<h2>CPU gen", "<h2>How devices", ".tag", ".overview", ".runs"):
        assert sign not in html
        assert sign in render_html(sample.with_devices())
    assert "on this machine</h2>" not in html


# --- emulated time ---


@pytest.mark.parametrize("marked", [Where.EMULATED, Where.DEVICE])
def test_emulated_wall_time_is_nowhere(marked: Where) -> None:
    device = emulated_with_time(7712.5).model_copy(update={"where": marked})
    html = render_html(untimed().model_copy(update={"devices": (device,)}))
    assert "7712" not in html
    assert "7713" not in html
    parts = about_devices(html).partition("<h2>How devices")[0]
    assert not re.search(r"\bms\b", parts)
    assert "no latency" in parts


def test_the_same_figure_of_a_real_device_is_there() -> None:
    device = emulated_with_time(7712.5)
    facts = replace(device.facts, emulated=False)
    real = device.model_copy(update={"where": Where.DEVICE, "facts": facts})
    parts = about_devices(render_html(sample.with_devices(real)))
    assert "7712" in parts
    assert re.search(r"\bms\b", parts)


# --- what comes from outside ---


def hostile() -> DeviceResult:
    phone = sample.phone(sample.manifest())
    facts = replace(
        phone.facts,
        serial=HOSTILE,
        model=HOSTILE,
        abi=HOSTILE,
        system=HOSTILE,
        cpu=HOSTILE,
        features=(HOSTILE,),
    )
    run = phone.runs[0].model_copy(
        update={"file": HOSTILE, "runtime": HOSTILE, "notes": (HOSTILE,)}
    )
    update = {"name": HOSTILE, "facts": facts, "runs": (run,), "options": {"affinity": HOSTILE}}
    return phone.model_copy(update={**update, "problem": HOSTILE, "notes": (HOSTILE,)})


def test_a_hostile_device_is_only_text() -> None:
    manifest = sample.with_devices(hostile(), sample.phone(sample.manifest()))
    assert manifest.sweep
    cpus = (HOSTILE, *manifest.sweep.cpus)
    runs = tuple(
        r.model_copy(update={"cpu": HOSTILE, "reason": HOSTILE}) for r in manifest.sweep.runs
    )
    sweep = manifest.sweep.model_copy(update={"cpus": cpus, "runs": runs})
    html = render_html(manifest.model_copy(update={"sweep": sweep}))
    page = Page(html)
    assert "script" not in page.seen
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > 10
    assert "\x1b" not in html
    assert "\u202e" not in html


# --- plots ---


def test_a_bar_is_as_long_as_its_figure_and_has_the_hosts_beside_it() -> None:
    (latency, instructions) = device_charts(sample.with_devices())
    assert latency.title == "pixel: latency, ms"
    assert "device, 1 thread" in latency.legend
    longest, pte = latency.bars[0], latency.bars[5]
    assert longest.end
    assert pte.end
    assert pte.tick
    assert pte.end / longest.end == pytest.approx(18.2 * 0.7 / (59.3 * 1.3))
    assert pte.end / pte.tick == pytest.approx(0.7)
    assert instructions.title == "emulator:cortex-a53: million instructions"
    assert any("no latency" in line for line in instructions.legend)
    assert [bar.spread for bar in instructions.bars] == [None] * 8
    assert instructions.bars[0].end == 1.0


def test_devices_of_one_kind_share_a_scale() -> None:
    base = sample.manifest()
    two = (sample.emulated(base), sample.emulated(base, "cortex-a76"))
    old, new = device_charts(sample.with_devices(*two))
    assert old.bars[7].end
    assert new.bars[7].end
    assert new.bars[7].end / old.bars[7].end == pytest.approx(226 / 514)


def test_a_failure_has_a_bar_without_a_figure() -> None:
    (chart,) = device_charts(phone_with(crashed("deit.int8.pte")))
    bar = chart.bars[5]
    assert bar.failed
    assert bar.end is None
    assert bar.value == text.MISSING


def test_what_was_not_counted_has_no_plot() -> None:
    device = sample.emulated(sample.manifest(), counted=False)
    assert device_charts(sample.with_devices(device)) == ()


def test_each_artifact_has_a_plot_with_a_bar_a_cpu() -> None:
    manifest = sample.with_devices()
    assert manifest.sweep
    plots = sweep_charts(manifest, manifest.sweep)
    assert [p.title for p in plots] == [text.label(a) for a in manifest.artifacts]
    for plot in plots:
        assert tuple(bar.label for bar in plot.bars) == manifest.sweep.cpus
        assert all(bar.end is None or 0 < bar.end <= 1 for bar in plot.bars)
    assert plots[4].bars[0].end is None
    assert plots[4].bars[0].value == text.MISSING


def test_far_apart_latencies_are_drawn_on_a_log_scale_and_it_is_said() -> None:
    slow = Latency(9e5, 9e5, 9e5, 1, 1, Where.DEVICE)
    first = sample.phone(sample.manifest()).runs[0].model_copy(update={"latency_ms": slow})
    (chart,) = device_charts(phone_with(first))
    assert "log scale" in chart.legend
