"""Which system calls of the host a device may not make."""

from __future__ import annotations

import errno
import socket
import struct

# <linux/bpf_common.h>: load a word of the call's data; jump if equal / if not below; answer.
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _ANSWER = 0x20, 0x15, 0x35, 0x06

# <linux/seccomp.h>; offsets in `struct seccomp_data`.
_KILL, _FAIL, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16

# <linux/audit.h>, <asm/unistd_64.h>
_X86_64, _X32_BIT = 0xC000003E, 0x40000000
_SOCKET, _IO_URING_SETUP = 41, 425


def no_vsock() -> bytes:
    """A seccomp filter, as BPF, without which adbd also listens on vsock, for the whole machine.

    vsock addresses are no part of a network namespace, so `socket(AF_VSOCK)` fails as on a kernel
    without them. io_uring, which could open one unseen, and 32-bit calls are shut as well.
    """
    allow, kill, vsock, absent = 8, 9, 10, 11
    steps = (
        _step(_LOAD, _ARCHITECTURE),
        _jump(1, _IF_EQUAL, _X86_64, 2, kill),
        _step(_LOAD, _NUMBER),
        _jump(3, _IF_AT_LEAST, _X32_BIT, kill, 4),
        _jump(4, _IF_EQUAL, _IO_URING_SETUP, absent, 5),
        _jump(5, _IF_EQUAL, _SOCKET, 6, allow),
        _step(_LOAD, _FIRST_ARGUMENT),
        _jump(7, _IF_EQUAL, socket.AF_VSOCK, vsock, allow),
        _step(_ANSWER, _ALLOW),
        _step(_ANSWER, _KILL),
        _step(_ANSWER, _FAIL | errno.EAFNOSUPPORT),
        _step(_ANSWER, _FAIL | errno.ENOSYS),
    )
    return b"".join(steps)


def _step(operation: int, value: int) -> bytes:
    """`struct sock_filter`."""
    return struct.pack("=HBBI", operation, 0, 0, value)


def _jump(at: int, operation: int, value: int, then: int, otherwise: int) -> bytes:
    """The same for step `at`, which goes on to step `then` or `otherwise`."""
    return struct.pack("=HBBI", operation, then - at - 1, otherwise - at - 1, value)
