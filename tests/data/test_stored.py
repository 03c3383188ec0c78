"""Samples in one file: the same values, shapes and types, and no copy in the process."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from exporter.data import store
from exporter.types import Tensors

CALLS: tuple[Tensors, ...] = (
    (np.arange(6, dtype=np.float32).reshape(2, 3), np.array(3, np.int64)),
    (np.asfortranarray(np.ones((3, 2))), np.array([True, False])),
    (np.zeros((0, 3), np.float16), np.array([], np.uint8)),
)


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    stored = store(CALLS, tmp_path / "x")
    assert len(stored) == 3
    for found, wanted in zip(stored, CALLS, strict=True):
        for a, b in zip(found, wanted, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_array_equal(a, b)
            with pytest.raises(ValueError, match="read-only"):
                a[...] = 0
    assert len(stored[1:]) == 2
    assert stored[-1][0].shape == (0, 3)


def test_nothing_can_be_stored(tmp_path: Path) -> None:
    assert list(store((), tmp_path / "x")) == []


def test_the_digest_is_of_values_shapes_types_and_order(tmp_path: Path) -> None:
    x = np.arange(4, dtype=np.float32)
    kinds = [
        [(x,)],
        [(x + 1,)],
        [(x.reshape(2, 2),)],
        [(x.view(np.int32),)],
        [(x,), (x,)],
        [(x, x)],
        [(x[:2],), (x[2:],)],
    ]
    digests = [store(calls, tmp_path / "x").digest for calls in kinds]
    assert len(set(digests)) == len(kinds)
    assert store([(x.copy(),)], tmp_path / "y").digest == digests[0]


def test_some_of_them_are_another_content(tmp_path: Path) -> None:
    stored = store(CALLS, tmp_path / "x")
    some = stored.pick([2, 0])
    np.testing.assert_array_equal(some[1][0], CALLS[0][0])
    assert len({stored.digest, some.digest, stored.pick([0, 2]).digest}) == 3


def test_what_is_sent_to_a_worker_is_small(tmp_path: Path) -> None:
    big = [(np.ones((64, 1024), np.float32),)] * 16
    sent = pickle.dumps(store(big, tmp_path / "x"))
    assert len(sent) < 10_000
    code = (
        "import pickle, sys; print(sum(float(x.sum()) for (x,) in pickle.load(sys.stdin.buffer)))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True)
    assert float(done.stdout) == 16 * 64 * 1024


def test_samples_are_taken_one_at_a_time(tmp_path: Path) -> None:
    """Of a generator no more than one sample is alive."""
    written = 0

    def made() -> Iterator[Tensors]:
        nonlocal written
        for _ in range(4):
            yield (np.ones(1 << 16, np.float32),)
            assert (tmp_path / "x").stat().st_size >= written << 18
            written += 1

    assert len(store(made(), tmp_path / "x")) == 4
