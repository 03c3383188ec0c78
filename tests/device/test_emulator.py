"""The emulated device as its users meet it: what it is, what it refuses, starting and stopping."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.device import emulator
from exporter.device.adb import Adb, Device
from exporter.device.cache import cache_root
from exporter.device.emulator.cpus import storage_size
from exporter.device.emulator.launch import listen
from exporter.errors import UserError
from tests.command import EXPORT_MOBILE, export_mobile
from tests.device.conftest import FreshPhone, free_port
from tests.device.traces import Traces, listens, until


@pytest.fixture
def own_records(emulated: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The cached parts, but no devices other than the test's own."""
    shared = cache_root()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache_root().mkdir()
    for kind in ("phone", "qemu"):
        (cache_root() / kind).symlink_to(shared / kind)
    yield
    emulator.stop(everything=True)


def test_it_looks_like_a_phone(phone: Device) -> None:
    assert phone.shell("getprop ro.product.cpu.abi").strip() == "arm64-v8a"
    assert phone.shell("getprop ro.build.version.release").strip() == "14"
    assert phone.shell("getprop ro.boot.qemu").strip() == "1"
    assert phone.shell("getprop no.such.thing nothing").strip() == "nothing"
    assert "[ro.build.version.sdk]: [34]" in phone.shell("getprop")
    assert "uid=2000(shell)" in phone.shell("id")
    assert phone.shell("uname -m").strip() == "aarch64"


def test_what_runs_there_has_to_bring_everything(phone: Device) -> None:
    assert phone.run("ls -d /lib /lib64 /usr /tmp /dev/shm").stdout == b""
    names = "-name 'libc.so*' -o -name 'python*' -o -name 'ld-*'"
    found = phone.shell(f"find /apex /data /sdcard /system {names}")
    assert found.split() == ["/apex/runtime/lib/libc.so.6"]


@pytest.mark.parametrize(
    ("cpu", "has", "lacks"),
    [
        ("a53", ("asimd",), ("asimddp", "asimdhp", "i8mm")),
        ("cortex-a76", ("asimddp", "asimdhp"), ("i8mm", "sve")),
        ("max", ("asimddp", "i8mm", "sve2"), ()),
    ],
)
def test_a_cpu_has_the_features_of_its_generation(
    fresh_phone: FreshPhone, cpu: str, has: tuple[str, ...], lacks: tuple[str, ...]
) -> None:
    _, device = fresh_phone(cpu=cpu)
    described = device.shell("cat /proc/cpuinfo")
    features = described.split("Features")[1].split("\n")[0].split()
    assert set(has) <= set(features)
    assert not set(lacks) & set(features)
    cores = device.shell("cat /sys/devices/system/cpu/online").strip()
    assert cores == Path("/sys/devices/system/cpu/online").read_text().strip()


def test_storage_is_as_small_as_asked_for(fresh_phone: FreshPhone) -> None:
    _, device = fresh_phone(storage="16m")
    full = device.run("cd /data/local/tmp && head -c 20000000 /dev/zero > filled")
    assert full.code != 0
    assert "No space left" in full.stderr
    device.shell("cd /data/local/tmp && rm filled && head -c 10000000 /dev/zero > fits")


def test_devices_share_nothing_but_their_image(fresh_phone: FreshPhone) -> None:
    (one, first), (two, second) = fresh_phone(cpu="a53"), fresh_phone(cpu="a55")
    assert one.port != two.port
    first.shell("echo here > /data/local/tmp/mine")
    assert second.run("cat /data/local/tmp/mine").code != 0
    for device in (first, second):
        assert device.run("touch /system/bin/mine").code != 0
        assert device.run("touch /data/mine").code != 0


def test_variables_reach_the_shell(fresh_phone: FreshPhone) -> None:
    _, device = fresh_phone(env={"GREETING": "a b;c"})
    assert device.shell('echo "$GREETING"').strip() == "a b;c"


