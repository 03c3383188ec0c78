from __future__ import annotations

from pathlib import Path

import pytest

from exporter.errors import FormatError
from exporter.pipeline.audit import audit, share_notes, written
from exporter.types import Format, Precision


@pytest.mark.parametrize(
    ("precision", "stored"),
    [
        (Precision.INT8, {"int8": 1000, "float32": 400}),
        (Precision.INT8, {"uint8": 1000}),
        (Precision.FP16, {"float16": 2000, "float32": 4}),
        (Precision.FP32, {"float32": 4000}),
        (Precision.FP32, {}),
    ],
)
def test_what_is_asked_for_and_stored_passes(precision: Precision, stored: dict[str, int]) -> None:
    assert audit(precision, stored) is None
    assert share_notes(precision, stored) == ()


@pytest.mark.parametrize(
    ("precision", "stored"),
    [
        (Precision.INT8, {"float32": 4000}),
        (Precision.INT8, {"float32": 40_000, "uint8": 20}),  # zero points
        (Precision.INT8, {}),
        (Precision.FP16, {"float32": 4000, "int64": 8000}),
    ],
)
def test_a_file_that_is_float_inside_fails(precision: Precision, stored: dict[str, int]) -> None:
    problem = audit(precision, stored)
    assert problem is not None
    assert f"called {precision}" in problem


def test_mostly_float_passes_but_is_said() -> None:
    stored = {"int8": 250, "float32": 3000}
    assert audit(Precision.INT8, stored) is None
    assert share_notes(Precision.INT8, stored) == ("only 25 % of the stored weights are int8",)


@pytest.mark.parametrize("format", list(Format))
def test_a_written_file_that_cannot_be_read_costs_its_own_artifact(
    format: Format, tmp_path: Path
) -> None:
    path = tmp_path / f"broken.{format}"
    path.write_bytes(b"not an artifact at all")
    with pytest.raises(FormatError, match="cannot be read"):
        written(format, path)
