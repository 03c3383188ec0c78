"""What others say, cut to a sentence of ours: toolchains add stacks and hints of their own."""

from __future__ import annotations

LONGEST = 300
"""Characters of a quoted line: more would bury the sentence it is quoted in."""


def first_line(said: BaseException | str, otherwise: str = "") -> str:
    """The first line with anything on it, which says what is wrong.

    Args:
        said: an exception, or what a program has printed.
        otherwise: where there is no such line; empty for the exception's own name.
    """
    return _shortened((_lines(said) or [otherwise or _name(said)])[0])


def last_line(said: BaseException | str, otherwise: str = "") -> str:
    """The last line with anything on it: what a program said before it gave up.

    Args:
        said: an exception, or what a program has printed.
        otherwise: where there is no such line; empty for the exception's own name.
    """
    return _shortened((_lines(said) or [otherwise or _name(said)])[-1])


def _lines(said: BaseException | str) -> list[str]:
    return [line.strip() for line in str(said).splitlines() if line.strip()]


def _name(said: BaseException | str) -> str:
    return type(said).__name__ if isinstance(said, BaseException) else ""


def _shortened(line: str) -> str:
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
