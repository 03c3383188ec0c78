"""Nothing gets out of the emulated device, and nothing of it stays, however it dies."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import exporter
from exporter.device import emulator
from exporter.device.adb import Adb, Device
from exporter.device.emulator import Running
from exporter.device.emulator.launcher import _LOG_LIMIT
from exporter.device.emulator.namespaces import Machine, refusal
from tests.device.traces import Traces, listens, until

SOURCE = Path(exporter.__file__).parent.parent
NOBODY = 65534
_SYS_PIDFD_GETFD = 438
NAMES = {"apex", "bin", "data", "dev", "etc", "proc", "sdcard", "sys", "system"}
SECRETS = ("ls /proc/1/root/", "ls /proc/1/fd/", "cat /proc/1/environ", "cat /proc/1/maps")

ENTER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
places = [os.open(f"/proc/{sys.argv[1]}/ns/{kind}", os.O_RDONLY) for kind in ("user", "mnt")]
for place in places:
    assert libc.setns(place, 0) == 0, os.strerror(ctypes.get_errno())
print(*os.listdir("/"))
"""
FILTER = """
import ctypes, errno, socket
from exporter.device.emulator.seccomp import no_vsock
from exporter.device.emulator.system import _prctl, filter_system_calls

def errors():
    try:
        socket.socket(socket.AF_VSOCK).close()
        vsock = 0
    except OSError as error:
        vsock = error.errno
    ctypes.CDLL(None, use_errno=True).syscall(425, 1, None)  # io_uring_setup
    return vsock, ctypes.get_errno()

before = errors()
_prctl(38, 1)  # no_new_privs
filter_system_calls(no_vsock())
print(before[0] == 0, errors() == (errno.EAFNOSUPPORT, errno.ENOSYS))
for family in (socket.AF_INET, socket.AF_UNIX):
    socket.socket(family).close()
"""


@pytest.fixture
def device(emulated: None) -> Iterator[Running]:
    """A device that lives on after its starter, unless the test ends it."""
    started = emulator.start("a53", "64m", 0)
    yield started
    if started.alive:
        emulator.stop(started.port)


def _launcher(traces: Traces) -> int:
    return traces.running.pid


def _first(traces: Traces) -> int:
    return traces.processes()[0]


def _adbd(traces: Traces) -> int:
    return next(pid for pid in traces.processes() if _says(pid, "adbd"))


def _says(pid: int, word: str) -> bool:
    return word in Path(f"/proc/{pid}/cmdline").read_text().split("\0")


@pytest.mark.parametrize(
    ("victim", "number"),
    [
        (_launcher, signal.SIGKILL),
        (_launcher, signal.SIGTERM),
        (_first, signal.SIGKILL),
        (_adbd, signal.SIGKILL),
        (_adbd, signal.SIGTERM),
    ],
)
def test_nothing_is_left(
    device: Running, victim: Callable[[Traces], int], number: signal.Signals
) -> None:
    traces = Traces.of(device)
    assert len(traces.processes()) == 2
    os.kill(victim(traces), number)
    assert traces.left() == []
    assert device not in emulator.status()
    assert not traces.record_left()


def test_what_is_left_would_be_noticed(device: Running) -> None:
    traces = Traces.of(device)
    assert len(traces.processes()) == 2
    assert listens("127.0.0.1", device.port)
    assert traces.record_left()


