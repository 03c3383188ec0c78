"""The recipe in ONNX Runtime's terms: which node becomes what, with which range."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from exporter.errors import FormatError
from exporter.passes import SHARED, apply
from exporter.quantize.guard import Captured
from exporter.quantize.recipe import Range, Recipe
from exporter.quantize.weights import to_int8
from exporter.runtimes.api import ConvertJob
from exporter.runtimes.onnx.convert import convert
from exporter.runtimes.onnx.describe import describe
from exporter.runtimes.onnx.graph import prepare
from exporter.runtimes.onnx.program import Marks, to_onnx
from exporter.runtimes.onnx.recipe import NodeChoices, choose
from exporter.runtimes.onnx.run import Runner
from exporter.runtimes.onnx.simplify import simplify
from exporter.types import INT8_DYNAMIC, INT8_STATIC, Array, Compute, Variant
from tests.onnx_runtime.models import Block, ConvNet, Projected, TextModel, seeded
from tests.support import Recorder, captured, eager, job_for, recomputed, samples_like

IMAGE = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
TOKENS = torch.linspace(-2, 2, 5 * 32).reshape(1, 5, 32)
WORDS = (torch.arange(7)[None] * 13, torch.ones(1, 7))


class Alike(nn.Module):
    """Layers of one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.second(torch.tanh(self.first(x)) * 5)) * 3


class Twins(nn.Module):
    """Equal layers of one input, and layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.d = nn.Linear(8, 8, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.a(x) + 2 * self.b(x), self.c(torch.tanh(self.d(x)))


def twins() -> nn.Module:
    module = seeded(Twins())
    assert isinstance(module, Twins)
    module.b.load_state_dict(module.a.state_dict())
    module.d.weight = module.c.weight
    return module


class Chunked(nn.Module):
    """Layers that take a part of what another gives."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(8, 16), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.wide(x).chunk(2, dim=-1)
        return self.narrow(torch.sigmoid(gate)) + self.narrow(value)


def job_of(
    module: nn.Module, *inputs: Tensor, target: Path, variant: Variant = INT8_STATIC
) -> tuple[ConvertJob, Recipe]:
    floating = all(x.is_floating_point() for x in inputs)
    samples = samples_like(8, *inputs) if floating else (tuple(x.numpy() for x in inputs),)
    program, _ = apply(captured(module, *inputs), SHARED)
    job = job_for(
        module, *inputs, target=target, program=program, variant=variant, calibration=samples
    )
    assert job.recipe
    return job, job.recipe


def planned(job: ConvertJob, recipe: Recipe, folder: Path) -> tuple[NodeChoices, Marks]:
    model, marks = to_onnx(job.program, job.signature)
    model, _ = simplify(model, job.example, folder)
    prepare(model)
    known = Captured(job.program, job.example)
    return choose(model, marks, recipe, known, job.example, folder), marks


def layers(recipe: Recipe) -> list[str]:
    return [s.node for s in recipe.steps if s.macs and "attention" not in s.operator]


