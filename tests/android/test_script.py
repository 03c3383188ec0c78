"""scripts/android.sh says in one sentence why it cannot build here, and does nothing then."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.command import ROOT

NEEDED = ("bash", "dirname", "uname", "readlink", "sed", "dpkg-query", "grep")


def android(
    *words: str, cwd: Path = ROOT, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "scripts/android.sh"), *words],
        cwd=cwd,
        env={**os.environ, "PATH": path or os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--frobnicate",), "--frobnicate is not an option"),
        (("--abi",), "--abi needs a value"),
        (("--abi", "mips"), "no ABI mips"),
        (("--keystore", "none.p12"), "no key store"),
        (("--key-alias", "me"), "needs --keystore"),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = android(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_folder_is_the_callers(tmp_path: Path) -> None:
    done = android("--models", "models", cwd=tmp_path)  # the repository has a folder of that name
    assert done.returncode == 2
    assert f"{tmp_path}/models has no manifest.json" in done.stderr


def test_what_only_root_can_install_is_named(tmp_path: Path) -> None:
    for name in NEEDED:
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    (tmp_path / "id").write_text("#!/bin/bash\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    done = android(path=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("android: please install as root: apt-get install ")
    assert "maven npm" in done.stderr


def test_the_jdk_of_the_path_is_found_without_java_home() -> None:
    words = ["bash", "-c", f"{_function('jdk')}\nset -euo pipefail\nunset JAVA_HOME\njdk"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert (Path(done.stdout.strip()) / "bin/javac").is_file()
    assert Path(done.stdout.strip()).is_absolute()


def _function(name: str) -> str:
    text = (ROOT / "scripts/android.sh").read_text()
    start = text.index(f"{name}() {{")
    return text[start : text.index("\n}\n", start) + 3]
