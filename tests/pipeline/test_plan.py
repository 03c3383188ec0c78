"""One job an artifact: names, order, and a digest of everything that has a say in it."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from exporter.errors import UserError
from exporter.loading import LoadRequest
from exporter.pipeline import plan, prepare
from exporter.pipeline.build import BuildJob
from exporter.pipeline.options import Bounds, ExportOptions, check
from exporter.quantize import ranges
from exporter.types import FP32, INT8_DYNAMIC, INT8_STATIC, Format, Precision, Scheme


class Silent:
    """A `Progress` that nobody looks at."""

    def begin(self, lane: str, text: str) -> None: ...

    def finish(self, lane: str, text: str) -> None: ...

    def bug(self, lane: str, traceback: str) -> None: ...


def layers(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()


def wider() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)).eval()


def jobs(folder: Path, data: Path, target: str = "layers", **changed: object) -> list[BuildJob]:
    """The jobs of an export in both schemes of int8, planned but not run."""
    options = ExportOptions(
        load=LoadRequest(f"tests.pipeline.test_plan:{target}", inputs=("1x4",)),
        calibration=str(data),
        precisions=(Precision.FP32, Precision.INT8),
        schemes=(Scheme.STATIC, Scheme.DYNAMIC),
    )
    folder.mkdir()
    subject = prepare.stored(prepare.load(replace(options, **changed), Silent()), folder)
    reference = prepare.refer(subject, folder, Silent())
    captured = prepare.capture(subject, reference, folder, Silent())
    return plan.jobs(subject, reference, captured, folder)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.npy"
    np.save(path, np.random.default_rng(0).normal(0, 1, (40, 1, 4)).astype(np.float32))
    return path


def test_one_job_for_each_variant_and_format(tmp_path: Path, data: Path) -> None:
    found = jobs(tmp_path / "a", data)
    variants = (FP32, INT8_STATIC, INT8_DYNAMIC)
    assert {(j.variant, j.format) for j in found} == {(v, f) for v in variants for f in Format}
    assert len({j.lane for j in found}) == len({j.target for j in found}) == 3 * len(Format)
    names = {(j.variant, j.format): j.target.name for j in found}
    assert names[FP32, Format.PTE] == "layers.fp32.pte"
    assert names[INT8_STATIC, Format.PTE] == "layers.int8-static.pte"
    assert names[INT8_DYNAMIC, Format.PTE] == "layers.int8-dynamic.pte"
    assert found[0].format is Format.PTE  # the slowest toolchain starts first
    for job in found:
        assert (job.recipe is None) == (job.variant == FP32)
        assert (job.calibration is None) == (job.variant != INT8_STATIC)
        assert job.recipe is None or job.recipe.scheme is job.variant.scheme


def test_a_job_is_small_whatever_the_data(tmp_path: Path) -> None:
    """Samples and reference outputs are named, not sent: 4 MB of them here."""
    data = tmp_path / "data.npy"
    np.save(data, np.ones((64, 1, 1 << 14), np.float32))
    for job in jobs(tmp_path / "a", data, load=LoadRequest(FLAT, inputs=("1x16384",))):
        assert len(pickle.dumps(job)) < 50_000, job.lane


def flat() -> nn.Module:
    return nn.Sequential(nn.Linear(1 << 14, 2)).eval()


FLAT = "tests.pipeline.test_plan:flat"


def test_one_scheme_is_not_named(tmp_path: Path, data: Path) -> None:
    found = jobs(tmp_path / "a", data, schemes=())
    assert {j.target.name for j in found if j.variant == INT8_STATIC} == {
        f"layers.int8.{format}" for format in Format
    }


def test_the_scheme_is_about_int8() -> None:
    with pytest.raises(UserError, match="about int8"):
        check(ExportOptions(load=LoadRequest("x"), schemes=(Scheme.STATIC,)))


def test_every_digest_is_another(tmp_path: Path, data: Path) -> None:
    """What has a say in an artifact, or in its verdict, has one in the digest."""
    half = tmp_path / "half.npy"
    np.save(half, np.load(data)[:20])
    found = [
        *jobs(tmp_path / "a", data),
        *jobs(tmp_path / "b", data, "wider"),
        *jobs(tmp_path / "c", data, "other_weights"),
        *jobs(tmp_path / "d", half),
        *jobs(tmp_path / "e", data, bounds=Bounds(atol=0.5)),
        *jobs(tmp_path / "f", data, dynamic_batch=True),
    ]
    assert len({job.digest for job in found}) == len(found)


def other_weights() -> nn.Module:
    return layers(seed=1)


class Loop(nn.Module):
    """Cannot be captured: how often it loops depends on a value."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        while float(x.abs().max()) > 8:
            x = x * self.factor
        return x + 1


def test_scripts_have_digests_of_their_own(tmp_path: Path, data: Path) -> None:
    """Equal on all the data, where neither loops."""
    found = []
    for factor in (0.5, 0.25):
        path = tmp_path / f"{factor}.pt"
        torch.jit.script(Loop(factor)).save(str(path))
        folder, request = tmp_path / f"out{factor}", LoadRequest(str(path), inputs=("1x4",))
        found += jobs(folder, data, load=request, precisions=(Precision.FP32,), schemes=())
    assert [job.format for job in found] == [Format.PTL] * 2
    assert found[0].digest != found[1].digest


def test_a_failure_to_decide_costs_int8_alone(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> None:
        raise RuntimeError("a rule is wrong")

    monkeypatch.setattr(ranges, "observe", fails)
    found = jobs(tmp_path / "a", data)
    assert {job.variant for job in found} == {FP32}
    assert len(found) == len(Format)


def test_the_digest_is_the_same_in_every_process(tmp_path: Path, data: Path) -> None:
    code = (
        "import json, sys; from pathlib import Path; from tests.pipeline.test_plan import jobs\n"
        "found = jobs(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "print(json.dumps({j.lane: j.digest for j in found}))"
    )
    printed = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / seed), str(data)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        printed.append(json.loads(done.stdout))
    assert printed[0] == printed[1]
    assert len(set(printed[0].values())) == 3 * len(Format)
