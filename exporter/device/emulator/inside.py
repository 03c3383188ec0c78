"""The device's first process: makes the file system, starts adbd, and ends when adbd does."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from exporter.device.emulator.namespaces import SHELL_USER, Machine, become_shell
from exporter.device.emulator.request import LaunchRequest
from exporter.device.emulator.root import ADBD, HOME
from exporter.device.emulator.seccomp import no_vsock
from exporter.device.emulator.system import (
    Mount,
    Namespace,
    become_root,
    die_with_parent,
    filter_system_calls,
    mount,
    unshare,
)

ADBD_PORT = 5555
"""Where adbd listens, in the device's own network."""

_ONLINE = Path("/sys/devices/system/cpu/online")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

# An ELF file for little-endian AArch64, a program or a shared object (which a PIE is).
_MAGIC = rb"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
_SAME_IN_STATVFS = 0xC0E
"""nosuid, nodev, noexec, noatime and nodiratime: the flags with one number in both system calls."""
_HANDLER_FLAGS = b"FPO"
"""Open qemu now, which the device cannot see; keep argv[0]; pass the program as an open file."""


def prepare(request: LaunchRequest, machine: Machine) -> None:
    """Makes the device's file system and goes into it. Only a process of its own can do this."""
    unshare(Namespace.MOUNT)
    mount("", "/", flags=Mount.RECURSIVE | Mount.PRIVATE)
    root, cores = request.root, _ONLINE.read_text()
    mount(root, root, flags=Mount.BIND)
    _remount_read_only(root)
    mount("proc", f"{root}/proc", "proc", Mount.NO_SETUID | Mount.NO_DEVICES | Mount.NO_PROGRAMS)
    _register(request.qemu, f"{root}/proc/sys/fs/binfmt_misc")
    _make_devices(f"{root}/dev")
    _describe_cores(f"{root}/sys/devices/system/cpu", cores)
    owner = SHELL_USER if machine.root else 0  # see `become_shell`
    options = f"mode=771,uid={owner},gid={owner},size={request.storage}"
    mount("tmpfs", root + HOME, "tmpfs", Mount.NO_SETUID | Mount.NO_DEVICES, options)
    become_root(root)
    # Nobody in the device may make user namespaces, and with them privileges, of their own.
    Path("/proc/sys/user/max_user_namespaces").write_text("0" if machine.root else "1")
    socket.sethostname("localhost")


def watch(adbd: int) -> None:
    """Ends when adbd ends, reaping whatever else loses its parent; the kernel ends the rest."""
    while True:
        with contextlib.suppress(InterruptedError):
            process, _ = os.wait()
            if process == adbd:
                return


def start_adbd(request: LaunchRequest, machine: Machine) -> int:  # noqa: RET503 (execve does not return)
    """Starts it as the shell's user, without any privilege; returns its number."""
    process = os.fork()
    if process:
        return process
    os.setsid()
    become_shell(machine)
    os.umask(0o022)
    filter_system_calls(no_vsock())
    os.execve(ADBD, ["adbd"], environment(request.cpu, request.variables))


def environment(cpu: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Of adbd, and so of every shell of the device."""
    return {
        "PATH": "/system/bin",
        "HOME": "/",
        "TMPDIR": HOME,
        "ANDROID_DATA": "/data",
        "ANDROID_ROOT": "/system",
        "ADBD_PORT": str(ADBD_PORT),
        "QEMU_CPU": cpu,
        **variables,
    }


def stay_with_launcher(lifeline: int) -> None:
    """Dies when the launcher dies, also if that was before this call.

    Args:
        lifeline: reading end of a pipe whose other end only the launcher holds.
    """
    die_with_parent(signal.SIGKILL)
    os.set_blocking(lifeline, False)
    with contextlib.suppress(BlockingIOError):  # else: it reads as ended
        os.read(lifeline, 1)
        os._exit(1)


def _register(qemu: str, place: str) -> None:
    """Has the kernel run arm64 programs with qemu, in this user namespace alone."""
    mount("binfmt_misc", place, "binfmt_misc")
    # /proc/<pid>/exe of each program is qemu: through a mount where it cannot be changed.
    mount(qemu, qemu, flags=Mount.BIND)
    _remount_read_only(qemu)
    program = os.open(qemu, os.O_RDONLY)
    try:
        # By number: a path could hold the colon that ends a field, or be too long for one.
        path = f"/proc/self/fd/{program}".encode()
        line = b":".join((b"", b"qemu", b"M", b"", _MAGIC, _MASK, path, _HANDLER_FLAGS))
        Path(place, "register").write_bytes(line)
    finally:
        os.close(program)
    _remount_read_only(place)  # where the shell's user owns it, it could be taken away


def _make_devices(place: str) -> None:
    mount("tmpfs", place, "tmpfs", Mount.NO_SETUID | Mount.NO_PROGRAMS, "mode=755,size=1m")
    for name in _DEVICES:  # a user namespace may not make any, but may show the host's
        Path(place, name).touch()
        mount(f"/dev/{name}", f"{place}/{name}", flags=Mount.BIND)
    Path(place, "pts").mkdir()
    mount("devpts", f"{place}/pts", "devpts", options="newinstance,ptmxmode=0666,mode=620")
    Path(place, "ptmx").symlink_to("pts/ptmx")
    Path(place, "fd").symlink_to("/proc/self/fd")
    _remount_read_only(place)


def _describe_cores(place: str, cores: str) -> None:
    """Inference runtimes take the number of cores from these files and fail without them."""
    mount("tmpfs", place, "tmpfs", Mount.NO_SETUID, "mode=755,size=1m")
    for name in ("possible", "present", "online"):
        Path(place, name).write_text(cores)
    _remount_read_only(place)


def _remount_read_only(place: str) -> None:
    # What the host forbids there (such as setuid programs) cannot be left out in the same breath.
    kept = Mount(os.statvfs(place).f_flag & _SAME_IN_STATVFS)
    mount("", place, flags=Mount.REMOUNT | Mount.BIND | Mount.READ_ONLY | kept)
