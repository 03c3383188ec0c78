"""What the app's core is tested with is what today's exporter makes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from exporter.base.files import sha256
from exporter.data.arrays import read_arrays
from exporter.data.golden import read_golden
from exporter.manifest import FILE_NAME, SCHEMA_VERSION
from exporter.types import Array
from tests.android import vectors
from tests.android.vectors import FOLDER, GOLDEN

AGAIN = "run `python -m tests.android.vectors` and look at what changed"


def same(found: dict[str, Array], wanted: dict[str, Array]) -> None:
    assert list(found) == list(wanted), AGAIN
    for name in found:
        assert found[name].dtype == wanted[name].dtype, f"{name}: {AGAIN}"
        np.testing.assert_array_equal(found[name], wanted[name], f"{name}: {AGAIN}")


def stored(path: Path) -> dict[str, Array]:
    arrays = read_arrays(path)
    assert isinstance(arrays, dict)
    return arrays


@pytest.mark.parametrize("name", ["images.json", "parity.json", "top1.json", "latency.json"])
def test_cases_are_unchanged(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == vectors.texts()[name], AGAIN


@pytest.mark.parametrize("name", ["images.npz", "parity.npz"])
def test_arrays_are_unchanged(name: str) -> None:
    same(stored(FOLDER / name), vectors.arrays()[name])


def test_manifest_is_what_is_written_today() -> None:
    text = (FOLDER / FILE_NAME).read_text(encoding="utf-8")
    assert text == vectors.manifest(sha256(FOLDER / GOLDEN)).to_json() + "\n", AGAIN


def test_the_app_reads_the_version_that_is_written() -> None:
    """ManifestTest.kt holds that it knows every field of the manifest above."""
    reader = FOLDER.parents[1] / "main/kotlin/org/exportmobile/core/ManifestReader.kt"
    stated = re.search(r"SCHEMA_VERSION = (\d+)L", reader.read_text(encoding="utf-8"))
    assert stated
    assert int(stated[1]) == SCHEMA_VERSION


def test_golden_data_are_what_is_written_today(tmp_path: Path) -> None:
    vectors.write_samples(tmp_path / GOLDEN)
    same(stored(FOLDER / GOLDEN), stored(tmp_path / GOLDEN))
    assert read_golden(FOLDER / GOLDEN).labels == (0, 1, 2, 1)


def test_numpy_writes_the_same_files(tmp_path: Path) -> None:
    vectors.write_kinds(tmp_path / "kinds.npz")
    vectors.write_versions(tmp_path)
    same(stored(FOLDER / "kinds.npz"), stored(tmp_path / "kinds.npz"))
    for path in tmp_path.glob("*.npy"):
        assert (FOLDER / path.name).read_bytes() == path.read_bytes(), f"{path.name}: {AGAIN}"


@pytest.mark.parametrize("name", ["deflated.npz", "stored.npz"])
def test_numpy_reads_what_the_app_writes(name: str) -> None:
    """NpzTest.kt holds that the app still writes these two files."""
    arrays = stored(FOLDER / "written" / name)
    kinds = {"float16", "float32", "float64", "bool", "uint8", "int8", "int16", "int32", "int64"}
    assert set(arrays) == {*kinds, "scalar", "empty"}
    for kind in kinds:
        assert arrays[kind].dtype == kind
        wanted = np.arange(6).reshape(2, 3)
        np.testing.assert_array_equal(arrays[kind], wanted > 0 if kind == "bool" else wanted)
    assert arrays["scalar"].shape == ()
    assert arrays["scalar"] == 5
    assert arrays["empty"].shape == (0, 3)


def test_vectors_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 300_000
