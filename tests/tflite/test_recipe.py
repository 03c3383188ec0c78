"""The recipe in LiteRT's terms: which operator becomes what, with which range."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exporter.errors import FormatError
from exporter.quantize.recipe import Range, Recipe
from exporter.runtimes.api import ConvertJob
from exporter.runtimes.tflite import recipe as said
from exporter.runtimes.tflite.convert import convert, float_file
from exporter.runtimes.tflite.flatbuffer import graphs, pack, parse
from exporter.runtimes.tflite.quantize import quantize
from exporter.types import INT8_DYNAMIC, INT8_STATIC, Compute, Variant
from tests.support import Recorder, recomputed
from tests.tflite import models


def job_of(make: models.Make, variant: Variant = INT8_STATIC) -> tuple[ConvertJob, Recipe]:
    job = models.job_of(make, Path("m.tflite"), variant)
    assert job.recipe
    return job, job.recipe


@pytest.fixture(scope="module")
def cnn() -> tuple[ConvertJob, Recipe, bytes]:
    job, recipe = job_of(models.cnn)
    return job, recipe, float_file(job)


@pytest.fixture(scope="module")
def attention() -> tuple[ConvertJob, Recipe, bytes]:
    job, recipe = job_of(models.attention)
    return job, recipe, float_file(job)


Made = tuple[ConvertJob, Recipe, bytes]


def operators(chosen: said.OperatorChoices, content: bytes, compute: Compute) -> list[str]:
    graph = graphs(parse(content))[0]
    return [graph.operators[i].name for i in sorted(chosen.numbered(compute))]


def outputs(content: bytes) -> dict[str, Any]:
    """Name of a computed tensor -> the schema's tensor."""
    (graph,) = parse(content).subgraphs
    return {
        graph.tensors[o].name.decode(): graph.tensors[o]
        for op in graph.operators
        for o in op.outputs
    }


def scale(content: bytes, key: str) -> float:
    """Of the int8 tensor that a captured operator, or what is fused with it, gives."""
    found = [
        t.quantization.scale
        for name, t in outputs(content).items()
        if f"fx_{key};" in name and t.quantization is not None and t.quantization.scale is not None
    ]
    return float(found[-1][0])


def test_a_cnn_is_int8_throughout_with_the_recipes_ranges(cnn: Made) -> None:
    job, recipe, content = cnn
    chosen = said.choose(content, replace(job, calibration=job.calibration[:1]), recipe)
    assert len(chosen.numbered(Compute.STATIC)) == len(graphs(parse(content))[0].operators)
    known = {s.range for s in recipe.steps} | set(recipe.inputs)
    assert set(chosen.ranges.values()) <= known  # nothing had to be measured
    _, computes = quantize(content, job, recipe)
    assert set(computes.values()) == {Compute.STATIC}
    assert computes.keys() >= {s.node for s in recipe.steps if s.macs}


def test_dynamic_depthwise_weights_are_int8_and_its_compute_is_float(cnn: Made) -> None:
    job, recipe = job_of(models.cnn, INT8_DYNAMIC)
    everywhere = recomputed(recipe, {s.node: Compute.DYNAMIC for s in recipe.steps if s.macs})
    chosen = said.choose(cnn[2], job, everywhere)
    assert operators(chosen, cnn[2], Compute.WEIGHT_ONLY) == ["DEPTHWISE_CONV_2D"]
    assert operators(chosen, cnn[2], Compute.DYNAMIC) == ["CONV_2D", "CONV_2D", "FULLY_CONNECTED"]


def test_a_transformer_is_int8_in_its_linear_layers_alone(attention: Made) -> None:
    """A residual stream into a layer norm stays float, and so does what only moves it."""
    job, recipe, content = attention
    chosen = said.choose(content, job, recipe)
    assert operators(chosen, content, Compute.STATIC) == ["FULLY_CONNECTED"] * 4


def scaled() -> tuple[nn.Module, tuple[Tensor, ...]]:
    module, inputs = models.attention()
    with torch.no_grad():
        module.norm.weight.uniform_(1, 3)
    return module, inputs


def test_what_only_the_file_has_is_measured() -> None:
    """Layer norm's factors are in the weights of the next layer: the captured range is not its."""
    job, recipe = job_of(scaled)
    chosen = said.choose(float_file(job), job, recipe)
    known = {s.range for s in recipe.steps} | set(recipe.inputs)
    (name,) = (name for name, found in chosen.ranges.items() if found not in known)
    assert "fx_layer_norm;" in name


def test_a_product_of_two_activations_is_not_weighted(attention: Made) -> None:
    job, recipe, content = attention
    everything = recomputed(recipe, {s.node: Compute.STATIC for s in recipe.steps})
    chosen = said.choose(content, job, everything)
    assert "BATCH_MATMUL" not in operators(chosen, content, Compute.STATIC)


@pytest.mark.parametrize("variant", [INT8_STATIC, INT8_DYNAMIC])
def test_embedding_rows_are_int8_in_both_schemes(variant: Variant) -> None:
    job, recipe = job_of(models.text, variant)
    content = float_file(job)
    chosen = said.choose(content, job, recipe)
    assert operators(chosen, content, Compute.WEIGHT_ONLY) == ["EMBEDDING_LOOKUP"]
    _, computes = quantize(content, job, recipe)
    assert computes["embedding"] is Compute.WEIGHT_ONLY


def layer(recipe: Recipe, number: int) -> str:
    return [s.node for s in recipe.steps if s.macs][number]


