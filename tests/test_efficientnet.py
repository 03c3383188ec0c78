"""A real ImageNet network on real photos through all formats; no photo calibrates and evaluates."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.manifest import Manifest
from exporter.types import Format
from tests.command import export_mobile

MODEL = ("tests.efficientnet:model", "--input", "1x3x224x224")
EVALUATION = ("--evaluation", "tests.efficientnet:evaluation")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Static int8 in every format."""
    output = tmp_path_factory.mktemp("efficientnet") / "out"
    done = export_mobile(
        *MODEL, "--int8", "--calibration", "tests.efficientnet:calibration", *EVALUATION,
        "--output", output, "--quiet", timeout=900,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr  # its top-1 agreement is near the bound
    return Manifest.read(output / "manifest.json")


def test_every_format_is_made_and_measured(exported: Manifest) -> None:
    assert [a.format for a in exported.artifacts] == list(Format)
    assert exported.evaluation.samples == 24
    for artifact in exported.artifacts:
        assert artifact.parity is not None, artifact.reason
        assert artifact.parity.sqnr_db > 15
        assert artifact.parity.top1_agreement is not None
        assert artifact.parity.top1_agreement > 0.6


def test_int8_is_at_most_three_tenths_of_float(exported: Manifest) -> None:
    for artifact in exported.artifacts:
        ratio = exported.ratio(artifact)
        assert ratio is not None
        assert ratio <= 0.30, artifact.format


def test_the_whole_network_is_one_delegate(exported: Manifest) -> None:
    (pte,) = (a for a in exported.artifacts if a.format is Format.PTE)
    assert pte.delegation is not None
    assert pte.delegation.delegates == 1
    assert pte.delegation.outside == {}


def test_dynamic_int8_keeps_its_padding(tmp_path: Path) -> None:
    """A known trap: lowered as it stands, this file agrees with the original on no photo."""
    output = tmp_path / "out"
    export_mobile(*MODEL, "--int8", "--format", "pte", *EVALUATION, "--output", output)
    (artifact,) = Manifest.read(output / "manifest.json").artifacts
    assert artifact.parity is not None, artifact.reason
    assert artifact.parity.sqnr_db > 18
    assert artifact.parity.top1_agreement is not None
    assert artifact.parity.top1_agreement > 0.6
