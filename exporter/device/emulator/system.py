"""The Linux system calls that Python has no functions for."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
from enum import IntFlag

_libc = ctypes.CDLL(None, use_errno=True)

# <linux/prctl.h>
_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 22, 24, 38
_SECCOMP_MODE_FILTER = 2

# <asm/unistd_64.h>
_SYS_PIVOT_ROOT = 155
_MNT_DETACH = 2

# <linux/sockios.h>, <linux/if.h>
_SIOCSIFFLAGS, _IFF_UP, _IFF_RUNNING = 0x8914, 0x1, 0x40


class Namespace(IntFlag):
    """What `unshare` takes: <linux/sched.h>."""

    MOUNT = 0x00020000
    UTS = 0x04000000
    IPC = 0x08000000
    USER = 0x10000000
    PID = 0x20000000
    NET = 0x40000000


class Mount(IntFlag):
    """What `mount` takes: <linux/mount.h>."""

    READ_ONLY = 1
    NO_SETUID = 2
    NO_DEVICES = 4
    NO_PROGRAMS = 8
    REMOUNT = 32
    BIND = 4096
    RECURSIVE = 16384
    PRIVATE = 1 << 18


_PLAIN = Mount(0)


def unshare(namespaces: Namespace) -> None:
    """Moves this process (of PID: its children) into new namespaces."""
    _check(_libc.unshare(int(namespaces)), "unshare")


def mount(
    source: str, target: str, kind: str = "", flags: Mount = _PLAIN, options: str = ""
) -> None:
    """Mounts `source` on `target`."""
    words = (source, target, kind)
    done = _libc.mount(*map(os.fsencode, words), ctypes.c_ulong(flags), os.fsencode(options))
    _check(done, f"mount {kind or 'bind'} {target}")


def become_root(folder: str) -> None:
    """Makes a mount point this mount namespace's root; the tree before it is out of reach."""
    os.chdir(folder)
    # pivot_root(2), "pivot_root(".", ".")": the old root lands on top of the new, and is let go.
    _check(_libc.syscall(_SYS_PIVOT_ROOT, b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount")
    os.chdir("/")


def die_with_parent(signal_number: int) -> None:
    """Has the kernel send this process a signal when the thread that started it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def give_up_privileges() -> None:
    """From the next exec on, there are no capabilities, nor a way to gain any."""
    capability = 0
    while _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    if ctypes.get_errno() != errno.EINVAL:  # EINVAL: past the last that this kernel knows
        _check(-1, "drop capabilities")
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def bring_loopback_up() -> None:
    """A new network namespace has a loopback device that is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", _IFF_UP | _IFF_RUNNING)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)


class _Program(ctypes.Structure):
    """`struct sock_fprog` of <linux/filter.h>."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def filter_system_calls(program: bytes) -> None:
    """Installs a seccomp filter, for this process and all that it starts.

    Args:
        program: classic BPF, 8 bytes an instruction. `no_new_privs` must be set.
    """
    code = _Program(len(program) // 8, program)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(code))


def _prctl(option: int, *values: object) -> None:
    arguments = [*values, *[0] * (4 - len(values))]
    _check(_libc.prctl(option, *arguments), f"prctl {option}")


def _check(returned: int, what: str) -> None:
    if returned != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
