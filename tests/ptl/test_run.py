"""The runner and the description of a `.ptl`: what they accept, refuse and read."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from exporter.errors import FormatError, UserError
from exporter.runtimes.ptl.archive import read_stored
from exporter.runtimes.ptl.convert import convert
from exporter.runtimes.ptl.describe import describe
from exporter.runtimes.ptl.run import Runner
from exporter.types import INT8_DYNAMIC, Compute, Precision, Scheme
from tests.support import Recorder, job_for, recomputed

pytestmark = pytest.mark.filterwarnings("ignore")

X = torch.randn(1, 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    convert(job_for(nn.Linear(4, 3), X, target=tmp_path / "m.ptl"), Recorder())
    return tmp_path / "m.ptl"


def test_the_file_knows_its_signature(path: Path) -> None:
    stored = read_stored(path)
    assert stored is not None
    assert stored.signature == job_for(nn.Linear(4, 3), X, target=path).signature
    assert (stored.precision, stored.scheme) == (Precision.FP32, Scheme.FLOAT)
    with Runner(path) as runner:
        assert runner.inputs == stored.signature.inputs


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        ((), "0 inputs given"),
        ((np.zeros((1, 5), np.float32),), r"float32\[1, 5\].*takes float32\[1, 4\]"),
        ((np.zeros((2, 4), np.float32),), r"float32\[2, 4\]"),
        ((np.zeros((1, 4), np.float64),), "float64"),
    ],
)
def test_a_sample_that_does_not_fit_is_refused(
    path: Path, sample: tuple[np.ndarray, ...], words: str
) -> None:
    with Runner(path) as runner, pytest.raises(FormatError, match=words):
        runner.run(sample)


def test_outputs_are_the_callers_own(path: Path) -> None:
    with Runner(path) as runner:
        first = runner.run((X.numpy(),))[0]
        kept = first.copy()
        runner.run((X.numpy() + 1,))
        assert np.array_equal(first, kept)
        first += 1
        assert np.array_equal(runner.run((X.numpy(),))[0], kept)


def test_engine_and_threads_are_given_back(path: Path) -> None:
    before = (torch.backends.quantized.engine, torch.get_num_threads())
    with Runner(path, threads=before[1] + 1):
        assert torch.get_num_threads() == before[1] + 1
    assert (torch.backends.quantized.engine, torch.get_num_threads()) == before


def test_a_closed_runner_is_a_bug(path: Path) -> None:
    with pytest.raises(ValueError, match="with"):
        Runner(path).run((X.numpy(),))


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.95])
def test_a_file_cut_short_is_refused(path: Path, keep: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep > 1 else keep * len(data))])
    with pytest.raises(FormatError, match="cut short"):
        Runner(path)
    with pytest.raises(UserError):
        describe(path)


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.ptl"
    torch.jit.script(nn.Linear(2, 2)).save(str(path))
    with pytest.raises(FormatError, match="no bytecode"):
        Runner(path)
    with pytest.raises(UserError, match="no bytecode"):
        describe(path)


def test_a_damaged_archive_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        files = {n: archive.read(n) for n in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data[:20] if name.endswith("bytecode.pkl") else data)
    with pytest.raises(FormatError, match="does not load"), Runner(path):
        pass
    with pytest.raises(UserError):
        describe(path)


def test_a_file_of_another_tool_runs_without_signature(tmp_path: Path) -> None:
    path, layer = tmp_path / "m.ptl", nn.Linear(4, 3)
    torch.jit.trace(layer, X)._save_for_lite_interpreter(str(path))
    with Runner(path) as runner:
        assert runner.inputs == ()
        assert np.allclose(runner.run((X.numpy(),))[0], layer(X).detach().numpy())
    assert describe(path).inputs == ()


def test_a_description_counts_bytes_once(path: Path) -> None:
    description = describe(path)
    assert description.weight_bytes == {"float32": 4 * (4 * 3 + 3)}
    assert description.operators == {"aten::linear": 1}
    assert description.size == path.stat().st_size
    assert description.details["precision"] == "fp32"


def test_a_description_runs_nothing_from_the_file(path: Path, tmp_path: Path) -> None:
    """A pickle that would call `os.system` when loaded is only read."""
    with zipfile.ZipFile(path) as archive:
        files = {n: archive.read(n) for n in archive.namelist()}
    trace = tmp_path / "trace"
    evil = b"cos\nsystem\n(S'touch " + str(trace).encode() + b"'\ntR."
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, evil if name.endswith("/data.pkl") else data)
    describe(path)
    assert not trace.exists()


def test_a_file_called_int8_that_is_float_inside_shows(tmp_path: Path) -> None:
    """A job that says int8 with a recipe that leaves the large layer float: the bytes tell."""
    path = tmp_path / "m.ptl"
    net = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 4))
    job = job_for(net, torch.randn(1, 64), target=path, variant=INT8_DYNAMIC)
    assert job.recipe is not None
    recipe = recomputed(job.recipe, {"linear": Compute.FLOAT})
    convert(replace(job, recipe=recipe), Recorder())
    stored = describe(path).weight_bytes
    assert stored.get("int8", 0) < stored["float32"]