def test_programs_of_the_device_die_with_it(device: Running, adb: Adb) -> None:
    traces = Traces.of(device)
    adb.connect(device.serial)
    adb.device(device.serial).shell("setsid sleep 1000 >/dev/null 2>&1 </dev/null & sleep 1")
    assert until(lambda: len(traces.processes()) > 2)
    os.kill(device.pid, signal.SIGKILL)
    assert traces.left() == []
    adb.disconnect(device.serial)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_its_parent(emulated: None, number: signal.Signals) -> None:
    code = (
        "import time\nfrom exporter.device.emulator import running\n"
        "with running('a53', '64m') as device:\n"
        "    print(device.pid, device.port, flush=True)\n    time.sleep(1000)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=SOURCE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline().split()[0])
    (running,) = (one for one in emulator.status() if one.pid == pid)
    traces = Traces.of(running)
    parent.send_signal(number)
    parent.wait(20)
    assert traces.left() == []
    assert not traces.record_left()


def test_only_127_0_0_1_reaches_it(device: Running) -> None:
    assert listens("127.0.0.1", device.port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: asks which address would be used
        own = probe.getsockname()[0]
    assert not own.startswith("127.")
    for address in (own, "127.0.0.2", "::1"):
        assert not listens(address, device.port), address


def test_it_does_not_reach_the_machine(phone: Device) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert phone.run(f"echo hello | nc -w 2 127.0.0.1 {port}").code != 0
    interfaces = phone.shell("cat /proc/net/dev").splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]


def test_files_of_the_machine_are_out_of_reach(phone: Device) -> None:
    assert set(phone.shell("ls /").split()) == NAMES
    for path in (Path(__file__), Path(sys.executable)):
        assert phone.run(f"ls {path}").code != 0
    for secret in SECRETS:
        assert "Permission denied" in phone.run(secret).stderr
    kinds = {line.split()[2] for line in phone.shell("cat /proc/mounts").splitlines()[1:]}
    assert kinds <= {"proc", "binfmt_misc", "tmpfs", "devtmpfs", "devpts"}


def test_files_of_the_machine_are_not_even_in_its_namespace(device: Running) -> None:
    """Whoever enters the mount namespace starts at its root, which a mere chroot would not move."""
    first = str(_first(Traces.of(device)))
    done = subprocess.run([sys.executable, "-c", ENTER, first], capture_output=True, text=True)
    assert set(done.stdout.split()) == NAMES, done.stderr


def test_it_has_no_privileges(phone: Device) -> None:
    status = dict(line.split(":", 1) for line in phone.shell("cat /proc/self/status").splitlines())
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    for attempt in (
        "unshare -U true",
        "umount /data/local/tmp",
        "echo -1 > /proc/sys/fs/binfmt_misc/qemu",
        "echo 9 > /proc/sys/user/max_user_namespaces",
        "chmod 700 /proc/self/exe",
        "touch /dev/mine",
    ):
        assert phone.run(attempt).code != 0, attempt


def _families(pid: int) -> set[int]:
    """Address families of a process's sockets."""
    found = set()
    process = os.pidfd_open(pid)
    for place in Path(f"/proc/{pid}/fd").iterdir():
        if place.is_socket():
            handle = ctypes.CDLL(None).syscall(_SYS_PIDFD_GETFD, process, int(place.name), 0)
            assert handle >= 0
            with socket.socket(fileno=handle) as theirs:
                found.add(int(theirs.family))
    os.close(process)
    return found


def test_the_filter_of_system_calls() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILTER], cwd=SOURCE, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "True"]


def test_it_does_not_listen_on_vsock(device: Running) -> None:
    """vsock is not confined by network namespaces, and adbd would listen on it."""
    with socket.socket(socket.AF_VSOCK):
        assert socket.AF_VSOCK in _families(os.getpid()), "a vsock socket would be noticed"
    families = _families(_adbd(Traces.of(device)))
    assert families & {socket.AF_INET, socket.AF_INET6}
    assert socket.AF_VSOCK not in families


def _another_users_python(start: list[str]) -> str:
    """An interpreter that the user may run whose commands start so."""
    check = ("-c", "import sys; sys.exit(sys.version_info < (3, 11))")
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([*start, python, *check], capture_output=True, check=False).returncode:
            continue
        return python
    raise AssertionError("another user has no Python 3.11: apt-get install python3")


