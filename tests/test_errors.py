"""Bad input gets one clear sentence, exit code 2, and leaves nothing behind."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from exporter.manifest import Manifest
from exporter.types import Format, Verdict
from tests.command import EXPORT_MOBILE, ROOT, export_mobile

MODULE = '''
import torch

class Spectrum(torch.nn.Module):
    """Has an operator that mobile runtimes lack."""
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(8, 8)
    def forward(self, x):
        y = self.linear(x)
        return torch.linalg.svdvals(y)

class Padded(torch.nn.Sequential):
    """Its dynamic int8 lost the padding in a well-known toolchain."""
    def __init__(self):
        super().__init__(torch.nn.ZeroPad2d(1), torch.nn.Conv2d(16, 32, 3))

class Diverging(torch.nn.Module):
    def forward(self, x):
        return x / 0.0

class Poisoned(torch.nn.Linear):
    def __init__(self):
        super().__init__(4, 4)
        self.weight.data[0, 0] = float("nan")

class Small(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "zoo.py").write_text(MODULE)
    return tmp_path


def leftovers(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()} - {"zoo.py", "__pycache__"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere.pt"], "nowhere.pt"),
        (["zoo:Missing", "--input", "1x4"], "Missing"),
        (["zoo:Small"], "--input"),
        (["zoo:Small", "--input", "1x17"], "1x17"),
        (["zoo:Small", "--input", "1xx16"], "1xx16"),
        (["zoo:Poisoned", "--input", "1x4"], "weight"),
        (["zoo:Small", "--input", "1x16", "--calibration", "nothing.npz", "--int8"], "nothing.npz"),
        (["zoo:Small", "--input", "1x16", "--scheme", "static", "--int8"], "calibration"),
        (["zoo:Small", "--input", "1x16", "--arg", "depth"], "KEY=VALUE"),
        (["zoo:Small", "--input", "1x16", "--output", "zoo.py"], "zoo.py"),
        (["zoo:Small", "--input", "1x16", "--preprocess", "sepia"], "sepia"),
        (["zoo:Small", "--input", "1x16", "--min-agreement", "nan"], "min-agreement"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    folder: Path, arguments: list[str], complaint: str
) -> None:
    done = export_mobile(*arguments, cwd=folder)
    assert done.returncode == 2, done.stderr
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert leftovers(folder) == set()


def test_a_pickled_module_needs_trust(folder: Path) -> None:
    shutil.copy(ROOT / "models/digits_deit_pickled.pt", folder / "deit.pt")
    done = export_mobile("deit.pt", cwd=folder)
    assert done.returncode == 2
    assert "--trust" in done.stderr
    assert leftovers(folder) == {"deit.pt"}


def test_a_truncated_archive_is_refused(folder: Path) -> None:
    whole = (ROOT / "models/digits_deit_traced.pt").read_bytes()
    (folder / "cut.pt").write_bytes(whole[: len(whole) // 2])
    done = export_mobile("cut.pt", cwd=folder)
    assert done.returncode == 2
    assert "cut.pt" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_converted_names_operator_and_line(folder: Path) -> None:
    done = export_mobile("zoo:Spectrum", "--input", "4x8", "--output", "out", cwd=folder)
    assert done.returncode == 1, done.stderr
    manifest = Manifest.read(folder / "out/manifest.json")
    failed = [a for a in manifest.artifacts if a.verdict is Verdict.FAIL]
    assert failed, "these runtimes have no singular values"
    assert {a.format for a in failed} != set(Format), "the others complete"
    for artifact in failed:
        assert artifact.reason is not None
        assert "svd" in artifact.reason
        assert "zoo.py:11" in artifact.reason
        assert "\n" not in artifact.reason
        assert artifact.reason[:40] in " ".join(done.stdout.split())


def test_padding_survives_dynamic_int8(folder: Path) -> None:
    done = export_mobile(
        "zoo:Padded", "--input", "1x16x12x12", "--int8", "--output", "out", cwd=folder
    )
    manifest = Manifest.read(folder / "out/manifest.json")
    assert done.returncode == 0, done.stdout
    for artifact in manifest.artifacts:
        assert artifact.parity is not None
        assert artifact.parity.sqnr_db > 25


def test_a_verdict_can_fail(folder: Path) -> None:
    done = export_mobile(
        "zoo:Small",
        "--input",
        "1x16",
        "--int8",
        "--min-sqnr",
        "90",
        "--format",
        "onnx",
        "--output",
        "out",
        cwd=folder,
    )
    assert done.returncode == 1
    artifact = Manifest.read(folder / "out/manifest.json").artifacts[0]
    assert artifact.verdict is Verdict.FAIL
    assert artifact.reason is not None
    assert "90 dB" in artifact.reason
    assert artifact.diverged is not None


def test_random_inputs_are_called_weak(folder: Path) -> None:
    done = export_mobile(
        "zoo:Small", "--input", "1x16", "--format", "onnx", "--output", "out", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert "Weak evidence" in done.stdout


def test_exporting_again_replaces_only_its_own_files(folder: Path) -> None:
    base = ["zoo:Small", "--input", "1x16", "--output", "out", "--format"]
    assert export_mobile(*base, "onnx", cwd=folder).returncode == 0
    (folder / "out/notes.txt").write_text("mine")
    assert export_mobile(*base, "tflite", cwd=folder).returncode == 0
    names = {p.name for p in (folder / "out").iterdir()}
    assert names == {"notes.txt", "Small.fp32.tflite", "manifest.json", "report.html", "golden.npz"}


def test_ctrl_c_stops_everything_and_leaves_nothing(folder: Path) -> None:
    process = subprocess.Popen(
        [EXPORT_MOBILE, "zoo:Small", "--input", "1x16", "--int8"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "converting" in line:
            break
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert "Stopped; nothing was written." in process.stderr.read()
    assert leftovers(folder) == set()
    time.sleep(0.5)
    alive = subprocess.run(
        ["pgrep", "-s", str(process.pid)], capture_output=True, text=True, check=False
    )
    assert alive.stdout == "", "worker processes are gone"


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small file system")
def test_a_full_disk_is_one_sentence(folder: Path) -> None:
    small = folder / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting needs root")
    try:
        done = export_mobile("zoo:Small", "--input", "1x16", "--output", small / "out", cwd=folder)
        assert done.returncode == 2, done.stderr
        assert "space" in done.stderr.lower()
        assert "Traceback" not in done.stderr
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_data_that_does_not_fit_is_refused(folder: Path) -> None:
    np.save(folder / "wrong.npy", np.zeros((4, 17), np.float32))
    done = export_mobile("zoo:Small", "--input", "1x16", "--evaluation", "wrong.npy", cwd=folder)
    assert done.returncode == 2
    assert "17" in done.stderr
    assert leftovers(folder) == {"wrong.npy"}


def test_torch_is_what_the_project_pins() -> None:
    assert torch.__version__.startswith("2.13.")
