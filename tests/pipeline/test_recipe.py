"""A recipe is written beside the artifacts; edited and given back, every artifact follows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.errors import UserError
from exporter.manifest import Manifest
from exporter.quantize.recipe import Recipe
from exporter.types import Compute, Scheme
from tests.command import export_mobile

MODEL = ("tests.pipeline.test_plan:layers", "--input", "1x4", "--format", "onnx", "--quiet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both schemes of int8, made with data beside them."""
    folder = tmp_path_factory.mktemp("recipe")
    data = np.random.default_rng(0).normal(0, 1, (40, 1, 4)).astype(np.float32)
    np.save(folder / "data.npy", data)
    both = ("--scheme", "static", "--scheme", "dynamic")
    done = export(folder, "first", *both)
    assert done.returncode == 0, done.stderr
    return folder


def export(folder: Path, name: str, *more: str) -> Any:
    data = ("--int8", "--calibration", folder / "data.npy", "--output", folder / name)
    return export_mobile(*MODEL, *data, *more)


def edited(folder: Path, name: str, change: dict[str, Any], scheme: Scheme = Scheme.STATIC) -> Path:
    """A recipe of the first export with fields of its first step changed."""
    recipe = json.loads((folder / f"first/layers.int8-{scheme}.recipe.json").read_text())
    recipe["steps"][0] |= change
    path = folder / name
    path.write_text(json.dumps(recipe))
    return path


def computes(folder: Path) -> list[list[Compute]]:
    manifest = Manifest.read(folder / "manifest.json")
    return [[layer.compute for layer in a.layers] for a in manifest.artifacts]


def test_both_schemes_stand_side_by_side(folder: Path) -> None:
    assert computes(folder / "first") == [[Compute.STATIC] * 2, [Compute.DYNAMIC] * 2]
    manifest = Manifest.read(folder / "first/manifest.json")
    assert [a.file for a in manifest.artifacts] == [
        "layers.int8-static.onnx",
        "layers.int8-dynamic.onnx",
    ]
    assert {path.name for path in (folder / "first").iterdir()} == {
        *(a.file for a in manifest.artifacts),
        *("layers.int8-static.recipe.json", "layers.int8-dynamic.recipe.json"),
        *("golden.npz", "manifest.json", "report.html"),
    }


def test_an_edited_recipe_is_followed(folder: Path) -> None:
    recipe = edited(folder, "edited.json", {"compute": "float", "why": "I say so"})
    done = export(folder, "second", "--recipe", str(recipe))
    assert done.returncode == 0, done.stderr
    assert computes(folder / "second") == [[Compute.FLOAT, Compute.STATIC]]
    (artifact,) = Manifest.read(folder / "second/manifest.json").artifacts
    assert artifact.layers[0].why == "I say so"
    assert artifact.layers[0].module == "0"
    assert "I say so" in (folder / "second/report.html").read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"compute": "int4"}, "steps.0.compute"),
        ({"colour": "red"}, "steps.0.colour"),
        ({"node": "somebody"}, "somebody"),
        ({"operator": "aten.relu.default"}, "linear"),
    ],
)
def test_a_recipe_of_something_else_is_refused(
    folder: Path, change: dict[str, Any], said: str
) -> None:
    done = export(folder, "refused", "--recipe", str(edited(folder, "wrong.json", change)))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "refused").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"scheme": "float", "inputs": [], "steps": []}', "scheme: int8 is static or dynamic"),
        ("{", "is no recipe: Invalid JSON"),
    ],
)
def test_what_is_no_recipe_is_refused(folder: Path, content: str, said: str) -> None:
    path = folder / "none.recipe.json"
    path.write_text(content)
    with pytest.raises(UserError, match=said):
        Recipe.read(path)


def test_a_recipe_for_what_is_not_made_is_refused(folder: Path) -> None:
    recipe = edited(folder, "dynamic.json", {}, Scheme.DYNAMIC)
    done = export(folder, "refused", "--recipe", str(recipe))
    assert done.returncode == 2
    assert "one for int8 dynamic" in done.stderr
    assert export(folder, "refused", "--recipe", str(folder / "none.json")).returncode == 2
