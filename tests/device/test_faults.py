"""Faults made to happen under a real `export-mobile bench`: what it says, and what it leaves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from exporter.device.adb import Adb, Device
from exporter.device.bundle import layers
from exporter.device.install import install
from exporter.device.probe import home
from exporter.errors import DeviceError
from exporter.manifest import Manifest
from exporter.types import Format, Precision, Verdict
from tests.device.benches import (
    await_agent,
    await_line,
    bench,
    export,
    kill_what_is_left,
    left_here,
    left_on,
    runs_of,
    started,
)
from tests.device.conftest import FreshPhone
from tests.device.processes import adbd_of
from tests.device.strangers import stranger
from tests.device.traces import until

pytestmark = pytest.mark.usefixtures("uncounted")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(
        tmp_path_factory.mktemp("faults") / "out; dir",
        (Format.ONNX,),
        (Precision.FP32, Precision.INT8),
    )


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy to write into."""
    return Path(shutil.copytree(exported, tmp_path / "out; dir"))


def assert_told(code: int, told: str, *words: str) -> None:
    """Exit code 2, and one sentence that holds these words."""
    assert code == 2, told
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, told
    for word in words:
        assert word in errors[0]
    assert "Traceback" not in told


def assert_kept_first(folder: Path, phone: Device, problem: str) -> None:
    """What was measured before the device went is in the manifest, with the reason of the end."""
    (device,) = Manifest.read(folder / "manifest.json").devices
    assert problem in str(device.problem)
    assert [run.verdict for run in runs_of(folder, phone.serial).values()] == [Verdict.PASS]


# Before anything runs


@pytest.mark.parametrize(("answers", "says"), [(False, "is offline"), (True, "has not allowed")])
def test_device_that_is_not_ready(folder: Path, adb: Adb, answers: bool, says: str) -> None:
    before = (folder / "manifest.json").read_bytes()
    with stranger(answers) as address:
        with pytest.raises(DeviceError):
            adb.connect(address)
        try:
            done = bench(folder, "--device", address)
        finally:
            adb.disconnect(address)
    assert_told(done.returncode, done.stderr, address, says)
    assert (folder / "manifest.json").read_bytes() == before
    assert left_here(folder) == []


def test_no_space_for_the_runtime_then_no_permission(folder: Path, fresh_phone: FreshPhone) -> None:
    _, phone = fresh_phone(storage="70m")
    done = bench(folder, "--device", phone.serial)
    assert_told(done.returncode, done.stderr, phone.serial, "no space left for the runtime", "MB")
    assert f"export-mobile devices clean {phone.serial}" in done.stderr
    assert "sending" not in done.stderr
    assert left_on(phone) == []
    phone.shell("rm -r /data/local/tmp/* && chmod 555 /data/local/tmp")
    done = bench(folder, "--device", phone.serial)
    assert_told(done.returncode, done.stderr, phone.serial, "no folder", "may not be written")
    assert left_here(folder) == []


def test_wrong_abi(folder: Path, fresh_phone: FreshPhone) -> None:
    tools = "/data/local/tmp/tools"
    _, phone = fresh_phone(env={"PATH": f"{tools}:/system/bin"})
    phone.shell(
        f"mkdir {tools} && echo 'echo [ro.product.cpu.abi]: [x86_64]' >{tools}/getprop && "
        f"chmod 755 {tools}/getprop"
    )
    done = bench(folder, "--device", phone.serial)
    assert_told(done.returncode, done.stderr, phone.serial, "x86_64", "only arm64-v8a")
    assert phone.shell("ls -A /data/local/tmp").split() == ["tools"]


# The device goes away


@pytest.mark.parametrize("way", ["push", "shell", "pull"])
def test_adbd_killed(folder: Path, fresh_phone: FreshPhone, way: str) -> None:
    running, phone = fresh_phone()
    variables = {}
    if way != "shell":
        file = {"push": "int8.onnx ", "pull": "job-2/outputs.npz "}[way]
        variables["PATH"] = f"{_killing(folder, way, file, adbd_of(running))}:{os.environ['PATH']}"
    with started(folder, "--device", phone.serial, **variables) as process:
        if way == "shell":
            await_line(process, "int8.onnx: running")
            await_agent(phone)
            os.kill(adbd_of(running), signal.SIGKILL)
        _, told = process.communicate(timeout=120)
    assert_told(process.returncode, told, phone.serial)
    assert_kept_first(folder, phone, phone.serial)
    assert left_here(folder) == []


def _killing(folder: Path, way: str, file: str, adbd: int) -> Path:
    """A folder with the real adb under its name, but adbd dies when it begins to carry a file."""
    tools = folder.parent / "tools"
    tools.mkdir()
    (tools / "adb").write_text(
        f'#!/bin/sh\ncase " $* " in *" {way} "*"{file}"*) (sleep 0.02; kill -9 {adbd}) & ;; esac\n'
        f'exec {shutil.which("adb")} "$@"\n'
    )
    (tools / "adb").chmod(0o755)
    return tools


def test_adbd_that_hangs(folder: Path, fresh_phone: FreshPhone) -> None:
    """It is ended after 20 s, and the device cleans up once it answers again."""
    running, phone = fresh_phone()
    adbd = adbd_of(running)
    with started(folder, "--device", phone.serial) as process:
        await_line(process, "int8.onnx: running")
        await_agent(phone)
        os.kill(adbd, signal.SIGSTOP)
        stopped = time.monotonic()
        _, told = process.communicate(timeout=90)
        assert time.monotonic() - stopped < 45
    assert_told(process.returncode, told, phone.serial, "does not answer")
    assert_kept_first(folder, phone, "does not answer")
    assert left_here(folder) == []
    os.kill(adbd, signal.SIGCONT)
    assert until(lambda: left_on(phone) == [], 20), left_on(phone)


