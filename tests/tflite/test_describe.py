"""What `inspect` is told about a .tflite file."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.errors import UserError
from exporter.runtimes.libraries import lacking
from exporter.runtimes.tflite import releases
from exporter.runtimes.tflite.describe import describe
from exporter.types import INT8_DYNAMIC, INT8_STATIC, Format, Variant
from tests.tflite import models


def test_a_file_is_described(tmp_path: Path) -> None:
    models.export(models.text, path := tmp_path / "m.tflite")
    found = describe(path)
    assert found.kind == "LiteRT model, schema version 3"
    assert found.size == path.stat().st_size
    assert [(s.name, s.shape, s.dtype) for s in found.inputs] == [("input_0", (1, 8), "int32")]
    assert [(s.name, s.dtype) for s in found.outputs] == [
        ("output_0", "float32"),
        ("output_1", "int32"),
    ]
    assert found.weight_bytes["float32"] == 64 * 16 * 4  # the table, used twice, once
    assert found.details["signature"] == "serving_default"
    assert found.needs.facts.keys() == {"minimum runtime version"}
    assert lacking(Format.TFLITE, found.needs) == ()


@pytest.mark.parametrize(
    ("stated", "operators", "said"),
    [
        ("2.9.0", {("RELU", 1)}, "2.9.0"),
        ("2.9.0", {("CAST", 7)}, "2.17.0 (of its operators; the file says 2.9.0)"),
        ("", {("GELU", 1), ("ABS", 5)}, "2.12.0 (of its operators; the file says none)"),
        ("", {("MINE", 1)}, "unknown (no release is known for MINE version 1)"),
        ("", {("RELU", 99)}, "unknown (no release is known for RELU version 99)"),
        ("", {("BROADCAST_TO", 1)}, "unknown (no release is known for BROADCAST_TO version 1)"),
        ("2.9.0", {("MINE", 1)}, "2.9.0 (at least: no release is known for MINE version 1)"),
        ("", set(), "unknown"),
    ],
)
def test_the_release_needed_is_that_of_the_file_or_of_its_newest_operator(
    stated: str, operators: set[tuple[str, int]], said: str
) -> None:
    assert releases.needs(stated, operators).facts == {"minimum runtime version": said}


def test_int8_tables_are_not_for_the_library_that_reads_zeros_from_them(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    models.export(models.text, path, INT8_DYNAMIC)
    sentences = lacking(Format.TFLITE, describe(path).needs)
    assert any("reads zeros from an int8 EMBEDDING_LOOKUP" in one for one in sentences)


@pytest.mark.parametrize("content", [b"", b"PK\3\4junk", b"\x1c\0\0\0TFL3" + b"\xff" * 40])
def test_what_is_no_tflite_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(content)
    with pytest.raises(UserError, match=r"m\.tflite is"):
        describe(tmp_path / "m.tflite")


@pytest.mark.parametrize("variant", [INT8_DYNAMIC, INT8_STATIC])
def test_dynamic_linear_layers_are_not_for_the_library_that_computes_them_wrongly(
    variant: Variant, tmp_path: Path
) -> None:
    path = tmp_path / "m.tflite"
    models.export(models.attention, path, variant)
    sentences = lacking(Format.TFLITE, describe(path).needs)
    if variant is INT8_STATIC:
        assert sentences == ()
    else:
        (sentence,) = sentences
        assert sentence.startswith("TensorFlow Lite 2.16.1 computes FULLY_CONNECTED")
