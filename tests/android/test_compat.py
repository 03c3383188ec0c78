"""What the exporter makes runs in the Android libraries, or the exporter says that it does not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from exporter.manifest import Artifact, Needs
from exporter.pipeline.exported import Exported
from exporter.types import Format, Precision, Scheme, Verdict
from scripts.android_compat import Outcome, Row, compared
from scripts.zoo import MODELS
from tests.command import ROOT, export_mobile

DATA = ("--evaluation", ROOT / "models/digits_evaluation.npz", "--limit", 16)
EXPORTS: Mapping[str, tuple[object, ...]] = {
    "cnn": (*MODELS["cnn"], "--fp16", "--int8", *DATA),
    "two-towers": (*MODELS["two-towers"], "--fp32"),
    "bert": (*MODELS["bert"], "--int8"),
}
"""Convolutions in fp16 and dynamic int8; several inputs and outputs; text, with attention."""


@pytest.fixture(scope="module", params=EXPORTS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("compat") / request.param
    words = (*EXPORTS[request.param], "--runs", 5, "--quiet", "--output", folder)
    done = export_mobile(*words)
    assert done.returncode in (0, 1), done.stderr
    return Exported.read(folder).first(4, folder.parent)


def test_all_that_is_made_runs_on_android_as_it_does_here(
    android_x86: None, exported: Exported
) -> None:
    made = [a for a in exported.manifest.artifacts if a.file]
    assert len({a.format for a in made}) == 4
    for artifact in made:
        outcomes = compared(exported, artifact, ("x86_64",), runs=5)
        assert not list(Row("model", artifact, outcomes).surprises)
        assert artifact.needs.lacking or outcomes["x86_64"].ratio


def test_the_one_that_is_wrong_on_arm64_is_named(android_arm64: None, tmp_path: Path) -> None:
    model = ROOT / "models/digits_deit_traced.pt"
    words = ("--int8", "--format", "tflite", *DATA, "--runs", 5, "--quiet", "--output", tmp_path)
    assert export_mobile(model, *words).returncode == 0
    few = Exported.read(tmp_path).first(4, tmp_path)
    (artifact,) = few.manifest.artifacts
    (said,) = artifact.needs.lacking
    assert said.startswith("TensorFlow Lite 2.16.1 computes FULLY_CONNECTED")
    outcomes = compared(few, artifact, ("arm64-v8a",), runs=5)
    assert "dB" in (outcomes["arm64-v8a"].problem or "")


@pytest.mark.parametrize(
    ("lacking", "problems", "surprised"),
    [
        ((), (None, None), 0),
        ((), ("crashes", None), 1),
        ((), ("crashes", "crashes"), 2),
        (("it lacks that",), (None, "wrong"), 0),
        (("it lacks that",), (None, None), 1),
    ],
)
def test_what_the_exporter_did_not_say_is_a_surprise(
    lacking: tuple[str, ...], problems: tuple[str | None, ...], surprised: int
) -> None:
    artifact = Artifact(
        format=Format.PTL,
        precision=Precision.FP32,
        scheme=Scheme.FLOAT,
        verdict=Verdict.FAIL,
        reason="a test",
        needs=Needs(lacking=lacking),
    )
    outcomes = dict(zip(("x86_64", "arm64-v8a"), map(_outcome, problems), strict=True))
    assert len(list(Row("model", artifact, outcomes).surprises)) == surprised


def _outcome(problem: str | None) -> Outcome:
    return Outcome(problem=problem)