@pytest.mark.parametrize("compute", [Compute.FLOAT, Compute.WEIGHT_ONLY, Compute.DYNAMIC])
def test_a_layer_computes_as_an_edited_recipe_says(cnn: Made, compute: Compute) -> None:
    job, recipe, content = cnn
    point = layer(recipe, 2)
    edited = recomputed(recipe, {point: compute})
    quantized, computes = quantize(content, job, edited)
    assert computes[point] is compute
    others = {c for n, c in computes.items() if n != point}
    assert others == {Compute.STATIC}
    before, after = (_stored(c) for c in (quantize(content, job, recipe)[0], quantized))
    assert before["int8"] - after["int8"] == (16 * 16 if compute is Compute.FLOAT else 0)


def _stored(content: bytes) -> dict[str, int]:
    from exporter.runtimes.tflite.describe import weight_bytes

    return weight_bytes(graphs(parse(content)))


def test_a_doubled_range_doubles_the_scale(cnn: Made) -> None:
    job, recipe, content = cnn
    name = next(s.node for s in recipe.steps if "add." in s.operator)
    doubled = replace(
        recipe,
        steps=tuple(
            replace(s, range=Range(2 * s.range.low, 2 * s.range.high))
            if s.node == name and s.range
            else s
            for s in recipe.steps
        ),
    )
    once, twice = (quantize(content, job, r)[0] for r in (recipe, doubled))
    assert scale(twice, name) == pytest.approx(2 * scale(once, name), rel=1e-5)
    same = {n: t for n, t in outputs(once).items() if f"fx_{name};" not in n}
    for key, tensor in same.items():
        if tensor.quantization is not None and tensor.quantization.scale is not None:
            other = outputs(twice)[key].quantization.scale
            np.testing.assert_array_equal(tensor.quantization.scale, other)


def renamed(content: bytes, change: Callable[[str], str]) -> bytes:
    model = parse(content)
    for tensor in model.subgraphs[0].tensors:
        tensor.name = change(tensor.name.decode()).encode()
    return pack(model)


class Alike(nn.Module):
    """Layers of one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.second(torch.tanh(self.first(x)) * 5)) * 3


def alike() -> tuple[nn.Module, tuple[Tensor, ...]]:
    return models.seeded(Alike), (torch.randn(4, 8),)


def swapped(name: str) -> str:
    """With the two layers' names in each other's place."""
    first, second = "fx_linear;", "fx_linear_1;"
    return name.replace(first, "?").replace(second, first).replace("?", second)


def test_a_wrong_mapping_is_refused_by_name() -> None:
    job, recipe = job_of(alike)
    content = float_file(job)
    assert said.choose(content, job, recipe).numbered(Compute.STATIC)
    wrong = renamed(content, swapped)
    with pytest.raises(FormatError, match=r"linear.*aten\.linear.*the numbers of linear"):
        said.choose(wrong, job, recipe)


def test_what_no_name_tells_stays_float() -> None:
    job, recipe = job_of(alike)
    content = float_file(job)
    nameless = renamed(content, lambda name: name.replace("fx_linear_1;", "x;"))
    quantized, computes = quantize(nameless, job, recipe)
    assert computes == {"linear": Compute.STATIC}
    assert _stored(quantized)["int8"] == 64


class Twins(nn.Module):
    """Equal layers of one input, layers with one weight, and a table that becomes a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.b.load_state_dict(self.a.state_dict())
        self.d = nn.Linear(8, 8, bias=False)
        self.d.weight = self.c.weight
        self.table = nn.Embedding(4, 8)
        self.register_buffer("places", torch.arange(4))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = x + self.table(self.places)
        return self.a(x) + 2 * self.b(x), self.c(torch.tanh(self.d(x)))


def twins() -> tuple[nn.Module, tuple[Tensor, ...]]:
    return models.seeded(Twins), (torch.randn(4, 8),)


@pytest.mark.parametrize("variant", [INT8_STATIC, INT8_DYNAMIC])
def test_tied_and_duplicate_layers(variant: Variant, tmp_path: Path) -> None:
    module, inputs = twins()
    runner, conversion, _ = models.export(twins, tmp_path / "m.tflite", variant)
    asked = Compute.STATIC if variant is INT8_STATIC else Compute.DYNAMIC
    layers = {n: c for n, c in conversion.computes.items() if n.startswith("linear")}
    assert layers.keys() >= {"linear_2", "linear_3"}
    assert set(layers.values()) == {asked}
    assert "embedding" not in conversion.computes  # folded: the file does not have it
    sample = tuple(x.numpy() for x in inputs)
    with torch.no_grad():
        want = tuple(o.numpy() for o in module(*inputs))
    assert models.sqnr(want, runner.run(sample)) > 25


def test_one_of_two_that_share_a_weight_may_stay_float(tmp_path: Path) -> None:
    job = models.job_of(twins, tmp_path / "m.tflite", INT8_DYNAMIC)
    assert job.recipe
    edited = recomputed(job.recipe, {"linear_2": Compute.FLOAT})
    computes = convert(replace(job, recipe=edited), Recorder()).computes
    assert computes["linear_2"] is Compute.FLOAT
    assert computes["linear_3"] is Compute.DYNAMIC


def test_int8_without_a_recipe_is_a_mistake(tmp_path: Path) -> None:
    job = models.job_of(models.changing, tmp_path / "m.tflite", INT8_DYNAMIC)
    with pytest.raises(ValueError, match="recipe"):
        convert(replace(job, recipe=None), Recorder())
