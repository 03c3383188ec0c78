from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter.base.locks import locked, sweep

HOLDER = """
import sys
from pathlib import Path
from exporter.base.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process holds it, until the block ends."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(params=["file", "folder"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "lock"
    path.touch() if request.param == "file" else path.mkdir()
    return path


def test_one_at_a_time(path: Path) -> None:
    with held(path):
        before = time.monotonic()
        with pytest.raises(BlockingIOError), locked(path, patience=0):
            pytest.fail("two hold it")
        with pytest.raises(BlockingIOError), locked(path, patience=0.3):
            pytest.fail("two hold it")
        assert time.monotonic() - before > 0.3
    assert list(path.parent.iterdir()) == [path], "nothing is left beside it"


def test_a_holder_that_was_killed_holds_nothing(path: Path) -> None:
    with held(path) as process:
        process.kill()
        with locked(path, patience=20):
            pass
    with locked(path):
        pass


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), locked(tmp_path / "none"):
        pass
    assert not list(tmp_path.iterdir())


def test_only_what_nobody_holds_is_swept(tmp_path: Path) -> None:
    left, used, gone = tmp_path / "left", tmp_path / "used", tmp_path / "gone"
    for folder in (left, used):
        folder.mkdir()
        (folder / "half").touch()
    with held(used):
        sweep([left, gone, used])
    assert list(tmp_path.iterdir()) == [used]


def test_a_lock_may_lie_beside_its_folder(tmp_path: Path) -> None:
    folder, lock = tmp_path / "folder", tmp_path / "folder.lock"
    folder.mkdir()
    lock.touch()
    with held(lock):
        sweep([folder], lambda folder: folder.with_suffix(".lock"))
        assert folder.is_dir()
    sweep([folder], lambda folder: folder.with_suffix(".lock"))
    assert not folder.exists()
