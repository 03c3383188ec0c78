"""Tiny arm64 programs, put together by hand: what they execute is known to the instruction.

Encodings are of the Arm Architecture Reference Manual, chapter C6; system calls are Linux's.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

BEGIN, END = 0x45580001, 0x45580002

_BASE, _HEADERS = 0x400000, 64 + 56
_SVC = 0xD4000001
_SCHED_GET_PRIORITY_MAX, _EXIT, _FUTEX, _CLONE = 125, 93, 98, 220

SDOT = 0x4E829420
"""`sdot v0.4s, v1.16b, v2.16b`, which the extension FEAT_DotProd adds."""

LOAD_FROM_0 = (0xD2800000, 0xF9400000)
"""`movz x0, #0` and `ldr x0, [x0]`."""

LOOP_FOREVER = 0x14000000


def move(register: int, value: int) -> list[int]:
    """Two instructions: `movz` and `movk` of a 32-bit value."""
    low, high = value & 0xFFFF, value >> 16
    return [0xD2800000 | low << 5 | register, 0xF2A00000 | high << 5 | register]


def call(number: int) -> list[int]:
    """Three instructions: a system call."""
    return [*move(8, number), _SVC]


def mark(policy: int) -> list[int]:
    """Five instructions, the last of which is the mark."""
    return [*move(0, policy), *call(_SCHED_GET_PRIORITY_MAX)]


def loop(times: int) -> list[int]:
    """2 + 2 * `times` instructions."""
    return [*move(19, times), 0xF1000673, 0x54FFFFE1]  # subs x19, x19, #1; b.ne to the one before


def exit_with(code: int) -> list[int]:
    return [*move(0, code), *call(_EXIT)]


def in_another_thread(body: Sequence[int]) -> list[int]:
    """Starts a thread that executes `body`, and sleeps until it has ended.

    The kernel puts the thread's number at `sp`, clears it when the thread ends, and wakes who
    waits there: CLONE_PARENT_SETTID, CLONE_CHILD_CLEARTID and what pthreads need, of
    <linux/sched.h>. The thread has the same stack, and does not touch it.
    """
    wait = [
        0xB94003E2,  # ldr w2, [sp]
        0x34000002 | 8 << 5,  # cbz w2, past the end: eight instructions ahead
        0x910003E0,  # add x0, sp, #0
        0xD2800001,  # movz x1, #0: FUTEX_WAIT
        0xD2800003,  # movz x3, #0: without a time-out
        *call(_FUTEX),
    ]
    wait.append(0x14000000 | (-len(wait) & 0x3FFFFFF))  # b to the start
    child = [*body, *exit_with(0)]
    return [
        *move(0, 0x350F00),
        *(0x910003E1, 0x910003E2, 0xD2800003, 0x910003E4),  # x1, x2, x4 = sp; x3 = 0
        *call(_CLONE),
        0xB5000000 | (len(child) + 1) << 5,  # cbnz x0, past the child
        *child,
        *wait,
    ]


def write_program(path: Path, code: Sequence[int]) -> None:
    """A static ELF executable that starts at the first instruction."""
    text = struct.pack(f"<{len(code)}I", *code)
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(identity, 2, 183, 1, _BASE + _HEADERS, 64, 0, 0),
        *(64, 56, 1, 64, 0, 0),
    )
    size = _HEADERS + len(text)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)
    path.write_bytes(header + segment + text)
    path.chmod(0o755)
