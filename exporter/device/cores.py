"""What `/proc/cpuinfo` says of ARM cores: their types and what their instruction sets hold."""

from __future__ import annotations

import re
from collections import Counter

_ARM = {
    0xD02: "Cortex-A34",
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD06: "Cortex-A65",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD0D: "Cortex-A77",
    0xD0E: "Cortex-A76AE",
    0xD40: "Neoverse-V1",
    0xD41: "Cortex-A78",
    0xD42: "Cortex-A78AE",
    0xD43: "Cortex-A65AE",
    0xD44: "Cortex-X1",
    0xD46: "Cortex-A510",
    0xD47: "Cortex-A710",
    0xD48: "Cortex-X2",
    0xD49: "Neoverse-N2",
    0xD4A: "Neoverse-E1",
    0xD4B: "Cortex-A78C",
    0xD4C: "Cortex-X1C",
    0xD4D: "Cortex-A715",
    0xD4E: "Cortex-X3",
    0xD4F: "Neoverse-V2",
    0xD80: "Cortex-A520",
    0xD81: "Cortex-A720",
    0xD82: "Cortex-X4",
    0xD84: "Neoverse-V3",
    0xD85: "Cortex-X925",
    0xD87: "Cortex-A725",
    0xD8A: "C1-Nano",
    0xD8B: "C1-Pro",
    0xD8C: "C1-Ultra",
    0xD8E: "Neoverse-N3",
    0xD8F: "Cortex-A320",
    0xD90: "C1-Premium",
}
_OTHERS = {
    (0x48, 0xD40): "Cortex-A76",
    (0x48, 0xD41): "Cortex-A77",
    (0x4E, 0x003): "Denver 2",
    (0x4E, 0x004): "Carmel",
    (0x51, 0x001): "Oryon",
    (0x51, 0x201): "Kryo",
    (0x51, 0x205): "Kryo",
    (0x51, 0x800): "Kryo 2xx Gold",
    (0x51, 0x801): "Kryo 2xx Silver",
    (0x51, 0x802): "Kryo 3xx Gold",
    (0x51, 0x803): "Kryo 3xx Silver",
    (0x51, 0x804): "Kryo 4xx Gold",
    (0x51, 0x805): "Kryo 4xx Silver",
    (0x53, 0x001): "Exynos M1",
    (0x53, 0x002): "Exynos M3",
    (0x53, 0x003): "Exynos M4",
    (0x53, 0x004): "Exynos M5",
}
PARTS = {**{(0x41, part): name for part, name in _ARM.items()}, **_OTHERS}
"""(implementer, part) of MIDR_EL1 -> name, of cores that phones and boards have. Sources: Arm's
technical reference manuals, Linux' arch/arm64/include/asm/cputype.h, util-linux' lscpu-arm.c."""

FEATURES = {
    "atomics": "lse",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "asimdhp": "fp16",
    "sve": "sve",
    "sve2": "sve2",
}
"""Linux' name of an instruction set extension (Documentation/arch/arm64/elf_hwcaps) -> ours."""

_SOFTWARE = 0x00
"""The implementer that MIDR_EL1 reserves for software: qemu's `max`."""


def types(cpuinfo: str) -> str:
    """Core types with their number, such as `4 x Cortex-A55, 2 x Cortex-A76`; empty if unknown."""
    counts = Counter(_name(*core) for core in _identities(cpuinfo))
    return ", ".join(f"{count} x {name}" for name, count in counts.items())


def count(cpuinfo: str) -> int:
    """How many cores it lists."""
    return len(re.findall(r"^processor\s*:", cpuinfo, re.M))


def features(cpuinfo: str) -> tuple[str, ...]:
    """Those of `FEATURES` that every core has."""
    lists = [set(line.split()) for line in re.findall(r"^Features\s*:(.*)$", cpuinfo, re.M)]
    shared = set.intersection(*lists) if lists else set()
    return tuple(ours for linux, ours in FEATURES.items() if linux in shared)


def is_software(cpuinfo: str) -> bool:
    """Whether the cores say of themselves that they are a program."""
    implementers = {implementer for implementer, _ in _identities(cpuinfo)}
    return _SOFTWARE in implementers or "qemu" in cpuinfo.lower()


def _identities(cpuinfo: str) -> list[tuple[int, int]]:
    """(implementer, part) of each core."""
    implementers = re.findall(r"^CPU implementer\s*:\s*(0x[0-9a-f]+)", cpuinfo, re.M | re.I)
    parts = re.findall(r"^CPU part\s*:\s*(0x[0-9a-f]+)", cpuinfo, re.M | re.I)
    return [(int(i, 16), int(p, 16)) for i, p in zip(implementers, parts, strict=False)]


def _name(implementer: int, part: int) -> str:
    if implementer == _SOFTWARE:
        return "emulated core"
    return PARTS.get((implementer, part), f"core {implementer:#04x}/{part:#05x}")
