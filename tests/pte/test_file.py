"""Reading files: right ones, wrong ones, damaged ones; and samples that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from exporter.errors import FormatError, UserError
from exporter.runtimes.libraries import lacking
from exporter.runtimes.pte.describe import describe
from exporter.runtimes.pte.run import Runner
from exporter.types import INT8_DYNAMIC, INT8_STATIC, Format, TensorSpec
from tests.pte.models import Words
from tests.pte.support import made, ran


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    path = tmp_path_factory.mktemp("pte") / "words.pte"
    made(path, Words(), torch.randint(0, 50, (2, 7)), torch.ones(2, 7))
    return path


GOOD = (np.zeros((2, 7), np.int64), np.ones((2, 7), np.float32))


def test_describe_tells_operators_signature_and_weights(words):
    found = describe(words)
    assert found.size == words.stat().st_size
    assert found.inputs == (
        TensorSpec("input_0", (2, 7), "int64"),
        TensorSpec("input_1", (2, 7), "float32"),
    )
    assert [o.dtype for o in found.outputs] == ["float32", "int64"]
    assert found.operators["aten.embedding"] == 1
    assert found.operators["XNNFullyConnected"] == 1
    # 50 x 16 words, 16 x 4 + 4 of the layer.
    assert found.weight_bytes["float32"] == 4 * (800 + 68)
    assert "XnnpackBackend" in found.details["delegate calls"]


def test_describe_tells_kernels_and_delegates_that_a_library_must_have(words):
    needs = describe(words).needs
    assert needs.delegates == ("XnnpackBackend",)
    assert "aten::embedding.out" in needs.operators
    assert needs.versions == {"schema version": "0"}
    assert lacking(Format.PTE, needs) == ()


@pytest.mark.parametrize("variant", [INT8_STATIC, INT8_DYNAMIC], ids=str)
def test_describe_sees_int8_inside_delegates(tmp_path, variant):
    model, x = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16)), torch.randn(1, 64)
    made(tmp_path / "a.pte", model, x, variant=variant)
    weights = describe(tmp_path / "a.pte").weight_bytes
    assert weights["int8"] == 64 * 32 + 32 * 16
    assert weights["float32"] <= 2 * 4 * 48
    made(tmp_path / "b.pte", model, x)
    assert describe(tmp_path / "b.pte").weight_bytes == {"float32": 4 * (2048 + 512 + 48)}


def test_outputs_are_copies(words):
    with Runner(words) as runner:
        first = runner.run(GOOD)[0].copy()
        kept = runner.run(GOOD)[0]
        runner.run((GOOD[0] + 3, GOOD[1]))
        np.testing.assert_array_equal(kept, first)


def test_threads_are_set(words):
    from executorch.extension.pybindings import portable_lib

    for threads in (2, 1):
        with Runner(words, threads):
            assert portable_lib._threadpool_get_thread_count() == threads


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (GOOD[:1], "takes 2 inputs, not 1"),
        ((GOOD[0].astype(np.int32), GOOD[1]), "input_0 must be int64, not int32"),
        ((GOOD[0][0], GOOD[1]), r"input_0 must be \(2, 7\), not \(7,\)"),
        ((GOOD[0], np.ones((2, 8), np.float32)), r"input_1 must be \(2, 7\), not \(2, 8\)"),
        ((GOOD[0][:1], GOOD[1]), r"fails to run.*\(1, 7\)"),
        ((GOOD[0] + 99, GOOD[1]), "fails to run: an operator was given an argument that is wrong"),
    ],
)
def test_samples_that_do_not_fit(words, sample, reason):
    with Runner(words) as runner, pytest.raises(FormatError, match=reason):
        runner.run(sample)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _data: b"",
        lambda _data: b"not a program at all" * 20,
        lambda data: data[:100],
        lambda data: data[: len(data) // 2],
        lambda data: data[:-300],
        lambda data: data[:1000] + b"\xff" * 200 + data[1200:],
    ],
    ids=["empty", "other", "head", "half", "tail", "overwritten"],
)
def test_damaged_files_are_refused(words, tmp_path, damage):
    path = tmp_path / "broken.pte"
    path.write_bytes(damage(words.read_bytes()))
    with pytest.raises(FormatError, match=r"not a \.pte"):
        ran(path, GOOD)
    with pytest.raises(UserError, match=r"not a \.pte|damaged"):
        describe(path)
