"""`--affinity`: which cores are meant."""

from __future__ import annotations

import pytest

from exporter.device.affinity import cores
from exporter.errors import UserError

BIG_LITTLE = ((0, 1, 2, 3), (4, 5), (6, 7))


@pytest.mark.parametrize(
    ("affinity", "expected"),
    [
        (None, ()),
        ("little", (0, 1, 2, 3)),
        ("big", (6, 7)),
        ("0xf0", (4, 5, 6, 7)),
        ("4-7", (4, 5, 6, 7)),
        ("0,2,4-5", (0, 2, 4, 5)),
        ("7", (7,)),
    ],
)
def test_cores_that_are_meant(affinity: str | None, expected: tuple[int, ...]) -> None:
    assert cores(affinity, BIG_LITTLE) == expected


@pytest.mark.parametrize("affinity", ["", "huge", "0x0", "7-4", "4;reboot", "-1", "1,", "0xg"])
def test_nonsense_is_refused(affinity: str) -> None:
    with pytest.raises(UserError, match="names no cores"):
        cores(affinity, BIG_LITTLE)


def test_a_core_that_the_device_lacks_is_named() -> None:
    with pytest.raises(UserError, match="core 8, the device has 8"):
        cores("0-8", BIG_LITTLE)


@pytest.mark.parametrize("affinity", ["big", "little"])
def test_one_kind_of_cores_has_no_big_ones(affinity: str) -> None:
    with pytest.raises(UserError, match="two kinds of cores"):
        cores(affinity, ((0, 1, 2, 3),))


def test_an_unreadable_layout_leaves_numbers_to_the_kernel() -> None:
    assert cores("0-3", ()) == (0, 1, 2, 3)
