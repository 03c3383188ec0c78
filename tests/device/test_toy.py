"""Adding a runtime is one folder and one line: a toy one goes through every command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from exporter.device.adb import Device
from tests.command import ROOT

LINE = '    TFLITE = "tflite"\n'
MODEL = """
import torch
from torch import nn

def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).eval()

def convolution():
    return nn.Conv2d(1, 2, 3).eval()
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package to which the folder and the line were added."""
    place = tmp_path_factory.mktemp("toy")
    package = place / "exporter"
    shutil.copytree(ROOT / "exporter", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests/toy", package / "runtimes/toy")
    types = package / "types/kinds.py"
    assert types.read_text().count(LINE) == 1
    types.write_text(types.read_text().replace(LINE, f'{LINE}    TOY = "toy"\n'))
    (place / "mlp.py").write_text(MODEL)
    rng = np.random.default_rng(0)
    np.savez(place / "data.npz", x=rng.normal(0, 1, (40, 1, 8, 8)).astype(np.float32))
    return place


def command(place: Path, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from exporter.cli import main; main()", *arguments],
        env={**os.environ, "PYTHONPATH": str(place), "COLUMNS": "160"},
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def exported(place: Path) -> Path:
    """The toy in float and in both schemes of int8, beside another format."""
    data = ("--calibration", "data.npz", "--input", "1x1x8x8", "--quiet", "--output", "out")
    kinds = ("--fp32", "--fp16", "--int8", "--scheme", "static", "--scheme", "dynamic")
    formats = ("--format", "toy", "--format", "onnx")
    shown = command(place, "export", "mlp:model", *data, *kinds, *formats)
    assert "toy" in shown
    assert "all 8 artifacts hold" in shown
    return place / "out"


def test_export_manifest_and_report(exported: Path) -> None:
    manifest = json.loads((exported / "manifest.json").read_text())
    toys = [a for a in manifest["artifacts"] if a["format"] == "toy"]
    assert [a["file"] for a in toys] == [
        *("model.fp32.toy", "model.fp16.toy"),
        *("model.int8-static.toy", "model.int8-dynamic.toy"),
    ]
    assert {layer["compute"] for layer in toys[2]["layers"]} == {"weight-only int8"}
    page = (exported / "report.html").read_text()
    assert "--toy: #123456" in page
    assert "--toy: #abcdef" in page
    assert '<span class="toy">' in page


def test_verify_inspect_and_doctor(place: Path, exported: Path) -> None:
    assert "all 8 artifacts hold" in command(place, "verify", "out")
    with (exported / "model.fp32.toy").open("r+b") as file:
        file.seek(600)
        file.write(b"damage")
    assert "toy fp32" in command(place, "verify", "out", code=1)
    found = json.loads(command(place, "inspect", "out/model.int8-static.toy", "--json"))
    assert found["kind"] == "toy program"
    assert "int8" in found["weight_bytes"]
    assert "Toy Runtime (.toy)" in command(place, "doctor")


def test_what_it_cannot_convert_is_its_own_failure(place: Path) -> None:
    formats = ("--format", "toy", "--format", "onnx", "--output", "conv", "--quiet")
    shown = command(place, "mlp:convolution", "--input", "1x1x8x8", *formats, code=1)
    assert "1 of 2 artifacts holds" in shown
    assert "the toy has no aten.conv2d" in shown


def test_bench(place: Path, exported: Path, phone: Device) -> None:
    command(place, "bench", "out", "--device", phone.serial, "--format", "toy", "--quiet", code=1)
    (device,) = json.loads((exported / "manifest.json").read_text())["devices"]
    verdicts = {run["file"]: run["verdict"] for run in device["runs"]}
    assert verdicts["model.int8-static.toy"] == "pass"
    assert verdicts["model.fp32.toy"] == "fail"  # damaged above
