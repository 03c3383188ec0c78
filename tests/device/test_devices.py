"""`export-mobile devices`: lists what is there, says what to do, and cleans up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from exporter.device.adb import Adb, Device
from exporter.device.kept import Kept
from exporter.device.probe import home
from exporter.device.survey import clean, survey
from exporter.errors import DeviceError
from tests.device.conftest import FreshPhone, free_port
from tests.device.processes import adbd_of
from tests.device.strangers import stranger


def devices(*words: str, code: int = 0, **environment: str) -> str:
    """What the command prints, on stderr as well."""
    done = subprocess.run(
        [sys.executable, "-m", "exporter.cli", "devices", *words],
        env={**os.environ, "COLUMNS": "160", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def listed(serial: str) -> dict[str, Any]:
    found = json.loads(devices("--json"))
    return next(one for one in found if one["serial"] == serial)


def test_table(phone: Device) -> None:
    text = devices()
    for word in (phone.serial, "arm64-v8a", "Android", "Cortex-A76", "dotprod", "fp16", "emulated"):
        assert word in text


def test_json(phone: Device) -> None:
    found = listed(phone.serial)
    assert found["ready"]
    assert found["problem"] is found["remedy"] is None
    assert found["facts"]["abi"] == "arm64-v8a"
    assert found["facts"]["emulated"] is True


def test_device_that_is_not_ready_comes_with_its_remedy(adb: Adb, phone: Device) -> None:
    with stranger(answers=True) as address:
        with pytest.raises(DeviceError):
            adb.connect(address)
        try:
            text = devices()
            found = listed(address)
        finally:
            adb.disconnect(address)
    assert phone.serial in text
    assert f"{address} has not allowed this computer to use it. Unlock its screen" in text
    assert (found["state"], found["ready"]) == ("unauthorized", False)
    assert "Allow USB debugging" in found["remedy"]


def test_device_that_hangs_keeps_nobody_waiting(
    adb: Adb, phone: Device, fresh_phone: FreshPhone
) -> None:
    running, hung = fresh_phone()
    os.kill(adbd_of(running), signal.SIGSTOP)
    started = time.monotonic()
    found = {one.serial: one for one in survey(adb, timeout=8)}
    assert time.monotonic() - started < 30
    assert found[phone.serial].problem is None
    assert found[hung.serial].state == "device"
    assert "does not answer" in str(found[hung.serial].problem)


def test_no_device_says_what_to_do() -> None:
    port = str(free_port())
    try:
        text = devices(ANDROID_ADB_SERVER_PORT=port)
        assert "No device is connected. Plug one in with USB debugging on" in text
        assert "export-mobile emulator start" in text
        assert json.loads(devices("--json", ANDROID_ADB_SERVER_PORT=port)) == []
    finally:
        subprocess.run(["adb", "-P", port, "kill-server"], capture_output=True, check=False)


def test_no_adb(tmp_path: Path) -> None:
    text = devices(code=2, PATH=str(tmp_path), ANDROID_HOME=str(tmp_path))
    assert "adb is not on PATH" in text
    assert "apt-get install adb" in text


def test_clean(phone: Device) -> None:
    clean(phone)  # Other tests share this device, and may have left a runtime on it.
    folder = home(phone)
    phone.shell(f"mkdir {folder}/core && head -c 3000000 /dev/zero > {folder}/core/x")
    assert f"{phone.serial}: 3.00 MB freed." in devices("clean", phone.serial)
    assert phone.run(f"[ -e {folder} ]").code == 1
    assert "nothing to remove" in devices("clean", phone.serial)


def test_clean_refuses_while_a_run_is_on(phone: Device) -> None:
    folder = home(phone)
    with Kept(phone, f"exec 9>>{folder}/lock; flock -n 9 && echo held; cat >/dev/null") as lock:
        assert lock.line() == "held"
        assert "measuring on it" in devices("clean", phone.serial, code=2)
        assert phone.run(f"[ -e {folder} ]").code == 0
    clean(phone)
    assert phone.run(f"[ -e {folder} ]").code == 1


def test_clean_does_not_follow_links(phone: Device) -> None:
    folder, target = home(phone), "/data/local/tmp/target"
    phone.shell(f"rmdir {folder} && mkdir {target} && echo >{target}/x && ln -s {target} {folder}")
    try:
        assert clean(phone) == 0
        assert phone.shell(f"ls -A {target}") == "x\n"
    finally:
        phone.shell(f"rm -r {folder} {target}")


def test_clean_of_what_is_not_connected() -> None:
    assert "'no such' is not connected" in devices("clean", "no such", code=2)
