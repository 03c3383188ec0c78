"""The app's engines through the Android libraries for arm64, on emulated CPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.android_jvm import EngineCrashError, EngineProcess
from tests.android.agreement import assert_agrees, on_host
from tests.android.conftest import Digits

DEADLINE_S = 240.0


@pytest.mark.parametrize("fmt", ["pte", "onnx", "tflite", "ptl"])
def test_digits_as_on_the_host(
    fmt: str, android_arm64: None, digits: Digits, tmp_path: Path
) -> None:
    samples = digits.golden.samples
    with EngineProcess(fmt, "arm64-v8a", "cortex-a76", DEADLINE_S) as engine:
        engine.load("digits", digits.path(fmt), digits.manifest.signature)
        got = engine.run("digits", samples)
        assert "atomics" in engine.features()
    assert_agrees(fmt, on_host(fmt, digits.path(fmt), samples, tmp_path), got)


def test_executorch_is_refused_where_it_would_kill_the_process(
    android_arm64: None, digits: Digits
) -> None:
    with EngineProcess("pte", "arm64-v8a", "cortex-a53", DEADLINE_S) as engine:
        refusal = engine.refusal(atomics="atomics" in engine.features())
        assert refusal is not None
        assert "Armv8.1" in refusal
        with pytest.raises(EngineCrashError, match="SIGILL"):
            engine.load("digits", digits.path("pte"), digits.manifest.signature)
            engine.run("digits", digits.golden.samples)
