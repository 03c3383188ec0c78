from __future__ import annotations

import pytest

from exporter.device.emulator import DEFAULT_CPU
from exporter.errors import UserError
from exporter.pipeline.devices import Target, resolve


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("emulator:a53", Target("emulator:cortex-a53", "cortex-a53")),
        ("emulator", Target(f"emulator:{DEFAULT_CPU}", DEFAULT_CPU)),
        ("emulator:", Target(f"emulator:{DEFAULT_CPU}", DEFAULT_CPU)),
        ("emulator-5554", Target("emulator-5554")),  # Android Studio's
        ("192.168.0.7:5555", Target("192.168.0.7:5555")),
        ("a serial", Target("a serial")),
    ],
)
def test_who_is_meant(name: str, target: Target) -> None:
    assert resolve([name]) == (target,)


@pytest.mark.parametrize("names", [["x", "y", "x"], ["emulator:a53", "emulator:cortex-a53"]])
def test_a_device_is_named_once(names: list[str]) -> None:
    with pytest.raises(UserError, match=f"--device {resolve(names[:1])[0].name} is given twice"):
        resolve(names)


def test_a_cpu_that_is_not_emulated() -> None:
    with pytest.raises(UserError, match="no emulated CPU 'cortex-a1'"):
        resolve(["emulator:cortex-a1"])
