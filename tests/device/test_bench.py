"""`export-mobile bench` on the real adb and adbd: what it measures, and what goes wrong there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from exporter.device.adb import Device
from exporter.device.emulator import Running
from exporter.device.probe import home
from exporter.manifest import DeviceRun, Manifest
from exporter.pipeline.output import sha256
from exporter.types import Format, Precision, Verdict, Where
from tests.command import EXPORT_MOBILE, ROOT, export_mobile

FreshPhone = Callable[..., tuple[Running, Device]]


def network() -> torch.nn.Module:
    """A small convolutional classifier with fixed weights."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 16, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 10),
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model in all formats; one name as nasty as a name may be."""
    folder = tmp_path_factory.mktemp("bench") / "out; dir"
    done = export_mobile(
        f"{__name__}:network",
        *("--input", "1x3x20x24", "--int8", "--fp32", "--runs", "5"),
        *("--name", "it's; $(small)", "--output", folder),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy to write into."""
    return Path(shutil.copytree(exported, tmp_path / "out; dir"))


def bench(
    folder: Path, *arguments: object, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    return export_mobile("bench", folder, *arguments, timeout=timeout)


def runs_of(folder: Path, name: str) -> dict[tuple[Format, Precision], DeviceRun]:
    """What the manifest says of a device, by artifact."""
    manifest = Manifest.read(folder / "manifest.json")
    device = next(d for d in manifest.devices if d.name == name)
    made = {a.file: (a.format, a.precision) for a in manifest.artifacts}
    return {made[run.file]: run for run in device.runs}


def left_on(phone: Device) -> list[str]:
    """What lies in export-mobile's folder on the device, but for the runtime and the lock."""
    listed = phone.run(f"ls -A {home(phone)}").text.split("\n")
    return [name for name in listed if name not in ("", "runtime", "lock")]


def processes_on(phone: Device) -> str:
    return phone.shell("ps -A -o ARGS=")


def test_every_format_holds_on_arm(folder: Path, phone: Device) -> None:
    done = bench(folder, "--device", phone.serial, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == json.loads((folder / "manifest.json").read_text())
    manifest = Manifest.read(folder / "manifest.json")
    (device,) = manifest.devices
    assert device.where is Where.EMULATED
    assert device.facts.abi == "arm64-v8a"
    assert device.facts.serial == phone.serial
    assert set(device.bundle) == {"core", *Format}
    assert [run.file for run in device.runs] == [a.file for a in manifest.artifacts]
    for (_, precision), run in runs_of(folder, phone.serial).items():
        assert run.verdict is Verdict.PASS, run.reason
        assert run.parity is not None
        assert run.host_parity is not None
        assert run.parity.sqnr_db > (90 if precision is Precision.FP32 else 15)
        if precision is Precision.FP32:
            assert run.host_parity.max_abs < 1e-4
        assert run.peak_rss is not None
        assert run.peak_rss > 20e6
        # An emulated device's wall time is never kept, let alone shown.
        assert run.latency_ms is None
        assert run.load_ms is None
    assert phone.serial in (folder / "report.html").read_text()
    assert left_on(phone) == []
    assert "agent.py" not in processes_on(phone)


def test_a_second_run_brings_nothing_again_and_replaces_the_first(
    folder: Path, phone: Device
) -> None:
    only = ("--device", phone.serial, "--format", "onnx")
    assert bench(folder, *only).returncode == 0
    layers = phone.shell(f"ls -lid {home(phone)}/runtime/*")
    done = bench(folder, *only)
    assert done.returncode == 0, done.stderr
    assert phone.shell(f"ls -lid {home(phone)}/runtime/*") == layers
    assert len(Manifest.read(folder / "manifest.json").devices) == 1


def test_a_damaged_artifact_costs_only_itself(folder: Path, phone: Device) -> None:
    """Damaged before it was recorded, so that only running it can tell."""
    manifest = Manifest.read(folder / "manifest.json")
    formats = (Format.ONNX, Format.TFLITE, Format.PTE)
    artifacts = []
    for artifact in manifest.artifacts:
        path = folder / str(artifact.file)
        if artifact.format in formats and artifact.precision is Precision.FP32:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            artifact = artifact.model_copy(update={"sha256": sha256(path)})
        artifacts.append(artifact)
    manifest.model_copy(update={"artifacts": tuple(artifacts)}).write(folder / "manifest.json")
    done = bench(folder, "--device", phone.serial, *(w for f in formats for w in ("--format", f)))
    assert done.returncode == 1, done.stdout + done.stderr
    for (_, precision), run in runs_of(folder, phone.serial).items():
        if precision is Precision.FP32:
            assert run.verdict is Verdict.FAIL
            assert run.reason
            assert "\n" not in run.reason
        else:
            assert run.verdict is Verdict.PASS, run.reason
    assert left_on(phone) == []


def test_another_model_under_the_same_name_fails(folder: Path, phone: Device) -> None:
    """Parity on the device can fail: the int8 file takes the place of the float one."""
    manifest = Manifest.read(folder / "manifest.json")
    by_key = {(a.format, a.precision): a for a in manifest.artifacts}
    wrong = by_key[Format.ONNX, Precision.INT8].file
    changed = []
    for artifact in manifest.artifacts:
        if (artifact.format, artifact.precision) == (Format.ONNX, Precision.FP32):
            shutil.copyfile(folder / str(wrong), folder / str(artifact.file))
            update = {"sha256": sha256(folder / str(artifact.file)), "golden_parity": None}
            artifact = artifact.model_copy(update=update)
        changed.append(artifact)
    manifest.model_copy(update={"artifacts": tuple(changed)}).write(folder / "manifest.json")
    done = bench(folder, "--device", phone.serial, "--format", "onnx")
    assert done.returncode == 1, done.stdout + done.stderr
    run = runs_of(folder, phone.serial)[Format.ONNX, Precision.FP32]
    assert run.verdict is Verdict.FAIL
    assert "SQNR" in str(run.reason)


def test_a_changed_file_is_not_run(folder: Path, phone: Device) -> None:
    manifest = Manifest.read(folder / "manifest.json")
    file = next(str(a.file) for a in manifest.artifacts if a.format is Format.TFLITE)
    with (folder / file).open("ab") as artifact:
        artifact.write(b"\0")
    done = bench(folder, "--device", phone.serial, "--format", "tflite")
    assert done.returncode == 1, done.stdout + done.stderr
    reasons = {r.file: r.reason for r in runs_of(folder, phone.serial).values()}
    assert "has changed since the export" in str(reasons[file])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "nobody; reboot"], "nobody; reboot"),
        (["--device", "127.0.0.1:9"], "refused"),
        (["--device", "emulator:cortex-a1"], "cortex-a53"),
        (["--affinity", "0x0"], "names no cores"),
        (["--threads", "1,x"], "--threads"),
        (["--format", "pte", "--device", "nobody"], "nobody"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(
    folder: Path, phone: Device, arguments: list[str], words: str
) -> None:
    before = (folder / "manifest.json").read_bytes()
    done = bench(folder, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "manifest.json").read_bytes() == before
    assert sorted(p.name for p in folder.iterdir() if p.name.startswith(".")) == []


def test_two_devices_stand_side_by_side_and_auto_has_no_choice(
    folder: Path, phone: Device, fresh_phone: FreshPhone
) -> None:
    _, other = fresh_phone(cpu="cortex-a53")
    unclear = bench(folder, "--device", "auto")
    assert unclear.returncode == 2
    assert phone.serial in unclear.stderr
    assert other.serial in unclear.stderr
    done = bench(folder, "--device", phone.serial, "--device", other.serial, "--format", "onnx")
    assert done.returncode == 0, done.stdout + done.stderr
    assert phone.serial in done.stdout
    assert other.serial in done.stdout
    features = {d.name: d.facts.features for d in Manifest.read(folder / "manifest.json").devices}
    assert "dotprod" in features[phone.serial]
    assert "dotprod" not in features[other.serial]


def test_one_bad_device_does_not_cost_the_other(folder: Path, phone: Device) -> None:
    done = bench(folder, "--device", phone.serial, "--device", "nobody", "--format", "onnx")
    assert done.returncode == 2
    assert "nobody" in done.stderr
    assert all(r.verdict is Verdict.PASS for r in runs_of(folder, phone.serial).values())


def test_a_device_that_goes_away_leaves_what_was_measured(
    folder: Path, fresh_phone: FreshPhone
) -> None:
    running, phone = fresh_phone()
    with _started(folder, "--device", phone.serial) as process:
        _wait_for(process, "int8", folder)
        os.kill(running.pid, signal.SIGKILL)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 2, told
    assert phone.serial in told
    device = Manifest.read(folder / "manifest.json").devices[0]
    assert device.problem
    assert 1 <= len(device.runs) < 8
    assert all(run.verdict is Verdict.PASS for run in device.runs)


def test_ctrl_c_keeps_what_was_measured_and_leaves_the_device_clean(
    folder: Path, phone: Device
) -> None:
    with _started(folder, "--device", phone.serial) as process:
        _wait_for(process, "int8", folder)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "what was measured is in" in told
    assert Manifest.read(folder / "manifest.json").devices[0].runs
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []
    assert left_on(phone) == []
    assert "agent.py" not in processes_on(phone)


def test_two_runs_at_once_on_one_device(folder: Path, phone: Device, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    with _started(folder, "--device", phone.serial) as process:
        _wait_for(process, "int8", folder)
        second = bench(other, "--device", phone.serial, "--format", "onnx")
        assert process.wait(timeout=300) == 0
    assert second.returncode == 2
    assert "another run" in second.stderr
    assert all(r.verdict is Verdict.PASS for r in runs_of(folder, phone.serial).values())


def test_nothing_stays_without_leave(folder: Path, phone: Device) -> None:
    done = bench(folder, "--device", phone.serial, "--format", "onnx", "--no-keep-runtime")
    assert done.returncode == 0, done.stderr
    assert phone.run(f"ls -d {home(phone)}").code != 0


def test_an_emulator_of_its_own_starts_and_ends_with_the_run(folder: Path, adb: object) -> None:
    done = bench(folder, "--device", "emulator:a53", "--format", "onnx")
    assert done.returncode == 0, done.stdout + done.stderr
    runs = runs_of(folder, "emulator:cortex-a53")
    assert all(run.verdict is Verdict.PASS for run in runs.values())
    status = export_mobile("emulator", "status")
    assert "cortex-a53" not in status.stdout


class _started:  # noqa: N801 (reads as a verb)
    """A bench in the background, ended with the block."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        self._command = [str(EXPORT_MOBILE), "bench", str(folder), *map(str, arguments)]

    def __enter__(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "120"},
        )
        return self._process

    def __exit__(self, *exc: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def _wait_for(process: subprocess.Popen[str], words: str, folder: Path) -> None:
    """Reads progress until an artifact whose name holds `words` is being run."""
    assert process.stderr
    until = time.monotonic() + 180
    for line in process.stderr:
        if words in line and "running" in line and "host" not in line:
            return
        assert time.monotonic() < until, line
    pytest.fail(f"it ended with {process.wait()} before it came to {words}")
