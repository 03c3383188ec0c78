"""What a device is, how it is, and where on it we may work. One round trip each."""

from __future__ import annotations

from collections.abc import Iterable

from exporter.device import facts
from exporter.device.adb import Device
from exporter.device.refusals import named
from exporter.errors import DeviceError
from exporter.types import DeviceFacts, DeviceState

FOLDER = "export-mobile"
"""All that we keep on a device lies in a folder of this name."""

PLACES = ("/data/local/tmp", "/var/tmp", "/tmp", '"${HOME:-/home}"')
"""Shell words: where that folder may lie, best first. The first is Android's, for adb's user."""

ARM64 = ("arm64-v8a", "aarch64", "arm64")
"""As Android and Linux name it."""

_SECONDS = 20.0

FACTS = f"""
section() {{ echo; echo "@@ $1"; }}
section machine; uname -m
section getprop; command -v getprop >/dev/null && getprop
section release; cat /etc/os-release
section model; cat /proc/device-tree/model
section dmi; cat /sys/class/dmi/id/sys_vendor
section cpuinfo; cat /proc/cpuinfo
section possible; cat /sys/devices/system/cpu/possible
section meminfo; cat /proc/meminfo
section df; for place in {" ".join(PLACES)}
do if [ -w "$place" ]; then df -kP "$place"; break; fi; done
exit 0
"""

_SYSFS = """
section() { echo; echo "@@ $1"; }
each() { for file in "$@"; do read -r value <"$file" && echo "$file $value"; done; }
"""

_STATE = f"""{_SYSFS}
section thermal; for zone in /sys/class/thermal/thermal_zone*
do read -r kind <$zone/type && read -r value <$zone/temp && echo "$kind $value"; done
section current; each /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq
section battery; for supply in /sys/class/power_supply/*
do read -r kind <$supply/type && [ "$kind" = Battery ] && read -r charge <$supply/capacity \
&& read -r status <$supply/status && echo "$charge $status"; done
if command -v dumpsys >/dev/null
then section dumpsys; dumpsys battery; section thermalservice; dumpsys thermalservice; fi
exit 0
"""

_CLUSTERS = f"""{_SYSFS}
section fastest; each /sys/devices/system/cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq
section possible; cat /sys/devices/system/cpu/possible
exit 0
"""

# The shell itself is what can be copied on any device. A script would not do: `sh script` runs
# where nothing may be executed. Its name is kept, as busybox goes by it. In /tmp, which others may
# write, a folder of our name may be theirs, or a link of theirs to one of ours.
_TRY = """
why=
for place in {places}; do
  home=$place/{folder}
  if [ ! -d "$place" ]; then why="$why$place: no such folder; "; continue; fi
  if ! mkdir -p -m 700 "$home" || [ -L "$home" ] || [ ! -w "$home" ] || [ ! -O "$home" ]
  then why="$why$place: may not be written; "; continue; fi
  try=$home/.try-$$
  shell=$(command -v sh)
  # cp does not everywhere say that the disk is full.
  if mkdir "$try" && cp "$shell" "$try/sh" && chmod 700 "$try/sh" \
    && [ "$(wc -c <"$try/sh")" = "$(wc -c <"$shell")" ]
  then
    [ "$("$try/sh" -c 'echo runs')" = runs ] && found=$home
    problem="nothing may be executed"
  else problem="no space left"; fi
  rm -rf "$try"
  if [ -n "$found" ]; then printf %s "$found"; exit 0; fi
  rmdir "$home"
  why="$why$place: $problem; "
done 2>/dev/null
printf %s "${{why%; }}"
exit 1
"""


def probe(device: Device, timeout: float = _SECONDS) -> DeviceFacts:
    """What a device says of itself: Android, or a Linux board without `getprop`."""
    return facts.facts(device.serial, _sections(device, FACTS, timeout))


def state(device: Device) -> DeviceState:
    """Temperature, frequencies and battery now, each where it is readable."""
    return facts.state(_sections(device, _STATE, _SECONDS))


def clusters(device: Device) -> tuple[tuple[int, ...], ...]:
    """Core numbers of each kind of core, slowest first."""
    return facts.clusters(_sections(device, _CLUSTERS, _SECONDS))


def require_arm64(found: DeviceFacts) -> None:
    """Refuses what the runtimes are not built for.

    Raises:
        DeviceError: the device is none of 64-bit ARM.
    """
    if found.abi not in ARM64:
        raise DeviceError(
            f"{named(found.serial)} ({found.model}) is {found.abi}: only arm64-v8a devices can be "
            "measured.",
            "Name another device, or use --device emulator.",
        )


def home(device: Device) -> str:
    """A folder of ours on the device that can be written and executed from.

    Raises:
        DeviceError: there is none; says what was tried.
    """
    done = device.run(home_script(PLACES))
    if done.code:
        full = "no space left" in done.text
        raise DeviceError(
            f"{named(device.serial)} has no folder that export-mobile can work in ({done.text}).",
            "Free some space there."
            if full
            else f"Make one of them writable and executable for adb's user, such as {PLACES[0]}.",
        )
    return done.text


def home_script(places: Iterable[str]) -> str:
    """For a POSIX shell: prints the first place's folder that can be used, or what is wrong."""
    return _TRY.format(places=" ".join(places), folder=FOLDER)


def _sections(device: Device, script: str, timeout: float) -> dict[str, str]:
    return facts.split(device.run(f"{{ {script} }} 2>/dev/null", timeout).text)