@pytest.fixture
def nobody(emulated: None) -> Iterator[list[str]]:
    """The start of a command that runs as a user without any rights, with a cache of its own."""
    parts = emulator.prepare(print)
    folder = Path(tempfile.mkdtemp(prefix="export-mobile-test-"))
    try:
        cache = folder / "cache/export-mobile"
        for entry in (parts.root.parent, parts.qemu.parent):
            shutil.copytree(entry, cache / entry.parent.name / entry.name, symlinks=True)
        shutil.copytree(SOURCE / "exporter", folder / "exporter", ignore=_only_python)
        variables = {"HOME": folder, "XDG_CACHE_HOME": folder / "cache", "PYTHONPATH": folder}
        start = ["env", "-i", "-C", "/", *(f"{name}={value}" for name, value in variables.items())]
        if os.geteuid() == 0:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
            words = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
            start = [*words, *start]
        yield [*start, _another_users_python(start)]
    finally:
        shutil.rmtree(folder)


def _only_python(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(name).suffix not in ("", ".py")]


def test_it_runs_without_root(nobody: list[str], adb: Adb) -> None:
    code = (
        "from exporter.device.emulator import running\n"
        "with running('a53', '64m') as device:\n    print(device.pid, device.serial, flush=True)\n"
        "    input()"
    )
    starter = subprocess.Popen(
        [*nobody, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    pid, serial = starter.stdout.readline().split()
    adb.connect(serial)
    device = adb.device(serial)
    assert "uid=2000(shell)" in device.shell("id")
    status = device.shell("cat /proc/self/status")
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    device.shell("cd /data/local/tmp && cp /system/bin/sh mine && ./mine -c 'echo hello > file'")
    for attempt in ("echo -1 > /proc/sys/fs/binfmt_misc/qemu", "chmod 0 /proc/self/exe"):
        assert "Read-only file system" in device.run(attempt).stderr
    assert device.run("unshare -U true").code != 0
    for secret in SECRETS:
        assert "Permission denied" in device.run(secret).stderr
    adb.disconnect(serial)
    starter.communicate("\n", timeout=20)
    assert starter.returncode == 0
    assert not Path(f"/proc/{pid}").exists()


def test_a_machine_without_user_namespaces_is_told_how_to_mend_it(emulated: None) -> None:
    script = (
        "echo 0 > /proc/sys/user/max_user_namespaces\n"
        f"exec {sys.executable} -m exporter.cli emulator start --storage 64m"
    )
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", script],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "user namespaces are switched off on this machine" in done.stderr
    assert "sudo sysctl -w user.max_user_namespaces=10000" in done.stderr


FINE = Machine(
    kernel="6.8.0-45-generic",
    root=False,
    user_namespaces=100,
    for_users=True,
    apparmor=False,
    binfmt_misc=True,
)


@pytest.mark.parametrize(
    ("different", "said", "remedy"),
    [
        ({"kernel": "6.1.0-13-amd64"}, "needs Linux 6.7 or newer", "update the kernel"),
        ({"user_namespaces": 0}, "switched off", "user.max_user_namespaces=10000"),
        ({"for_users": False}, "for root only", "kernel.unprivileged_userns_clone=1"),
        ({"apparmor": True}, "AppArmor", "kernel.apparmor_restrict_unprivileged_userns=0"),
        ({"binfmt_misc": False}, "binfmt_misc", "sudo modprobe binfmt_misc"),
        ({}, "could not be set up (unshare: Operation not permitted)", "--privileged"),
        ({"root": True, "apparmor": True}, "could not be set up", "--privileged"),
    ],
)
def test_refusals_of_the_kernel(different: dict[str, object], said: str, remedy: str) -> None:
    error = PermissionError(1, "Operation not permitted", "unshare")
    found = refusal(error, dataclasses.replace(FINE, **different))
    assert said in found.message
    assert remedy in found.hint


def test_the_log_does_not_grow_for_ever(tmp_path: Path) -> None:
    code = (
        "import os\nfrom exporter.device.emulator.launcher import _keep_log\n"
        "output, said = os.pipe()\n"
        "for _ in range(3000):\n    os.write(said, b'x' * 1000)\n    _keep_log(output)\n"
        "os.write(said, b'last')\n_keep_log(output)"
    )
    log = tmp_path / "log"
    with log.open("ab") as stream:
        subprocess.run([sys.executable, "-c", code], cwd=SOURCE, stderr=stream, check=True)
    assert 0 < log.stat().st_size <= _LOG_LIMIT
    assert log.read_bytes().endswith(b"xxlast")
