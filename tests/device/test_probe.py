"""What is read off a device: from text as phones and boards print it, and on a live one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from exporter.device import cores, facts, probe
from exporter.device.adb import Device
from exporter.errors import DeviceError
from exporter.types import DeviceState
from tests.device.conftest import FreshPhone


def cpuinfo(*core_types: tuple[int, int, int, str]) -> str:
    """`/proc/cpuinfo` of an arm64 kernel: (how many, implementer, part, features) each."""
    number, text = 0, ""
    for count, implementer, part, features in core_types:
        for _ in range(count):
            text += (
                f"processor\t: {number}\nBogoMIPS\t: 49.15\nFeatures\t: {features}\n"
                f"CPU implementer\t: {implementer:#04x}\nCPU architecture: 8\n"
                f"CPU variant\t: 0x1\nCPU part\t: {part:#05x}\nCPU revision\t: 0\n\n"
            )
            number += 1
    return text


COMMON = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimddp"
PIXEL = f"""
@@ machine
aarch64
@@ getprop
[ro.boot.hardware]: [panther]
[ro.build.version.release]: [14]
[ro.hardware]: [panther]
[ro.product.cpu.abi]: [arm64-v8a]
[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a,armeabi]
[ro.product.model]: [Pixel 7]
@@ release
@@ model
GS201 PANTHER based on GS201\0
@@ dmi
@@ cpuinfo
{cpuinfo((4, 0x41, 0xD05, COMMON), (2, 0x41, 0xD41, COMMON), (2, 0x41, 0xD44, COMMON + " i8mm"))}
@@ possible
0-7
@@ meminfo
MemTotal:        7700204 kB
MemFree:          315292 kB
@@ df
Filesystem     1024-blocks     Used Available Capacity Mounted on
/dev/block/dm-47 112906660 29875492  82899884      27% /data
"""
RASPBERRY = f"""
@@ machine
aarch64
@@ getprop

@@ release
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
@@ model
Raspberry Pi 4 Model B Rev 1.4\0
@@ dmi
@@ cpuinfo
{cpuinfo((4, 0x41, 0xD08, "fp asimd evtstrm crc32 cpuid"))}
Revision\t: c03114
Model\t\t: Raspberry Pi 4 Model B Rev 1.4
@@ possible
0-3
@@ meminfo
MemTotal:        3884336 kB
@@ df
Filesystem     1024-blocks    Used Available Capacity Mounted on
/dev/root         29925312 9433232  19190484      33% /
"""


def test_a_phone() -> None:
    found = facts.facts("28171FDH2000AB", facts.split(PIXEL))
    assert found.model == "Pixel 7"
    assert (found.abi, found.system) == ("arm64-v8a", "Android 14")
    assert found.cpu == "4 x Cortex-A55, 2 x Cortex-A78, 2 x Cortex-X1"
    assert found.cores == 8
    assert found.features == ("lse", "dotprod", "fp16")  # i8mm is not on every core
    assert found.memory_bytes == 7700204 * 1024
    assert found.free_bytes == 82899884 * 1024
    assert not found.emulated
    probe.require_arm64(found)


def test_a_board_without_getprop() -> None:
    found = facts.facts("10.0.0.7:5555", facts.split(RASPBERRY))
    assert found.model == "Raspberry Pi 4 Model B Rev 1.4"
    assert (found.abi, found.system) == ("aarch64", "Debian GNU/Linux 12 (bookworm)")
    assert found.cpu == "4 x Cortex-A72"
    assert found.features == ()
    assert not found.emulated
    probe.require_arm64(found)


def test_nothing_readable_invents_nothing() -> None:
    found = facts.facts("x", {})
    assert (found.model, found.abi, found.system, found.cpu) == ("unknown",) * 4
    assert (found.cores, found.features) == (0, ())
    assert found.memory_bytes is found.free_bytes is None
    assert facts.state({}) == DeviceState()
    assert facts.clusters({}) == ()


@pytest.mark.parametrize("abi", ["armeabi-v7a", "x86_64"])
def test_wrong_abi_of_a_phone(abi: str) -> None:
    found = facts.facts("x", facts.split(PIXEL.replace("[arm64-v8a]", f"[{abi}]")))
    with pytest.raises(DeviceError, match=f"x \\(Pixel 7\\) is {abi}: only arm64-v8a"):
        probe.require_arm64(found)


def test_wrong_abi_of_a_board() -> None:
    found = facts.facts("x", facts.split(RASPBERRY.replace("aarch64", "armv7l")))
    with pytest.raises(DeviceError, match="is armv7l: only arm64-v8a"):
        probe.require_arm64(found)


@pytest.mark.parametrize(
    "change",
    [
        ("[ro.hardware]: [panther]", "[ro.hardware]: [ranchu]"),
        ("[ro.hardware]: [panther]", "[ro.kernel.qemu]: [1]"),
        ("[ro.hardware]: [panther]", "[ro.boot.qemu]: [1]"),
        ("CPU implementer\t: 0x41", "CPU implementer\t: 0x00"),
        ("GS201 PANTHER based on GS201", "linux,dummy-virt"),
        ("@@ dmi\n", "@@ dmi\nQEMU\n"),
    ],
)
def test_emulators_are_recognized(change: tuple[str, str]) -> None:
    assert facts.facts("x", facts.split(PIXEL.replace(*change))).emulated


def test_unknown_core_is_told_by_its_numbers() -> None:
    assert cores.types(cpuinfo((2, 0x61, 0x022, "fp"))) == "2 x core 0x61/0x022"


def test_state_from_sysfs() -> None:
    text = """