# Something goes wrong on a device that stays


def test_agents_that_are_killed_cost_themselves(folder: Path, phone: Device) -> None:
    """Two artifacts, twice each: three runs are killed, and the fourth is not."""
    with started(folder, "--device", phone.serial, "--threads", "1,2") as process:
        for file, name in (("fp32", "ILL"), ("fp32", "SEGV"), ("int8", "KILL")):
            await_line(process, f"{file}.onnx: running")
            phone.shell(f"kill -{name} {await_agent(phone)}")
        _, told = process.communicate(timeout=120)
    assert process.returncode == 1, told
    (device,) = Manifest.read(folder / "manifest.json").devices
    reasons = [str(run.reason) for run in device.runs]
    assert "SIGILL (the CPU lacks an instruction" in reasons[0]
    assert "SIGSEGV" in reasons[1]
    assert "SIGKILL (out of memory?)" in reasons[2]
    assert device.runs[3].verdict is Verdict.PASS, reasons[3]
    assert device.problem is None
    assert left_on(phone) == left_here(folder) == []


def test_artifact_that_takes_too_long(folder: Path, phone: Device) -> None:
    done = bench(folder, "--device", phone.serial, "--timeout", "1")
    assert done.returncode == 1, done.stderr
    for run in runs_of(folder, phone.serial).values():
        assert run.reason == "did not finish within 1 s"
    assert left_on(phone) == []


def test_damaged_runtime_is_sent_again(folder: Path, phone: Device) -> None:
    places = install(phone, home(phone), layers([Format.ONNX], print), print)
    phone.shell(f"cd {places['onnx']} && echo x >>$(find . -name '*.so*' | head -n 1)")
    done = bench(folder, "--device", phone.serial)
    assert done.returncode == 0, done.stderr
    assert "runtime onnx: damaged" in done.stderr
    assert "runtime onnx: sending" in done.stderr
    assert "runtime core: sending" not in done.stderr
    assert left_on(phone) == []


def test_disk_that_fills_up(folder: Path, fresh_phone: FreshPhone) -> None:
    """After the first run: its result stays, and the trouble is the device's, not an artifact's."""
    _, phone = fresh_phone(storage="120m")
    with started(folder, "--device", phone.serial) as process:
        await_line(process, "int8.onnx: running")
        await_agent(phone)
        phone.run("cat /dev/zero >/data/local/tmp/fill", timeout=60)
        _, told = process.communicate(timeout=120)
    assert_told(process.returncode, told, phone.serial, "has no space left")
    assert_kept_first(folder, phone, "has no space left")
    done = bench(folder, "--device", phone.serial)
    assert_told(done.returncode, done.stderr, phone.serial, "/data/local/tmp: no space left")
    phone.shell("rm /data/local/tmp/fill")
    assert left_on(phone) == left_here(folder) == []


# The run itself ends


def test_ctrl_c_keeps_what_was_measured(folder: Path, phone: Device) -> None:
    ours = home(phone)
    with started(folder, "--device", phone.serial, "--no-keep-runtime") as process:
        await_line(process, "int8.onnx: running")
        await_agent(phone)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert f"what was measured is in {folder}" in told
    assert "exit code" not in told
    assert_kept_first(folder, phone, "stopped before all was run")
    assert left_here(folder) == []
    assert phone.run(f"[ -e {ours} ]").code == 1
    assert ours not in phone.shell("ps -A -o ARGS= | grep -v grep")


def test_ctrl_c_while_the_device_hangs(folder: Path, fresh_phone: FreshPhone) -> None:
    """It does not wait for a device that cannot be cleaned now; that cleans up by itself."""
    running, phone = fresh_phone()
    adbd = adbd_of(running)
    with started(folder, "--device", phone.serial) as process:
        await_line(process, "int8.onnx: running")
        await_agent(phone)
        os.kill(adbd, signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=45)
    assert process.returncode == 130, told
    assert_kept_first(folder, phone, "stopped before all was run")
    assert left_here(folder) == []
    os.kill(adbd, signal.SIGCONT)
    assert until(lambda: left_on(phone) == [], 20), left_on(phone)


def test_sigkill_leaves_only_a_scratch_folder_that_the_next_run_removes(
    folder: Path, phone: Device
) -> None:
    before = (folder / "manifest.json").read_bytes()
    with started(folder, "--device", phone.serial) as process:
        await_line(process, "int8.onnx: running")
        await_agent(phone)
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    (scratch,) = folder.glob(".*")
    try:
        assert until(lambda: left_here(folder) == [str(scratch)], 10), left_here(folder)
    finally:
        kill_what_is_left(folder)
    assert until(lambda: left_on(phone) == [], 10), left_on(phone)
    assert (folder / "manifest.json").read_bytes() == before
    os.utime(scratch, (0, 0))  # a young one may be another run's
    assert bench(folder, "--device", phone.serial, "--timeout", "1").returncode == 1
    assert left_here(folder) == []


def test_two_runs_at_once_on_one_device(folder: Path, phone: Device, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Path(shutil.copytree(folder, tmp_path / "other" / "out"))
    with started(folder, "--device", phone.serial) as process:
        await_line(process, "fp32.onnx: running")
        second: subprocess.CompletedProcess[str] = bench(other, "--device", phone.serial)
        _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert_told(second.returncode, second.stderr, phone.serial, "another run")
    assert Manifest.read(other / "manifest.json").devices == ()
    assert all(r.verdict is Verdict.PASS for r in runs_of(folder, phone.serial).values())
    assert left_on(phone) == left_here(folder) == left_here(other) == []