@pytest.mark.parametrize(
    ("module", "inputs"),
    [
        (ConvNet(), (IMAGE,)),
        (Block(), (TOKENS,)),
        (TextModel(), WORDS),
        (Alike(), (torch.randn(4, 8),)),
        (Chunked(), (torch.randn(4, 8),)),
        (Projected(), (torch.randn(3, 1, 8),)),
        (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), (torch.randn(1, 5, 16),)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_names_come_through_onnxsim(
    module: nn.Module, inputs: tuple[Tensor, ...], tmp_path: Path
) -> None:
    """It drops all metadata and renames what fused products give; every layer is found all the
    same, and has the ranges it needs."""
    job, recipe = job_of(seeded(module), *inputs, target=tmp_path / "m.onnx")
    computes = convert(job, Recorder()).computes
    assert computes.keys() >= set(layers(recipe))
    for name in layers(recipe):
        as_node = isinstance(module, TextModel) and name == "lstm"  # has no int8 kernel
        asked = Compute.WEIGHT_ONLY if as_node else recipe.by_node[name].compute
        assert computes[name] is asked, name


@pytest.mark.parametrize("compute", [Compute.FLOAT, Compute.WEIGHT_ONLY, Compute.DYNAMIC])
def test_a_layer_computes_as_an_edited_recipe_says(compute: Compute, tmp_path: Path) -> None:
    job, recipe = job_of(seeded(Block()), TOKENS, target=tmp_path / "m.onnx")
    up = layers(recipe)[1]
    edited = recomputed(recipe, {up: compute})
    computes = convert(replace(job, recipe=edited), Recorder()).computes
    assert computes[up] is compute
    assert {c for n, c in computes.items() if n != up} == {Compute.STATIC}
    found = describe(job.target)
    assert found.operators.get("MatMulInteger", 0) == (compute is Compute.DYNAMIC)
    size = 32 * 64
    assert found.weight_bytes["int8"] < 32 * 96 + 64 * 32 + 500 or compute is not Compute.FLOAT
    assert (found.weight_bytes["float32"] > 4 * size) == (compute is Compute.FLOAT)


def test_a_convolution_among_others_may_stay_float(tmp_path: Path) -> None:
    job, recipe = job_of(seeded(ConvNet()), IMAGE, target=tmp_path / "m.onnx")
    depthwise = layers(recipe)[1]
    edited = recomputed(recipe, {depthwise: Compute.FLOAT})
    computes = convert(replace(job, recipe=edited), Recorder()).computes
    assert computes[depthwise] is Compute.FLOAT
    stored = {t.name: t.data_type for t in onnx.load(job.target).graph.initializer}
    assert stored["module.depthwise.weight"] == onnx.TensorProto.FLOAT
    assert stored["module.grouped.weight_quantized"] == onnx.TensorProto.INT8


def scales(path: Path) -> dict[str, Array]:
    """Tensor -> the scale that it is quantized with."""
    graph = onnx.load(path).graph
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    return {n.input[0]: stored[n.input[1]] for n in graph.node if n.op_type == "QuantizeLinear"}


def test_a_doubled_range_doubles_the_scale(tmp_path: Path) -> None:
    job, recipe = job_of(seeded(Block()), TOKENS, target=tmp_path / "m.onnx")
    name = next(s.node for s in recipe.steps if "gelu" in s.operator)
    doubled = tuple(
        replace(s, range=Range(2 * s.range.low, 2 * s.range.high))
        if s.node == name and s.range
        else s
        for s in recipe.steps
    )
    found = []
    for each in (recipe, replace(recipe, steps=doubled)):
        convert(replace(job, recipe=each), Recorder())
        found.append(scales(job.target))
    once, twice = found
    assert once.keys() == twice.keys()
    changed = {tensor for tensor in once if once[tensor] != twice[tensor]}
    assert changed == {name}
    assert twice[name] == pytest.approx(2 * once[name])


def test_weights_are_stored_by_the_common_rule(tmp_path: Path) -> None:
    module = seeded(ConvNet())
    assert isinstance(module, ConvNet)
    job, _ = job_of(module, IMAGE, target=tmp_path / "m.onnx")
    convert(job, Recorder())
    graph = onnx.load(job.target).graph
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    want, factors = to_int8(module.depthwise.weight.detach().numpy(), (0,))
    np.testing.assert_array_equal(stored["module.depthwise.weight_quantized"], want)
    np.testing.assert_array_equal(stored["module.depthwise.weight_scale"], factors.ravel())


def test_a_wrong_mapping_is_refused_by_name(tmp_path: Path) -> None:
    job, recipe = job_of(seeded(Alike()), torch.randn(4, 8), target=tmp_path / "m.onnx")
    model, marks = to_onnx(job.program, job.signature)
    prepare(model)
    known = Captured(job.program, job.example)
    first, second = layers(recipe)
    turned = {first: second, second: first}
    wrong = Marks(
        {value: turned.get(name, name) for value, name in marks.values.items()},
        {c: frozenset(turned.get(n, n) for n in names) for c, names in marks.constants.items()},
    )
    assert choose(model, marks, recipe, known, job.example, tmp_path).named(Compute.STATIC)
    with pytest.raises(FormatError, match=r"linear.*aten\.linear.*the numbers of linear"):
        choose(model, wrong, recipe, known, job.example, tmp_path)


def test_what_bears_no_mark_stays_float(tmp_path: Path) -> None:
    job, recipe = job_of(seeded(Alike()), torch.randn(4, 8), target=tmp_path / "m.onnx")
    model, _ = to_onnx(job.program, job.signature)
    prepare(model)
    known = Captured(job.program, job.example)
    assert not choose(model, Marks({}, {}), recipe, known, job.example, tmp_path).computes


@pytest.mark.parametrize("variant", [INT8_STATIC, INT8_DYNAMIC])
def test_tied_and_duplicate_layers(variant: Variant, tmp_path: Path) -> None:
    x = torch.randn(4, 8)
    job, recipe = job_of(twins(), x, target=tmp_path / "m.onnx", variant=variant)
    computes = convert(job, Recorder()).computes
    asked = Compute.STATIC if variant is INT8_STATIC else Compute.DYNAMIC
    found = {n: c for n, c in computes.items() if n.startswith("linear")}
    assert found.keys() >= {"linear_2", "linear_3"}
    assert set(found.values()) == {asked}
    # onnxsim merged two equal ones: the recipe has both, the file does not.
    assert len(found) == len(layers(recipe)) - 1
    with Runner(job.target) as runner:
        for mine, want in zip(runner.run(job.example), eager(twins())(job.example), strict=True):
            assert np.abs(mine - want).max() < 0.1 * np.abs(want).max()


@pytest.mark.parametrize("variant", [INT8_STATIC, INT8_DYNAMIC])
def test_one_of_two_that_share_a_weight_may_stay_float(variant: Variant, tmp_path: Path) -> None:
    job, recipe = job_of(twins(), torch.randn(4, 8), target=tmp_path / "m.onnx", variant=variant)
    edited = recomputed(recipe, {"linear_2": Compute.FLOAT})
    computes = convert(replace(job, recipe=edited), Recorder()).computes
    assert computes["linear_2"] is Compute.FLOAT
    assert computes["linear_3"] is not Compute.FLOAT
    stored = {t.name: t for t in onnx.load(job.target).graph.initializer}
    kept = [n for n, t in stored.items() if n.endswith("_float") and t.data_type == 1]
    assert len(kept) == 1


def test_a_part_of_a_tensor_has_a_range(tmp_path: Path) -> None:
    job, recipe = job_of(seeded(Chunked()), torch.randn(4, 8), target=tmp_path / "m.onnx")
    found, _ = planned(job, recipe, tmp_path)
    products = [n for n, c in found.computes.items() if c is Compute.STATIC]
    assert len(products) >= 3


def test_int8_without_a_recipe_is_a_mistake(tmp_path: Path) -> None:
    job, _ = job_of(seeded(Alike()), torch.randn(4, 8), target=tmp_path / "m.onnx")
    with pytest.raises(ValueError, match="recipe"):
        convert(replace(job, recipe=None), Recorder())
