"""What is odd about runs on devices, said below their table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.types import DeviceState
from tests.report import sample
from tests.report.test_bench import phone_with, run, shown


def test_int8_that_is_slower_than_float_there_is_named() -> None:
    time = run("deit.int8.pte").latency_ms
    assert time
    slow = run("deit.int8.pte", latency_ms=replace(time, p50=35.49))
    assert "Slower than float on pixel: pte int8 static (1.5x its pte fp32)." in shown(
        phone_with(slow)
    )
    slower_within_noise = run("deit.int8.pte", latency_ms=replace(time, p50=25.0))
    assert "Slower" not in shown(phone_with(slower_within_noise))


def test_int8_is_compared_with_float_on_as_many_threads() -> None:
    phone = sample.phone(sample.manifest(), threads=(4, 1))  # float on 4 threads comes first
    time = run("deit.int8.pte").latency_ms
    assert time
    near_float = replace(time, p50=20.0)  # float took 23.7 on one thread, 5.9 on four
    runs = tuple(
        r.model_copy(update={"latency_ms": near_float})
        if (r.file, r.threads) == ("deit.int8.pte", 1)
        else r
        for r in phone.runs
    )
    assert "Slower" not in shown(sample.with_devices(phone.model_copy(update={"runs": runs})))


def test_int8_with_more_instructions_than_float_is_named() -> None:
    device = sample.emulated(sample.manifest())
    *others, last = device.runs
    assert last.instructions
    more = replace(last.instructions, median=2 * 1_490_600_000)
    changed = device.model_copy(
        update={"runs": (*others, last.model_copy(update={"instructions": more}))}
    )
    text = shown(sample.with_devices(changed, sweep=False))
    said = "More instructions than float on emulator:cortex-a53: tflite int8 static (2.0x its"
    assert said in text
    assert "More instructions" not in shown(sample.with_devices(device))


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (DeviceState(36.2), "pte int8 static (31 to 36 °C)"),
        (DeviceState(36.1), ""),
        (DeviceState(31.2, (300, 1200)), "pte int8 static (2850 to 1200 MHz)"),
        (DeviceState(31.2, (300, 2600)), ""),
        (DeviceState(), ""),
        (None, ""),
    ],
)
def test_a_device_that_throttles_is_named(after: DeviceState | None, said: str) -> None:
    text = shown(phone_with(run("deit.int8.pte", after=after)))
    assert said in text
    assert ("Throttled or heated up on pixel" in text) == bool(said)


def test_a_device_that_heats_up_little_by_little_is_named() -> None:
    last = run("deit.int8.tflite", before=DeviceState(36.0), after=DeviceState(38.0))
    assert "from the first run to the last: 31 to 38 °C" in shown(phone_with(last))


def test_outputs_that_differ_from_the_hosts_are_named_float_and_int8_apart() -> None:
    near = run("deit.int8.onnx").host_parity
    assert near
    far = replace(near, max_abs=0.14, sqnr_db=29.0)
    text = shown(
        phone_with(run("deit.int8.onnx", host_parity=far), run("deit.fp32.pte", host_parity=far))
    )
    assert "fp32 outputs on pixel differ from the host's: pte fp32 by up to 0.14" in text
    assert "int8 outputs on pixel differ from the host's: onnx int8 static by up to 0.14" in text
    assert "(its error on the host: 0.031)" in text
    assert "differ from the host's" not in shown(sample.with_devices())


def test_int8_may_differ_from_the_host_by_a_little_of_its_own_error() -> None:
    near = run("deit.int8.onnx").host_parity
    assert near
    for decibel, named in ((37.3, True), (37.5, False)):  # its own error is at 31.4 dB
        off = run("deit.int8.onnx", host_parity=replace(near, max_abs=0.01, sqnr_db=decibel))
        assert ("differ from the host's" in shown(phone_with(off))) == named


def test_a_note_of_several_runs_is_said_once() -> None:
    note = "the screen was on"
    runs = (run("deit.int8.pte", notes=(note,)), run("deit.int8.ptl", notes=(note,)))
    text = shown(phone_with(*runs, notes=("two cores were offline",)))
    assert "note: pixel: ptl int8 static, pte int8 static: the screen was on" in text
    assert "note: pixel: two cores were offline" in text


def test_random_inputs_are_called_weak() -> None:
    weak = sample.manifest(random=True)
    shown_weak = shown(weak.model_copy(update={"devices": (sample.phone(weak),)}))
    assert "Weak evidence" in shown_weak
