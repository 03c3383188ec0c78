from __future__ import annotations

from pathlib import Path

import pytest

from exporter.errors import UserError
from exporter.pipeline.output import aside, move_into_place, sha256


def test_moves_what_was_made_and_keeps_what_was_there(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "notes.txt").write_text("the user's own")
    (output / "old.int8.pte").write_text("stale")
    with aside(output) as scratch:
        (scratch / "new.int8.pte").write_text("new")
        move_into_place(scratch, output, ["new.int8.pte"], stale=["old.int8.pte"])
    assert sorted(p.name for p in output.iterdir()) == ["new.int8.pte", "notes.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"], "the scratch folder is gone"


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), aside(tmp_path / "out") as scratch:
        (scratch / "half").write_text("written")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="is a file"), aside(tmp_path / "out"):
        pass


def test_parent_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"), aside(tmp_path / "file" / "out"):
        pass


def test_sha256_of_known_content(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea")
