"""What comes from a device is believed in nothing: result.json and outputs.npz are checked."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from exporter.device.job import (
    OUTPUTS_FILE,
    RESULT_FILE,
    Job,
    Result,
    read_outputs,
    read_result,
    to_json,
)
from exporter.errors import DeviceError, FormatError
from exporter.types import Format, TensorSpec

JOB = Job(
    Format.ONNX,
    "m.onnx",
    "golden.npz",
    inputs=(TensorSpec("x", (1, 4), "float32"),),
    outputs=(TensorSpec("y", (1, 3), "float32"), TensorSpec("n", (), "int64")),
)
RESULT = {
    "runtime": "onnxruntime 1.31.1",
    "load_ms": 3,
    "cold_ms": 2.5,
    "samples_ms": [1.0, 1.5],
    "peak_rss": 10_000_000,
    "cpus": [0, 4],
}
ARRAYS = {"output/0": np.zeros((2, 1, 3), np.float32), "output/1": np.arange(2)}


def test_a_job_is_json():
    fields = json.loads(to_json(JOB))
    assert (fields["format"], fields["threads"], fields["cpus"]) == ("onnx", 1, [])
    assert fields["outputs"][1]["shape"] == []


def test_a_result_is_read(tmp_path):
    (tmp_path / RESULT_FILE).write_text(json.dumps(RESULT))
    assert read_result(tmp_path) == Result(
        "onnxruntime 1.31.1", 3.0, 2.5, (1.0, 1.5), 10_000_000, (0, 4)
    )


def test_a_refusal_is_one_harmless_line(tmp_path):
    (tmp_path / RESULT_FILE).write_text(json.dumps({"error": "no \x1b[2Jgood\n\x9bat all" * 200}))
    with pytest.raises(FormatError) as caught:
        read_result(tmp_path)
    assert caught.value.reason.startswith("no [2Jgood at all")
    assert caught.value.reason.isprintable()
    assert len(caught.value.reason) <= 600


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no JSON"),
        (json.dumps(RESULT).encode()[:-9], "is no JSON"),
        (b"\xff\xfe\x00", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "holds no fields"),
        (b"{}", "lacks runtime"),
        ({"error": 3}, "holds no text"),
        ({"error": "\n"}, "holds no text"),
        ({**RESULT, "load_ms": float("nan")}, "is no JSON"),
        ({**RESULT, "cold_ms": float("inf")}, "is no JSON"),
        ({**RESULT, "cold_ms": -1}, "cold_ms that are no time"),
        ({**RESULT, "load_ms": True}, "load_ms that are no time"),
        ({**RESULT, "samples_ms": [1.0, "2"]}, "samples_ms that are no time"),
        ({**RESULT, "samples_ms": 1.0}, "samples_ms that are no list"),
        ({**RESULT, "samples_ms": [1e12]}, "samples_ms that are no time"),
        ({**RESULT, "peak_rss": 1.5}, "peak_rss that are no whole number"),
        ({**RESULT, "peak_rss": 10**30}, "peak_rss that are no whole number"),
        ({**RESULT, "cpus": ["0"]}, "cpus that are no whole number"),
        ({**RESULT, "runtime": None}, "holds no text"),
    ],
)
def test_a_damaged_result_is_refused(tmp_path, content, words):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (tmp_path / RESULT_FILE).write_bytes(data)
    with pytest.raises(DeviceError, match=words):
        read_result(tmp_path)


def test_a_huge_result_is_not_read(tmp_path):
    with (tmp_path / RESULT_FILE).open("wb") as file:
        file.truncate(1 << 40)  # takes no room
    with pytest.raises(DeviceError, match="too large"):
        read_result(tmp_path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DeviceError, match=r"left no result\.json"):
        read_result(tmp_path)
    with pytest.raises(DeviceError, match=r"left no outputs\.npz"):
        read_outputs(tmp_path, JOB)


def test_outputs_are_read_sample_by_sample(tmp_path):
    arrays = {**ARRAYS, "output/0": np.float32([[[1, np.nan, -np.inf]], [[4, 5, 6]]])}
    np.savez(tmp_path / OUTPUTS_FILE, **arrays)
    first, second = read_outputs(tmp_path, JOB)
    np.testing.assert_array_equal(first[0], [[1, np.nan, -np.inf]])
    assert isinstance(second[1], np.ndarray)
    assert (second[1].shape, second[1].dtype, int(second[1])) == ((), np.int64, 1)


def bomb(path: Path) -> None:
    """A small file that unpacks to 64 MB."""
    arrays = {"output/0": np.zeros((5_000_000, 1, 3), np.float32), "output/1": np.zeros(5_000_000)}
    np.savez_compressed(path, **arrays)


def lying(path: Path) -> None:
    """A header that promises more than there is."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, spec in zip(ARRAYS, JOB.outputs, strict=True):
            with archive.open(f"{name}.npy", "w") as stream:
                shape = (10**12, *spec.shape)
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, header)


def arrays(**changes: object) -> Callable[[Path], None]:
    """Outputs of which some are others, by position."""
    others = {f"output/{name.removeprefix('_')}": value for name, value in changes.items()}
    kept = {k: v for k, v in {**ARRAYS, **others}.items() if v is not None}
    return lambda path: np.savez(path, **kept)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (arrays(_1=None), "does not hold 2 outputs"),
        (arrays(_2=np.zeros(2)), "does not hold 2 outputs"),
        (arrays(_0=np.zeros((2, 1, 4), np.float32)), r"output/0.npy is float32 \[2, 1, 4\]"),
        (arrays(_0=np.zeros((2, 1, 3))), r"output/0.npy is float64"),
        (arrays(_0=np.zeros((2, 1, 3), ">f4")), r"output/0.npy is >f4"),
        (arrays(_0=np.float32(0)), r"output/0.npy is float32 \[\]"),
        (arrays(_0=np.zeros((0, 1, 3), np.float32)), "cut short"),
        (arrays(_1=np.arange(3)), "different numbers of samples"),
        (arrays(_1=np.asarray([{}, {}])), "output/1.npy is object"),
        (bomb, "unpack to more than was sent"),
        (lying, "cut short"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.write_bytes(b"PK\3\4" * 100), "cannot be read"),
    ],
)
def test_damaged_outputs_are_refused(tmp_path, write, words):
    write(tmp_path / OUTPUTS_FILE)
    with pytest.raises(DeviceError, match=words):
        read_outputs(tmp_path, JOB)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.95])
def test_outputs_cut_short_are_refused(tmp_path, keep):
    path = tmp_path / OUTPUTS_FILE
    np.savez(path, **ARRAYS)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(DeviceError, match="cannot be read"):
        read_outputs(tmp_path, JOB)


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / OUTPUTS_FILE
    np.savez(path, **ARRAYS)
    content = bytearray(path.read_bytes())
    content[content.index(b"\x93NUMPY") + 128] ^= 1  # the first number of the first array
    path.write_bytes(content)
    with pytest.raises(DeviceError, match="CRC"):
        read_outputs(tmp_path, JOB)
