"""The CPUs that a device may have, and how big its storage may be: what a user may ask for."""

from __future__ import annotations

import os
import re

from exporter.errors import UserError

CPUS: tuple[str, ...] = (
    "cortex-a53",
    "cortex-a55",
    "cortex-a76",
    "cortex-a710",
    "neoverse-v1",
    "max",
)
"""qemu's names, oldest first. Their int8 kernels differ: a53 has no dot product, a55 and a76 have;
a710 adds i8mm and sve2, v1 wider vectors; `max` has all that qemu knows."""

DEFAULT_CPU = "cortex-a76"
DEFAULT_STORAGE = "1500m"
_SMALLEST = 8 << 20
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def cpu_name(given: str) -> str:
    """qemu's name of a CPU; `a76` is short for `cortex-a76`.

    Raises:
        UserError: there is no such CPU.
    """
    known = {short: name for name in CPUS for short in (name, name.rpartition("-")[2])}
    if given.lower() not in known:
        raise UserError(f"There is no emulated CPU {given!r}.", f"There are: {', '.join(CPUS)}.")
    return known[given.lower()]


def storage_size(given: str) -> int:
    """Bytes of such as `800m`.

    Raises:
        UserError: it is no size, or one that this machine cannot hold.
    """
    parts = re.fullmatch(r"(\d+)([kmg])b?", given.strip().lower())
    if parts is None:
        raise UserError(f"{given!r} is no size of storage.", "Write such as 800m or 2g.")
    size = int(parts[1]) * _UNITS[parts[2]]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if not _SMALLEST <= size <= memory:
        raise UserError(
            f"The device's storage cannot be {given}: it is kept in memory, and this machine has "
            f"{memory >> 20}m.",
            f"Choose between {_SMALLEST >> 20}m and {memory >> 20}m.",
        )
    return size
