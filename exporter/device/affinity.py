"""What `--affinity` means on a device."""

from __future__ import annotations

import re

from exporter.errors import UserError

_MASK = re.compile(r"0x[0-9a-fA-F]{1,16}")
_RANGES = re.compile(r"\d{1,3}(-\d{1,3})?(,\d{1,3}(-\d{1,3})?)*")


def cores(affinity: str | None, clusters: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    """Core numbers to run on; none for all.

    Args:
        affinity: `big`, `little`, a hexadecimal mask, core numbers such as `4-7` or `0,2`, or None.
        clusters: the device's cores by kind, slowest first.

    Raises:
        UserError: it is none of these, or the device has not two kinds of cores.
    """
    if affinity is None:
        return ()
    if affinity in ("big", "little"):
        if len(clusters) < 2:
            raise UserError(
                "The device does not tell two kinds of cores apart, so there is no "
                f"--affinity {affinity}.",
                "Give core numbers, such as --affinity 4-7.",
            )
        return clusters[-1] if affinity == "big" else clusters[0]
    found = parse(affinity)
    known = {core for cluster in clusters for core in cluster}
    if known and (missing := sorted(set(found) - known)):
        raise UserError(
            f"--affinity {affinity} names core {missing[0]}, the device has {len(known)}.",
            f"They are numbered 0 to {max(known)}.",
        )
    return found


def parse(affinity: str) -> tuple[int, ...]:
    """Core numbers of a mask or a list: `0xf0` and `4-7` are (4, 5, 6, 7).

    Raises:
        UserError: it is neither, or names no core.
    """
    found: set[int] = set()
    if _MASK.fullmatch(affinity):
        mask = int(affinity, 16)
        found = {core for core in range(64) if mask >> core & 1}
    elif _RANGES.fullmatch(affinity):
        for part in affinity.split(","):
            low, _, high = part.partition("-")
            found |= set(range(int(low), int(high or low) + 1))
    if not found:
        raise UserError(
            f"--affinity {affinity} names no cores.",
            "It takes big, little, a mask such as 0xf0, or core numbers such as 4-7.",
        )
    return tuple(sorted(found))
