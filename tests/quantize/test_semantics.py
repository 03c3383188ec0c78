"""The words for precisions: complete, and free of heavy imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

from exporter.quantize.semantics import MEANING, explain
from exporter.types import Precision, Scheme


@pytest.mark.parametrize(("precision", "scheme"), MEANING)
def test_every_meaning_can_be_told(precision: Precision, scheme: Scheme) -> None:
    text = explain(precision, scheme)
    assert text.startswith(str(precision))
    assert ("What stays float" in text) == (precision is Precision.INT8)


def test_precision_and_scheme_must_go_together() -> None:
    with pytest.raises(KeyError):
        explain(Precision.FP32, Scheme.STATIC)


def test_importing_the_words_imports_no_torch() -> None:
    code = "import sys, exporter.quantize.semantics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
