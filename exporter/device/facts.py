"""Facts and state out of what a device printed. What is unreadable is None, never invented."""

from __future__ import annotations

import re
from collections.abc import Mapping

from exporter.device import cores
from exporter.device.refusals import one_line
from exporter.types import DeviceFacts, DeviceState

Sections = Mapping[str, str]
"""Name of a section that the device printed -> its text."""

_CPU_SENSOR = re.compile(
    r"cpu|soc|cluster|big|mid|little|x86_pkg|tsens|mtktscpu|apc|core|therm(al)?_zone", re.I
)
_NOT_CPU = re.compile(r"gpu|batt|usb|charg|skin|modem|wifi|npu|tpu|ddr|isp|cam", re.I)
_PLAUSIBLE_C = (1.0, 130.0)
"""Sensors that are switched off read 0 or nonsense."""
_MOST_CORES = 4096
"""CONFIG_NR_CPUS of the largest arm64 kernels; a device that lists more is not believed."""


def split(text: str) -> dict[str, str]:
    """Sections, each after a line `@@ name`."""
    pieces = re.split(r"^@@ (\w+)$\n?", text, flags=re.M)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def facts(serial: str, sections: Sections) -> DeviceFacts:
    """What a device says of itself; see `exporter.device.probe` for the sections."""
    properties = _properties(sections.get("getprop", ""))
    release = _assignments(sections.get("release", ""))
    cpuinfo = sections.get("cpuinfo", "")
    number = cores.count(cpuinfo) or len(_range(sections.get("possible", "")))
    machine = _line(sections, "machine")
    version = properties.get("ro.build.version.release")
    return DeviceFacts(
        serial=serial,
        model=_known(properties.get("ro.product.model") or _line(sections, "model")),
        abi=_known(properties.get("ro.product.cpu.abi") or machine),
        system=_known(f"Android {version}" if version else release.get("PRETTY_NAME")),
        cpu=cores.types(cpuinfo) or "unknown",
        cores=number,
        features=cores.features(cpuinfo),
        memory_bytes=_kilobytes(sections.get("meminfo", ""), "MemTotal"),
        free_bytes=free_bytes(sections.get("df", "")),
        emulated=_emulated(properties, sections),
    )


def state(sections: Sections) -> DeviceState:
    """What changes while a device works."""
    percent, charging = _battery(sections)
    return DeviceState(
        temperature_c=_temperature(sections),
        frequency_mhz=tuple(
            round(khz / 1000) for _, khz in sorted(_per_core(sections.get("current", "")).items())
        ),
        battery_percent=percent,
        charging=charging,
    )


def clusters(sections: Sections) -> tuple[tuple[int, ...], ...]:
    """Core numbers of each kind, slowest first; one kind where frequencies cannot be read."""
    fastest = _per_core(sections.get("fastest", ""))
    every = _range(sections.get("possible", ""))
    if not fastest:
        return (every,) if every else ()
    speeds = sorted(set(fastest.values()))
    return tuple(tuple(sorted(c for c in fastest if fastest[c] == s)) for s in speeds)


def free_bytes(df: str) -> int | None:
    """Free space out of `df -kP`: one header, one line, kilobytes."""
    lines = df.strip().splitlines()
    found = re.search(r"\s\d+\s+\d+\s+(\d+)\s+\d+%", lines[-1]) if len(lines) > 1 else None
    return int(found[1]) * 1024 if found else None


def _emulated(properties: Mapping[str, str], sections: Sections) -> bool:
    if "1" in (properties.get("ro.boot.qemu"), properties.get("ro.kernel.qemu")):
        return True
    if properties.get("ro.hardware") in ("goldfish", "ranchu"):
        return True
    named = (properties.get("ro.soc.model", ""), _line(sections, "model"), _line(sections, "dmi"))
    if any(re.search("qemu|dummy-virt", name, re.I) for name in named):
        return True
    return cores.is_software(sections.get("cpuinfo", ""))


def _temperature(sections: Sections) -> float | None:
    """Of the hottest CPU sensor: sysfs, or what Android's thermal service lists as type 0 (CPU)."""
    found = []
    for line in sections.get("thermal", "").splitlines():
        kind, _, value = line.rpartition(" ")
        if re.fullmatch(r"-?\d+", value) and _CPU_SENSOR.search(kind) and not _NOT_CPU.search(kind):
            number = int(value)
            found.append(number / 1000 if abs(number) >= 1000 else float(number))
    if not found:
        pattern = r"mValue=(-?[\d.]+), mType=0\b"
        found = [float(v) for v in re.findall(pattern, sections.get("thermalservice", ""))]
    low, high = _PLAUSIBLE_C
    return max((c for c in found if low <= c <= high), default=None)


def _battery(sections: Sections) -> tuple[int | None, bool | None]:
    """Charge in percent, and whether on external power: sysfs, or Android's `dumpsys battery`."""
    for line in sections.get("battery", "").splitlines():
        capacity, _, status = line.partition(" ")
        if capacity.isdecimal() and int(capacity) <= 100:
            known = status in ("Charging", "Full", "Not charging", "Discharging")
            return int(capacity), status != "Discharging" if known else None
    text = sections.get("dumpsys", "")
    level = re.search(r"^\s*level: (\d+)", text, re.M)
    powered = re.findall(r"^\s*(?:AC|USB|Wireless|Dock) powered: (true|false)", text, re.M)
    return int(level[1]) if level else None, "true" in powered if powered else None


def _properties(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\[(.+?)\]: \[(.*)\]\r?$", text, re.M))


def _assignments(text: str) -> dict[str, str]:
    """Of /etc/os-release."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value.strip("\"'") for name, _, value in pairs if value}


def _known(text: str | None) -> str:
    """A word of a device for people, without what would move a terminal's cursor."""
    return one_line(text or "", 80) or "unknown"


def _line(sections: Sections, name: str) -> str:
    """First line of a section; device-tree strings end in NUL."""
    return sections.get(name, "").replace("\0", "\n").strip().partition("\n")[0].strip()


def _kilobytes(meminfo: str, name: str) -> int | None:
    found = re.search(rf"^{name}:\s+(\d+) kB", meminfo, re.M)
    return int(found[1]) * 1024 if found else None


def _per_core(text: str) -> dict[int, int]:
    """Core number -> kHz, of lines `/sys/devices/system/cpu/cpu4/... 1800000`."""
    found = re.findall(r"^\S*/cpu(\d+)/\S* (\d+)$", text, re.M)
    return {int(core): int(khz) for core, khz in found}


def _range(text: str) -> tuple[int, ...]:
    """Core numbers of `0-3,6`."""
    found: list[int] = []
    for low, high in re.findall(r"(\d+)(?:-(\d+))?", text):
        found.extend(range(int(low), min(int(high or low), _MOST_CORES) + 1))
    return tuple(found)
