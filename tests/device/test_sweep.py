"""`export-mobile bench DIR --sweep-cpus`: instructions and outputs on generations of CPUs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from exporter.device.emulator import CPUS
from exporter.device.emulator.counter import Counter
from exporter.manifest import Manifest
from tests.command import export_mobile


def network() -> torch.nn.Module:
    """A small convolutional classifier with fixed weights."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(1)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep") / "out"
    done = export_mobile(
        f"{__name__}:network",
        *("--input", "1x3x16x16", "--fp32", "--runs", "5"),
        *("--format", "tflite", "--name", "net", "--output", folder),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_newer_cpus_take_fewer_instructions(counter: Counter, folder: Path) -> None:
    """Named by a relative path, as users do."""
    done = export_mobile("bench", "out", "--sweep-cpus", "--samples", "1", cwd=folder.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    sweep = Manifest.read(folder / "manifest.json").sweep
    assert sweep is not None
    assert sweep.cpus == CPUS
    counts = {run.cpu: run.instructions for run in sweep.runs}
    assert all(run.reason is None and run.max_abs is not None for run in sweep.runs)
    assert counts["cortex-a53"] is not None
    assert counts["max"] is not None
    assert counts["max"].median < counts["cortex-a53"].median
    for cpu in CPUS:
        assert cpu.partition("-")[2] in done.stdout or cpu in done.stdout
    page = (folder / "report.html").read_text()
    assert "neoverse-v1" in page