def test_commands(own_records: None, adb: Adb) -> None:
    port = free_port()
    started = export_mobile("emulator", "start", "--cpu", "a55", "--storage", "64m", "--port", port)
    assert started.returncode == 0, started.stderr
    assert started.stdout.splitlines() == [
        f"127.0.0.1:{port}  cortex-a55, 64m of storage",
        f"adb connect 127.0.0.1:{port}",
    ]
    assert started.stderr == ""
    adb.connect(f"127.0.0.1:{port}")
    assert adb.device(f"127.0.0.1:{port}").shell("echo hello").strip() == "hello"
    adb.disconnect(f"127.0.0.1:{port}")

    taken = export_mobile("emulator", "start", "--port", port)
    assert taken.returncode == 2
    assert f"Port {port} is taken by another emulated device." in taken.stderr

    facts = json.loads(export_mobile("emulator", "status", "--json").stdout)
    assert [(one["port"], one["cpu"], one["storage"]) for one in facts] == [
        (port, "cortex-a55", "64m")
    ]
    assert f"127.0.0.1:{port}" in export_mobile("emulator", "status").stdout

    stopped = export_mobile("emulator", "stop", "--port", port)
    assert (stopped.returncode, stopped.stdout) == (0, f"Stopped 127.0.0.1:{port}.\n")
    assert not listens("127.0.0.1", port)
    assert "No emulated device" in export_mobile("emulator", "status").stdout
    again = export_mobile("emulator", "stop")
    assert (again.returncode, "No emulated device is running." in again.stderr) == (2, True)
    assert export_mobile("emulator", "stop", "--all").returncode == 0


def test_run_ends_with_ctrl_c(own_records: None) -> None:
    command = subprocess.Popen(
        [EXPORT_MOBILE, "emulator", "run", "--storage", "64m", "--cpu", "a53"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert command.stdout is not None
    assert "cortex-a53" in command.stdout.readline()
    (device,) = emulator.status()
    traces = Traces.of(device)
    os.killpg(command.pid, signal.SIGINT)
    assert command.wait(20) == 130
    assert traces.left() == []
    assert not traces.record_left()


def test_run_ends_when_the_device_is_stopped_or_dies(own_records: None) -> None:
    for victim, code in (("launcher", 0), ("device", 2)):
        command = subprocess.Popen(
            [EXPORT_MOBILE, "emulator", "run", "--storage", "64m"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert command.stdout is not None
        command.stdout.readline()
        (device,) = emulator.status()
        if victim == "launcher":
            emulator.stop()
        else:
            os.kill(Traces.of(device).processes()[0], signal.SIGKILL)
        _, said = command.communicate(timeout=20)
        assert command.returncode == code, said
        assert ("has died" in said) == bool(code)


def test_several_devices_need_a_name_to_stop_one(own_records: None) -> None:
    devices = [emulator.start("a53", "64m", 0), emulator.start("a53", "64m", 0)]
    with pytest.raises(UserError, match="Several emulated devices run"):
        emulator.stop()
    with pytest.raises(UserError, match="No emulated device runs at port 1"):
        emulator.stop(port=1)
    assert emulator.stop(devices[0].port) == (devices[0],)
    assert emulator.status() == (devices[1],)
    assert emulator.stop() == (devices[1],)


def test_status_does_not_believe_what_was_left(own_records: None) -> None:
    device = emulator.start("a53", "64m", 0)
    record = cache_root() / "running" / f"{device.port}.json"
    kept = record.read_text()
    os.kill(device.pid, signal.SIGKILL)
    assert until(lambda: not device.alive)
    assert emulator.status() == ()
    assert not record.exists()
    # The number of its launcher now belongs to this very process: it must not be ended.
    record.write_text(json.dumps({**json.loads(kept), "pid": os.getpid()}))
    assert emulator.stop(everything=True) == ()
    record.write_text("{ damaged")
    assert emulator.status() == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cpu", "a99"), "There is no emulated CPU 'a99'."),
        (("--storage", "lots"), "'lots' is no size of storage."),
        (("--storage", "1k"), "cannot be 1k"),
        (("--storage", "90000g"), "kept in memory"),
        (("--port", "5555"), "adb looks for emulators by itself"),
    ],
)
def test_refusals(own_records: None, arguments: tuple[str, ...], said: str) -> None:
    done = export_mobile("emulator", "start", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_of_another_program_is_refused(own_records: None) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        gc.collect()  # what other tests have dropped is not closed in the midst of this one
        handles = list(Path("/proc/self/fd").iterdir())
        with pytest.raises(UserError, match=f"Port {port} is taken by another program"):
            emulator.start("a53", "64m", port)
        assert len(list(Path("/proc/self/fd").iterdir())) <= len(handles), "one was left open"


def test_without_a_port_the_next_free_one_is_taken() -> None:
    with listen(None) as first, listen(None) as second:
        assert first.getsockname()[1] < second.getsockname()[1]
        assert first.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("given", "size"), [("800m", 800 << 20), ("1G", 1 << 30), (" 9000kb", 9000 << 10)]
)
def test_sizes(given: str, size: int) -> None:
    assert storage_size(given) == size


def test_short_names_of_cpus() -> None:
    assert [emulator.cpu_name(name) for name in ("A53", "v1", "max", "cortex-a710")] == [
        "cortex-a53",
        "neoverse-v1",
        "max",
        "cortex-a710",
    ]
