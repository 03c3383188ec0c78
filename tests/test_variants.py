"""A precision that nobody knows is refused wherever a choice depends on it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch
from torch import nn

from exporter.parity import default_tolerance
from exporter.pipeline.audit import audit, share_notes
from exporter.pipeline.inputs import variants
from exporter.quantize.semantics import explain, meaning
from exporter.runtimes.load import load_convert
from exporter.types import Format, Precision, Variant
from tests.support import Recorder, job_for

UNKNOWN = cast(Precision, "int4")
VARIANT = Variant(UNKNOWN)


@pytest.mark.parametrize("choice", [default_tolerance, meaning, explain])
def test_words_and_bounds(choice: object) -> None:
    with pytest.raises(AssertionError, match="int4"):
        choice(VARIANT)  # type: ignore[operator]


def test_audit() -> None:
    for check in (audit, share_notes):
        with pytest.raises(AssertionError, match="int4"):
            check(UNKNOWN, {"float32": 100})


def test_plan() -> None:
    with pytest.raises(AssertionError, match="int4"):
        variants((UNKNOWN,), (), None)


@pytest.mark.parametrize("format", Format)
def test_no_format_makes_it(format: Format, tmp_path: Path) -> None:
    job = job_for(nn.Linear(4, 2), torch.zeros(1, 4), target=tmp_path / "m", variant=VARIANT)
    with pytest.raises(AssertionError, match="int4"):
        load_convert(format)(job, Recorder())
    assert not list(tmp_path.iterdir())
