"""The words for precisions: complete, and free of heavy imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

from exporter.quantize.semantics import explain
from exporter.types import VARIANTS, Precision, Scheme, Variant


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_meaning_can_be_told(variant: Variant) -> None:
    text = explain(variant)
    assert text.startswith(str(variant))
    assert ("What stays float" in text) == (variant.precision is Precision.INT8)


@pytest.mark.parametrize(
    ("precision", "scheme"),
    [(Precision.FP32, Scheme.STATIC), (Precision.INT8, Scheme.FLOAT)],
)
def test_precision_and_scheme_must_go_together(precision: Precision, scheme: Scheme) -> None:
    with pytest.raises(ValueError, match="there is no"):
        Variant(precision, scheme)


def test_importing_the_words_imports_no_torch() -> None:
    code = "import sys, exporter.quantize.semantics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
