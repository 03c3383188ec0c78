from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exporter.errors import UserError
from exporter.pipeline.output import aside, move_into_place


def test_moves_what_was_made_and_keeps_what_was_there(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "notes.txt").write_text("the user's own")
    (output / "old.int8.pte").write_text("stale")
    with aside(output) as scratch:
        (scratch / "new.int8.pte").write_text("new")
        move_into_place(scratch, output, ["new.int8.pte"], lambda: {"old.int8.pte"})
    assert sorted(p.name for p in output.iterdir()) == ["new.int8.pte", "notes.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"], "the scratch folder is gone"


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), aside(tmp_path / "out") as scratch:
        (scratch / "half").write_text("written")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_no_parents_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(RuntimeError), aside(tmp_path / "there/a/b/out"):
        raise RuntimeError
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]


def test_a_folder_that_is_there_is_written_from_within(tmp_path: Path) -> None:
    """It may be the root of another disk, or its parent may be read-only."""
    with aside(tmp_path) as scratch:
        assert scratch.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    killed, young = tmp_path / ".export-mobile-1", tmp_path / ".export-mobile-2"
    killed.mkdir()
    (killed / "half").write_text("written")
    os.utime(killed, (0, 0))
    young.mkdir()
    with aside(tmp_path / "first") as running:
        os.utime(running, (0, 0))
        with aside(tmp_path / "second"):
            assert running.exists(), "it is locked"
    assert list(tmp_path.iterdir()) == [young]


def test_runs_that_end_together_take_turns(tmp_path: Path) -> None:
    output = tmp_path / "out"

    def publish(name: str) -> None:
        with aside(output) as scratch:
            for file in ("a", "b"):
                (scratch / file).write_text(name)
            move_into_place(scratch, output, ["a", "b"], lambda: time.sleep(0.05) or set())

    with ThreadPoolExecutor() as pool:
        list(pool.map(publish, map(str, range(8))))
    assert (output / "a").read_text() == (output / "b").read_text()


def test_a_folder_in_the_way_is_refused_before_anything_moves(tmp_path: Path) -> None:
    (tmp_path / "out/b").mkdir(parents=True)
    with aside(tmp_path / "out") as scratch:
        (scratch / "a").write_text("")
        (scratch / "b").write_text("")
        with pytest.raises(UserError, match="out/b is a folder"):
            move_into_place(scratch, tmp_path / "out", ["a", "b"], set)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["b"]


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere")])
def test_output_that_is_a_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "out")
    with pytest.raises(UserError, match="is a file"), aside(tmp_path / "out"):
        pass


def test_parent_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"), aside(tmp_path / "file" / "out"):
        pass
