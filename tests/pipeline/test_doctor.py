from __future__ import annotations

from pathlib import Path

import pytest

from exporter.pipeline.doctor import _adb, _package


def test_a_missing_package_has_its_exact_fix() -> None:
    found = _package("no-such-package==1.2")
    assert (found.ok, found.needed, found.found) == (False, True, "not installed")
    assert found.fix.endswith("pip install 'no-such-package==1.2'")


def test_another_version_than_the_pinned_one_is_not_ok() -> None:
    found = _package("numpy<1")
    assert not found.ok
    assert "<1 is needed" in found.found
    assert _package("numpy>=1").ok


def test_an_adb_that_does_not_run_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _adb().found == "not on PATH"
    (tmp_path / "adb").write_text("not a program")
    (tmp_path / "adb").chmod(0o755)
    found = _adb()
    assert not found.ok
    assert not found.needed
    assert "does not run" in found.found
