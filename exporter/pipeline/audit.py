"""Whether a file is what its name says: read from what is stored, not from what was asked."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from exporter.errors import FormatError, UserError
from exporter.runtimes.load import load_describe
from exporter.types import Description, Format, Precision

_WIDTH = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int8": 1, "uint8": 1}
"""Element types that weights may have -> bytes; integers are indices and sizes."""

_LEAST_SHARE = 0.01
"""Zero points are 8 bits wide, too: a few of them do not make a file int8."""

_MOSTLY = 0.5
"""Below it the user is told how little of the file is what its name says."""


def written(format: Format, path: Path) -> Description:
    """What a file that was just written holds.

    Raises:
        FormatError: it cannot be read; that costs this artifact, not the run.
    """
    try:
        return load_describe(format)(path)
    except UserError as error:
        raise FormatError(f"the written file cannot be read: {error.message}") from error


def audit(precision: Precision, weight_bytes: dict[str, int]) -> str | None:
    """Whether the stored weights are what was asked for.

    Args:
        precision: what was asked for.
        weight_bytes: element type -> bytes, read from the artifact itself.

    Returns:
        Why the file is not what its name says, or None.
    """
    wanted = _wanted(precision)
    if wanted is None or (share := _share(wanted, weight_bytes)) >= _LEAST_SHARE:
        return None
    types = " or ".join(sorted(wanted))
    return f"the file is called {precision}, but {100 * share:.2g} % of its weights are {types}"


def share_notes(precision: Precision, weight_bytes: dict[str, int]) -> tuple[str, ...]:
    """Says so where most of the weights are not what the file is called."""
    wanted = _wanted(precision)
    if wanted is None or (share := _share(wanted, weight_bytes)) >= _MOSTLY:
        return ()
    return (f"only {100 * share:.0f} % of the stored weights are {precision}",)


def _wanted(precision: Precision) -> set[str] | None:
    """The element types that its weights may have; None where they need no proof."""
    match precision:
        case Precision.FP32:
            return None
        case Precision.FP16:
            return {"float16"}
        case Precision.INT8:
            return {"int8", "uint8"}
        case _:
            assert_never(precision)


def _share(types: set[str], weight_bytes: dict[str, int]) -> float:
    """Elements of `types` over all stored ones, 0 to 1; 0 where there are none."""
    elements = {t: size / _WIDTH[t] for t, size in weight_bytes.items() if t in _WIDTH}
    total = sum(elements.values())
    return sum(n for t, n in elements.items() if t in types) / total if total else 0.0
