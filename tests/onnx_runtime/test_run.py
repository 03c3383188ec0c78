"""The ONNX runner refuses what does not fit, in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from exporter.errors import FormatError, UserError
from exporter.runtimes.onnx.convert import convert
from exporter.runtimes.onnx.describe import describe
from exporter.runtimes.onnx.run import Runner
from tests.support import Recorder, job_for

X = torch.randn(1, 4)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    job = job_for(torch.nn.Linear(4, 2), X, target=tmp_path / "m.onnx")
    convert(job, Recorder())
    return job.target


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ((), "1 inputs are needed, 0 were given"),
        ((np.zeros((1, 5), np.float32),), "input input_0 is 1x4, 1x5 was given"),
        ((np.zeros(4, np.float32),), "input input_0 is 1x4, 4 was given"),
        ((np.zeros((1, 4)),), "input input_0 is float32, float64 was given"),
    ],
)
def test_samples_are_validated(artifact: Path, sample: tuple[np.ndarray, ...], reason: str) -> None:
    with Runner(artifact) as runner, pytest.raises(FormatError) as caught:
        runner.run(sample)
    assert caught.value.reason == reason


def test_outputs_outlive_the_next_run(artifact: Path) -> None:
    with Runner(artifact, threads=2) as runner:
        first = runner.run((np.zeros((1, 4), np.float32),))[0]
        kept = first.copy()
        runner.run((np.ones((1, 4), np.float32),))
    np.testing.assert_array_equal(first, kept)


def test_strided_samples_run(artifact: Path) -> None:
    rows = np.arange(8, dtype=np.float32).reshape(1, 8)
    with Runner(artifact) as runner:
        strided, packed = runner.run((rows[:, ::2],)), runner.run((rows[:, ::2].copy(),))
    np.testing.assert_array_equal(strided[0], packed[0])


@pytest.mark.parametrize("keep", [0.5, 0.0])
def test_a_damaged_file_is_refused(
    artifact: Path, keep: float, capfd: pytest.CaptureFixture[str]
) -> None:
    content = artifact.read_bytes()
    artifact.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(FormatError, match=r"cannot load m\.onnx") as caught:
        Runner(artifact)
    assert str(artifact.parent) not in caught.value.reason
    assert capfd.readouterr().err == ""
    with pytest.raises(UserError, match="not an ONNX model"):
        describe(artifact)


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    job = job_for(torch.nn.Linear(64, 64), torch.randn(1, 64), target=tmp_path / "m.onnx")
    convert(job, Recorder(), single_file_limit=100)
    (tmp_path / "m.onnx.data").unlink()
    with pytest.raises(FormatError, match=r"m\.onnx\.data"):
        Runner(job.target)
    with pytest.raises(UserError, match=r"m\.onnx\.data, which is missing"):
        describe(job.target)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"no file m\.onnx"):
        Runner(tmp_path / "m.onnx")
