"""`export-mobile bench` on the real adb and adbd: what it measures, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from exporter.base.files import sha256
from exporter.device.adb import Adb, Device
from exporter.device.probe import home
from exporter.manifest import Artifact, Manifest
from exporter.types import Format, Precision, Verdict, Where
from tests.command import export_mobile
from tests.device.benches import bench, export, left_here, left_on, runs_of
from tests.device.conftest import FreshPhone

pytestmark = pytest.mark.usefixtures("uncounted")

FP32, INT8 = Precision.FP32, Precision.INT8
ONNX, PTE = Format.ONNX, Format.PTE


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model in two formats, fp32 and int8."""
    return export(tmp_path_factory.mktemp("bench") / "out; dir", (ONNX, PTE), (FP32, INT8))


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy to write into."""
    return Path(shutil.copytree(exported, tmp_path / "out; dir"))


def test_every_format_holds_on_arm(tmp_path: Path, phone: Device) -> None:
    folder = export(tmp_path / "out; dir", tuple(Format), (INT8,))
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
    for run in device.runs:
        assert run.verdict is Verdict.PASS, run.reason
        assert run.parity is not None
        assert run.parity.sqnr_db > 15
        assert run.host_parity is not None
        assert run.peak_rss is not None
        assert run.peak_rss > 20e6
        # An emulated device's wall time is never kept, let alone shown.
        assert run.latency_ms is None
        assert run.load_ms is None
    assert phone.serial in (folder / "report.html").read_text()
    assert left_on(phone) == left_here(folder) == []


def test_two_devices_stand_side_by_side(
    folder: Path, phone: Device, fresh_phone: FreshPhone
) -> None:
    _, other = fresh_phone(cpu="cortex-a53")
    unclear = bench(folder)
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
    for device in (phone, other):
        run = runs_of(folder, device.serial)[ONNX, FP32]
        assert run.parity is not None
        assert run.parity.sqnr_db > 90
        assert run.host_parity is not None
        assert run.host_parity.max_abs < 1e-4


def test_a_second_run_sends_nothing_and_replaces_the_first(folder: Path, phone: Device) -> None:
    only = ("--device", phone.serial, "--format", "onnx")
    assert bench(folder, *only, "--samples", "1").returncode == 0
    layers = phone.shell(f"ls -lid {home(phone)}/runtime/*")
    done = bench(folder, *only, "--samples", "2")
    assert done.returncode == 0, done.stderr
    assert phone.shell(f"ls -lid {home(phone)}/runtime/*") == layers
    (device,) = Manifest.read(folder / "manifest.json").devices
    assert {run.parity and run.parity.samples for run in device.runs} == {2}


def test_an_artifact_that_fails_costs_only_itself(folder: Path, phone: Device) -> None:
    manifest = Manifest.read(folder / "manifest.json")
    path = {(a.format, a.precision): folder / str(a.file) for a in manifest.artifacts}
    shutil.copyfile(path[ONNX, INT8], path[ONNX, FP32])  # another model under the same name
    whole = path[ONNX, INT8].read_bytes()
    path[ONNX, INT8].write_bytes(whole[: len(whole) // 2])

    def recorded(artifact: Artifact) -> Artifact:
        # Only to run it can tell; and nothing is known of how it did on this machine.
        file = folder / str(artifact.file)
        return artifact.model_copy(update={"sha256": sha256(file), "golden_parity": None})

    artifacts = tuple(recorded(a) for a in manifest.artifacts)
    manifest.model_copy(update={"artifacts": artifacts}).write(folder / "manifest.json")
    with path[PTE, FP32].open("ab") as file:
        file.write(b"\0")
    done = bench(folder, "--device", phone.serial)
    assert done.returncode == 1, done.stdout + done.stderr
    runs = runs_of(folder, phone.serial)
    assert "SQNR" in str(runs[ONNX, FP32].reason)
    assert "does not load" in str(runs[ONNX, INT8].reason)
    assert "\n" not in str(runs[ONNX, INT8].reason)
    assert "has changed since the export" in str(runs[PTE, FP32].reason)
    assert runs.pop((PTE, INT8)).verdict is Verdict.PASS
    assert {run.verdict for run in runs.values()} == {Verdict.FAIL}
    assert left_on(phone) == left_here(folder) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "nobody; reboot"], "'nobody; reboot' is not connected"),
        (["--device", "127.0.0.1:9"], "Nothing answers adb at 127.0.0.1:9"),
        (["--device", "emulator:cortex-a1"], "cortex-a53"),
        (["--affinity", "0x0"], "names no cores"),
        (["--threads", "1,x"], "--threads 1,x"),
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
    assert left_here(folder) == []


def test_one_bad_device_does_not_cost_the_other(folder: Path, phone: Device) -> None:
    done = bench(folder, "--device", phone.serial, "--device", "nobody", "--format", "onnx")
    assert done.returncode == 2
    assert "nobody" in done.stderr
    assert all(r.verdict is Verdict.PASS for r in runs_of(folder, phone.serial).values())


def test_nothing_stays_without_leave(folder: Path, phone: Device) -> None:
    ours = home(phone)
    done = bench(folder, "--device", phone.serial, "--format", "onnx", "--no-keep-runtime")
    assert done.returncode == 0, done.stderr
    assert phone.run(f"[ -e {ours} ]").code == 1


def test_an_emulator_of_its_own_starts_and_ends_with_the_run(folder: Path, adb: Adb) -> None:
    done = bench(folder, "--device", "emulator:a53", "--format", "onnx")
    assert done.returncode == 0, done.stdout + done.stderr
    runs = runs_of(folder, "emulator:cortex-a53")
    assert all(run.verdict is Verdict.PASS for run in runs.values())
    status = export_mobile("emulator", "status")
    assert "cortex-a53" not in status.stdout
