"""The text form of inputs."""

from __future__ import annotations

import numpy as np
import pytest

from exporter.errors import UserError
from exporter.loading import parse_input
from exporter.loading.inputs import InputSpec, make_example


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("1x3x224x224", InputSpec(None, (1, 3, 224, 224))),
        ("1x3x224x224:float32", InputSpec(None, (1, 3, 224, 224))),
        ("4:float", InputSpec(None, (4,))),
        ("ids=1x16:int64:0..30522", InputSpec("ids", (1, 16), "int64", 0, 30522)),
        ("1x16:-5..5", InputSpec(None, (1, 16), "int64", -5, 5)),
        ("1x16:uint8:0..256", InputSpec(None, (1, 16), "uint8", 0, 256)),
        ("mask=1x16:bool", InputSpec("mask", (1, 16), "bool")),
        ("t=scalar:int64", InputSpec("t", (), "int64")),
        (" 2x2 ", InputSpec(None, (2, 2))),
    ],
)
def test_what_can_be_written(text: str, spec: InputSpec) -> None:
    assert parse_input(text) == spec


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "cannot be read"),
        ("1,3,224,224", "cannot be read"),
        ("1x3x", "cannot be read"),
        ("-1x3", "cannot be read"),
        ("1x3:int64:5", "cannot be read"),
        ("2bad=1x3", "cannot be read"),
        ("1x0x3", "a dimension is 0"),
        ("1x3:float16", "float16 is no type for an input"),
        ("1x3:string", "string is no type"),
        ("1x3:float32:0..1", "a range is for integers"),
        ("1x3:int64:7..7", "no range of int64"),
        ("1x3:uint8:0..300", "no range of uint8"),
        ("1x3:uint8:-1..3", "no range of uint8"),
    ],
)
def test_what_cannot(text: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        parse_input(text)


def test_examples_keep_to_their_ranges() -> None:
    example = make_example(
        [
            parse_input("64x3"),
            parse_input("ids=64x8:int32:3..9"),
            parse_input("flags=64:bool"),
            parse_input("n=64:int64"),
        ]
    )
    assert example.args[0].dtype == np.float32
    assert set(np.unique(example.kwargs["ids"])) == set(range(3, 9))
    assert example.kwargs["ids"].dtype == np.int32
    assert example.kwargs["flags"].dtype == np.bool_
    assert set(np.unique(example.kwargs["n"])) == {0, 1}


def test_a_name_twice() -> None:
    with pytest.raises(UserError, match="ids twice"):
        make_example([parse_input("ids=1x2"), parse_input("ids=1x3")])
