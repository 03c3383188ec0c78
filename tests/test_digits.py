"""The README's main example, end to end on the real digits DeiT, and what follows from it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from exporter.base.files import sha256
from exporter.manifest import Manifest
from exporter.types import Format, Stage, Verdict, Where
from tests.command import ROOT, export_mobile

FORMATS = [f.value for f in Format]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """What `scripts/quickstart.sh` makes, and the JSON it prints."""
    folder = tmp_path_factory.mktemp("digits") / "out"
    script = (ROOT / "scripts/quickstart.sh").read_text().replace("\\\n", " ")
    (command,) = re.findall(r"export-mobile (.*--int8.*) --output \S+", script)
    done = export_mobile(*command.split(), "--output", folder, "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)  # the manifest alone is on stdout
    manifest = Manifest.read(folder / "manifest.json")
    assert printed == json.loads((folder / "manifest.json").read_text())
    return folder, manifest


def test_all_four_formats_pass_with_their_evidence(exported: tuple[Path, Manifest]) -> None:
    _, manifest = exported
    assert [a.format for a in manifest.artifacts] == list(Format)
    assert manifest.evaluation.labelled
    for artifact in manifest.artifacts:
        assert artifact.verdict is Verdict.PASS
        assert artifact.parity is not None
        assert artifact.parity.samples == manifest.evaluation.samples
        assert artifact.parity.accuracy is not None
        assert artifact.parity.accuracy > 0.95
        assert artifact.parity.reference_accuracy is not None
        assert artifact.parity.reference_accuracy > 0.97
        assert artifact.latency_ms is not None
        assert artifact.latency_ms.where is Where.HOST
        assert artifact.stages[-1].stage is Stage.ARTIFACT


def test_int8_is_small_and_is_int8_inside(exported: tuple[Path, Manifest]) -> None:
    _, manifest = exported
    for artifact in manifest.artifacts:
        ratio = manifest.ratio(artifact)
        assert ratio is not None
        assert ratio <= 0.35, artifact.format
        integers = artifact.weight_bytes.get("int8", 0) + artifact.weight_bytes.get("uint8", 0)
        assert integers > 0.9 * manifest.source.reference_bytes / 4, artifact.format


def test_the_folder_holds_what_the_readme_says(exported: tuple[Path, Manifest]) -> None:
    folder, manifest = exported
    artifacts = {f"digits_deit_traced.int8.{suffix}" for suffix in FORMATS}
    assert {p.name for p in folder.iterdir()} == artifacts | {
        "manifest.json",
        "report.html",
        "golden.npz",
        "digits_deit_traced.int8.recipe.json",
    }
    assert [p.name for p in folder.parent.iterdir()] == ["out"], "nothing is left beside it"
    text = (folder / "manifest.json").read_text() + (folder / "report.html").read_text()
    assert str(ROOT) not in text, "no path of this machine"
    assert manifest.capture.stages[0].stage is Stage.CAPTURED


def test_golden_data_is_the_original_model(exported: tuple[Path, Manifest]) -> None:
    import torch

    folder, _ = exported
    model = torch.jit.load(ROOT / "models/digits_deit_traced.pt")
    with np.load(folder / "golden.npz") as golden:
        images = next(golden[k] for k in golden.files if k.startswith("input/"))
        scores = next(golden[k] for k in golden.files if k.startswith("output/"))
    with torch.no_grad():
        expected = np.stack([model(torch.from_numpy(image)).numpy() for image in images])
    np.testing.assert_allclose(scores.reshape(expected.shape), expected, atol=1e-5)


def test_verify_passes_and_notices_a_changed_file(
    exported: tuple[Path, Manifest], tmp_path: Path
) -> None:
    folder, _ = exported
    copy = shutil.copytree(folder, tmp_path / "copy")
    done = export_mobile("verify", copy)
    assert done.returncode == 0, done.stdout + done.stderr

    changed = copy / "digits_deit_traced.int8.onnx"
    data = bytearray(changed.read_bytes())
    data[len(data) // 2] ^= 0xFF
    changed.write_bytes(data)
    (copy / "digits_deit_traced.int8.tflite").unlink()
    done = export_mobile("verify", copy)
    assert done.returncode == 1
    assert "has changed since the export" in done.stdout
    assert "tflite is missing" in done.stdout


def test_verify_refuses_changed_golden_data(
    exported: tuple[Path, Manifest], tmp_path: Path
) -> None:
    copy = shutil.copytree(exported[0], tmp_path / "copy")
    with (copy / "golden.npz").open("ab") as file:
        file.write(b"x")
    done = export_mobile("verify", copy)
    assert done.returncode == 2
    assert "golden.npz has changed" in done.stderr


def test_verify_runs_the_files_and_not_only_their_hashes(
    exported: tuple[Path, Manifest], tmp_path: Path
) -> None:
    copy = shutil.copytree(exported[0], tmp_path / "copy")
    changed = copy / "digits_deit_traced.int8.onnx"
    model = onnx.load(changed)
    weight = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    negated = -onnx.numpy_helper.to_array(weight)
    weight.CopyFrom(onnx.numpy_helper.from_array(negated, weight.name))
    onnx.save(model, changed)
    document = json.loads((copy / "manifest.json").read_text())
    (entry,) = (a for a in document["artifacts"] if a["format"] == "onnx")
    entry["sha256"] = sha256(changed)
    (copy / "manifest.json").write_text(json.dumps(document))
    done = export_mobile("verify", copy)
    assert done.returncode == 1, done.stdout
    assert "onnx int8 static: on the golden samples" in done.stdout


def test_verify_refuses_to_judge_by_nothing(
    exported: tuple[Path, Manifest], tmp_path: Path
) -> None:
    copy = shutil.copytree(exported[0], tmp_path / "copy")
    document = json.loads((copy / "manifest.json").read_text())
    document["artifacts"] = document["artifacts"][:1]
    document["artifacts"][0]["tolerance"] = {"reason": "none"}
    (copy / "manifest.json").write_text(json.dumps(document))
    done = export_mobile("verify", copy)
    assert done.returncode == 2
    assert "no tolerance" in done.stderr


@pytest.mark.parametrize("format", FORMATS)
def test_inspect_says_what_each_artifact_is(exported: tuple[Path, Manifest], format: str) -> None:
    path = exported[0] / f"digits_deit_traced.int8.{format}"
    done = export_mobile("inspect", path, "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["size"] == path.stat().st_size
    assert facts["operators"]
    assert facts["weight_bytes"]
    assert [1, 1, 28, 28] in [list(spec["shape"]) for spec in facts["inputs"]]
    assert re.search(r"int8", export_mobile("inspect", path).stdout)


def test_inspect_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "notes.pte").write_text("these are notes")
    done = export_mobile("inspect", tmp_path / "notes.pte")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
