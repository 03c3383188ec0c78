"""How engines' processes begin and end."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.errors import UserError
from scripts import android_bionic, android_java
from scripts.android_jvm import EngineCrashError, EngineProcess
from tests.android.conftest import Digits


def test_an_app_that_was_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(android_java, "DEMO", tmp_path)
    with pytest.raises(UserError, match=r"not built.*scripts/android\.sh"):
        android_java.classes()
    with pytest.raises(UserError, match=r"not built.*scripts/android\.sh"):
        android_java.libraries("current", "x86_64")


def test_a_process_that_hangs_is_killed(android_x86: None) -> None:
    with (
        pytest.raises(EngineCrashError, match="start took longer than 0 s"),
        EngineProcess("onnx", deadline_s=0.01),
    ):
        pass


def test_a_request_that_is_wrong_is_no_problem_of_the_users(
    android_x86: None, digits: Digits
) -> None:
    with (
        EngineProcess("onnx") as engine,
        pytest.raises(EngineCrashError, match="NoSuchElementException"),
    ):
        engine.run("never loaded", digits.golden.samples)


def test_what_the_shim_defines_and_what_it_forwards(tmp_path: Path) -> None:
    source = tmp_path / "some.c"
    source.write_text('#include "bionic.h"\nBIONIC(char *, strtok)(char *text) {\n}\n')
    assert android_bionic.defined(source) == ["strtok"]
    imports = {"strtok": {"LIBC", "LIBC_N"}, "puts": {"LIBC"}}
    aliases = android_bionic.aliases(["strtok"], imports)
    assert "strtok@LIBC_N" in aliases
    for abi, jump in (("x86_64", "jmp *puts@GOTPCREL"), ("arm64-v8a", ":got:puts")):
        text = android_bionic.trampolines(abi, imports, {"strtok"})
        assert jump in text
        assert "strtok" not in text