@@ thermal
BIG 48000
MID 52500
LITTLE 47000
G3D-gpu 99000
battery 31000
cpu-off 0
cpu-odd 255000
modem 61
@@ current
/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq 1803000
/sys/devices/system/cpu/cpu10/cpufreq/scaling_cur_freq 2850000
/sys/devices/system/cpu/cpu2/cpufreq/scaling_cur_freq 300000
@@ battery
83 Discharging
"""
    expected = DeviceState(52.5, (1803, 300, 2850), 83, False)
    assert facts.state(facts.split(text)) == expected


def test_state_of_a_board_in_whole_degrees() -> None:
    assert facts.state({"thermal": "cpu-thermal 51\n"}) == DeviceState(temperature_c=51.0)


def test_state_from_android_services() -> None:
    text = """
@@ dumpsys
Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  level: 100
  scale: 100
@@ thermalservice
Current temperatures from HAL:
\tTemperature{mValue=41.2, mType=0, mName=BIG, mStatus=0}
\tTemperature{mValue=65.0, mType=1, mName=GPU, mStatus=0}
\tTemperature{mValue=39.9, mType=0, mName=LITTLE, mStatus=0}
"""
    assert facts.state(facts.split(text)) == DeviceState(41.2, (), 100, True)


def test_what_a_device_says_is_not_believed() -> None:
    text = f"[ro.product.model]: [\x1b[2Jx{'y' * 1000}]\n[ro.product.cpu.abi]: [arm64-v8a]\n"
    found = facts.facts("x", {"getprop": text, "possible": "0-99999999999,7"})
    assert found.model.startswith("[2Jxyy")
    assert len(found.model) <= 80
    assert found.cores <= 4098


def test_clusters_slowest_first() -> None:
    lines = [
        f"/sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq {khz}"
        for core, khz in enumerate([1803000] * 4 + [2348000] * 2 + [2850000] * 2)
    ]
    sections = {"fastest": "\n".join(lines), "possible": "0-7"}
    assert facts.clusters(sections) == ((0, 1, 2, 3), (4, 5), (6, 7))
    assert facts.clusters({"possible": "0-2,5\n"}) == ((0, 1, 2, 5),)


def test_emulated_device(phone: Device) -> None:
    found = probe.probe(phone)
    assert found.emulated
    assert found.abi == "arm64-v8a"
    assert found.system.startswith("Android ")
    assert found.cpu == f"{found.cores} x Cortex-A76"
    assert found.features == ("lse", "dotprod", "fp16")
    assert found.free_bytes
    assert 0 < found.free_bytes <= 2 << 30
    assert found.memory_bytes
    assert probe.clusters(phone) == (tuple(range(found.cores)),)
    assert probe.state(phone) == DeviceState()


def test_home(phone: Device) -> None:
    home = probe.home(phone)
    assert home == "/data/local/tmp/export-mobile"
    assert phone.run(f"ls -A {home}").stdout == b""


def test_no_home(fresh_phone: FreshPhone) -> None:
    _, phone = fresh_phone()
    if phone.shell("id -u") == "0\n":
        pytest.skip("adbd is root in an emulated device of an unprivileged user")
    phone.shell("chmod 500 /data/local/tmp")
    with pytest.raises(DeviceError, match="/data/local/tmp: may not be written; /var/tmp: no such"):
        probe.home(phone)


def on_this_machine(script: str, shell: str = "sh") -> str:
    """What a board's shell would print: the scripts are plain POSIX."""
    done = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=False)
    return done.stdout


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_home_in_another_shell(tmp_path: Path, shell: str) -> None:
    script = probe.home_script((str(tmp_path / "none"), str(tmp_path)))
    assert on_this_machine(script, shell) == str(tmp_path / "export-mobile")
    assert [p.name for p in tmp_path.iterdir()] == ["export-mobile"]


def test_home_is_no_link(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "export-mobile").symlink_to(target)
    script = probe.home_script((str(tmp_path),))
    assert on_this_machine(script) == f"{tmp_path}: may not be written"
    assert not list(target.iterdir())


def test_home_where_nothing_may_be_executed(tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o noexec none {tmp_path} && "
    if not shutil.which("unshare") or "ok" not in on_this_machine(
        f"unshare -Urm sh -c '{mount}echo ok'"
    ):
        pytest.skip("this machine lets nobody mount: unshare -Urm fails")
    script = probe.home_script((str(tmp_path),))
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", mount + 'sh -c "$1"; ls -A ' + str(tmp_path), "-", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{tmp_path}: nothing may be executed"


def test_this_machine_as_a_board() -> None:
    found = facts.facts("x", facts.split(on_this_machine(probe.FACTS)))
    assert found.abi == on_this_machine("uname -m").strip()
    assert found.memory_bytes
    assert found.free_bytes
    assert "Android" not in found.system
