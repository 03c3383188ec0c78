"""What a device says of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DeviceFacts:
    """What a device says of itself.

    Attributes:
        serial: adb's name of it.
        model: such as `Pixel 7`.
        abi: such as `arm64-v8a`; `aarch64` on Linux boards.
        system: such as `Android 14` or `Debian GNU/Linux 12`.
        cpu: core types with their number, such as `4 x Cortex-A55, 2 x Cortex-A76`.
        cores: how many.
        features: those of `lse`, `dotprod`, `i8mm`, `fp16`, `sve` and `sve2` that all cores have.
        memory_bytes: of RAM, where readable.
        free_bytes: where the runtime is kept, where readable.
        emulated: True for qemu and Android's emulator: its wall time says nothing.
    """

    serial: str
    model: str
    abi: str
    system: str
    cpu: str
    cores: int
    features: tuple[str, ...] = ()
    memory_bytes: int | None = None
    free_bytes: int | None = None
    emulated: bool = False


@dataclass(frozen=True)
class DeviceState:
    """What changes while a device works, each where it is readable.

    Attributes:
        temperature_c: of the hottest CPU sensor, in degrees Celsius.
        frequency_mhz: of each core.
        battery_percent: charge.
        charging: whether it is on external power.
    """

    temperature_c: float | None = None
    frequency_mhz: tuple[int, ...] = ()
    battery_percent: int | None = None
    charging: bool | None = None
