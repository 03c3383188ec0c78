from __future__ import annotations

import pytest

from exporter.base.text import LONGEST, first_line, last_line


@pytest.mark.parametrize(
    ("said", "first", "last"),
    [
        (ValueError("no such operator\n  at a.cpp:1\n"), "no such operator", "at a.cpp:1"),
        ("\n\n  why \nthen\n\n", "why", "then"),
        (ValueError(), "ValueError", "ValueError"),
        (ValueError(" \n"), "ValueError", "ValueError"),
        ("", "", ""),
    ],
)
def test_one_line_is_quoted(said: Exception | str, first: str, last: str) -> None:
    assert first_line(said) == first
    assert last_line(said) == last


def test_nothing_said_has_words_of_its_own() -> None:
    assert (
        first_line("\n", "no reason given")
        == last_line("", "no reason given")
        == ("no reason given")
    )
    assert first_line(ValueError("why"), "no reason given") == "why"


def test_a_line_does_not_bury_its_sentence() -> None:
    assert first_line("x" * LONGEST) == "x" * LONGEST
    assert first_line("x" * 5000) == "x" * (LONGEST - 3) + "..."
