"""Who becomes int8, why the others do not, and what a person may make of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exporter.errors import UserError
from exporter.quantize.decide import check, recipe
from exporter.quantize.marker import mark
from exporter.quantize.ranges import observe
from exporter.quantize.recipe import Recipe
from exporter.types import Compute, Sample, Scheme
from tests.support import captured, samples_like

IMAGE = torch.zeros(1, 3, 8, 8)


class Block(nn.Module):
    """A residual of convolutions, one of them depthwise, and a head behind a layer norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.head = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.relu6(self.stem(x))
        y = nn.functional.avg_pool2d(self.depthwise(y) + y, 2)
        y = y.flatten(2).mean(2)
        return self.head(y + 1)


def decide(module: nn.Module, *inputs: Tensor, samples: tuple[Sample, ...] = ()) -> Recipe:
    """Static where there are samples, else dynamic."""
    program = captured(module, *inputs)
    if samples:
        return recipe(program, Scheme.STATIC, observe(program, samples))
    return recipe(program, Scheme.DYNAMIC)


@pytest.fixture(scope="module")
def static() -> Recipe:
    torch.manual_seed(0)
    return decide(Block(), IMAGE, samples=samples_like(4, IMAGE))


def test_layers_are_static_and_what_lies_between_two_is_too(static: Recipe) -> None:
    computes = {s.node: s.compute for s in static.steps}
    layers = ("conv2d", "relu6", "conv2d_1", "linear")
    assert {computes[n] for n in layers} == {Compute.STATIC}
    # The last sum goes into a layer norm, and drags what is before it along, up to a layer.
    assert {computes[n] for n in ("add", "avg_pool2d", "add_1", "layer_norm")} == {Compute.FLOAT}
    assert static.by_node["add_1"].why == "what is beside it computes in float"
    assert all(s.range for s in static.steps)


def test_a_residual_among_convolutions_is_static() -> None:
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.AvgPool2d(2), nn.Conv2d(3, 4, 1), nn.Flatten())
    found = decide(net.eval(), IMAGE, samples=samples_like(2, IMAGE))
    assert {s.compute for s in found.steps} == {Compute.STATIC}


def test_dynamic_keeps_depthwise_weights_alone_and_has_no_ranges() -> None:
    found = decide(Block(), IMAGE)
    assert [s.compute for s in found.steps if s.macs] == [
        Compute.DYNAMIC,
        Compute.WEIGHT_ONLY,
        Compute.DYNAMIC,
    ]
    assert "kernel" in found.by_node["conv2d_1"].why
    assert not any(s.range for s in found.steps)
    assert found.inputs == (None,)


def test_a_step_says_where_it_is_from_and_what_it_costs(static: Recipe) -> None:
    step = static.by_node["linear"]
    assert (step.operator, step.module) == ("aten.linear.default", "head.1")
    assert step.source.startswith("test_decide.py:")
    assert step.macs == 8 * 4
    assert static.by_node["conv2d"].macs == 8 * 3 * 9 * 64
    assert static.by_node["conv2d_1"].macs == 8 * 9 * 64


@pytest.mark.parametrize(
    ("module", "shape", "macs"),
    [
        (nn.Conv1d(4, 6, 3), (2, 4, 10), 2 * 8 * 6 * 4 * 3),
        (nn.ConvTranspose2d(4, 6, 2, 2), (1, 4, 5, 5), 25 * 4 * 6 * 4),
        (nn.LSTM(4, 6), (5, 2, 4), 10 * 4 * 6 * (4 + 6)),
    ],
)
def test_multiplications_are_counted(module: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: Tensor) -> Tensor:
            out = self.inner(x)
            return out[0] if isinstance(out, tuple) else out

    assert sum(s.macs for s in decide(First(), torch.zeros(shape)).steps) == macs


def test_attention_is_float_and_counted() -> None:
    class Attends(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.scaled_dot_product_attention(x, x, x)

    (step,) = decide(Attends(), torch.zeros(1, 2, 5, 8)).steps
    assert (step.compute, step.macs) == (Compute.FLOAT, 2 * 2 * 5 * 5 * 8)
    assert "both factors" in step.why


def test_embeddings_and_recurrent_layers() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.lstm = nn.Embedding(9, 4), nn.LSTM(4, 4)

        def forward(self, ids: Tensor) -> Tensor:
            return self.lstm(self.table(ids))[0]

    found = decide(Words(), torch.tensor([[1, 2]]))
    assert found.by_node["embedding"].compute is Compute.WEIGHT_ONLY
    assert found.by_node["lstm"].compute is Compute.DYNAMIC


class Mask(nn.Module):
    """A mask as transformers make it, and a layer whose values are huge."""

    def __init__(self) -> None:
        super().__init__()
        self.keep, self.huge = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        mask = (1.0 - self.keep(keep)) * torch.finfo(torch.float32).min
        return (self.huge(x * 1e6) + mask).softmax(-1)


def test_what_no_scale_can_hold_stays_float_with_all_that_leads_to_it() -> None:
    x = torch.ones(1, 3)
    found = decide(Mask(), x, x.clone(), samples=((x.numpy(), np.zeros((1, 3), np.float32)),))
    assert found.by_node["linear"].compute is Compute.FLOAT
    assert "beyond" in found.by_node["linear"].why
    assert found.by_node["linear_1"].compute is Compute.WEIGHT_ONLY
    assert found.by_node["linear_1"].range is None


class Scaled(nn.Module):
    """A result in units of its own, such as 16-bit depth; a mask only if it is added."""

    def __init__(self, *, added: bool) -> None:
        super().__init__()
        self.layer, self.added = nn.Linear(3, 3), added

    def forward(self, x: Tensor) -> Tensor:
        units = torch.sigmoid(self.layer(x)) * 65535.0
        return units + x if self.added else units


@pytest.mark.parametrize("added", [True, False])
def test_a_huge_result_costs_no_layer_its_int8_unless_it_is_a_mask(added: bool) -> None:
    x = torch.ones(1, 3)
    found = decide(Scaled(added=added), x, samples=((x.numpy(),),))
    assert found.by_node["linear"].compute is (Compute.FLOAT if added else Compute.STATIC)


def test_dynamic_ranges_hold_whatever_comes() -> None:
    x = torch.ones(1, 3)
    found = decide(Mask(), x, x.clone())
    assert found.by_node["linear"].compute is found.by_node["linear_1"].compute is Compute.DYNAMIC


def test_a_huge_number_makes_a_mask_even_where_no_sample_shows_it() -> None:
    class Hides(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(torch.relu(self.first(x)) * -1e9)

    found = decide(Hides(), torch.ones(1, 3), samples=((np.zeros((1, 3), np.float32),),))
    assert found.by_node["mul"].compute is Compute.FLOAT
    assert "beyond" in found.by_node["mul"].why


def test_a_product_of_constants_stays_float() -> None:
    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)
            self.register_buffer("state", torch.zeros(1, 3))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.layer(self.state)

    assert decide(First(), torch.ones(1, 3)).by_node["linear"].compute is Compute.FLOAT


def test_json_says_the_same(static: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(static.to_json())
    assert Recipe.read(path) == static
    check(Recipe.read(path), static)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["steps"][0].update(compute="int4"), "steps.0.compute"),
        (lambda d: d["steps"][0]["range"].update(low="NaN"), "steps.0.range.low"),
        (lambda d: d["steps"][0].update(speed=1), "steps.0.speed"),
        (lambda d: d.pop("inputs"), "inputs"),
    ],
)
def test_json_that_is_no_recipe_is_refused(static, tmp_path, change, words) -> None:
    document = json.loads(static.to_json())
    change(document)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match=rf"is no recipe: {words}"):
        Recipe.read(path)
    with pytest.raises(UserError, match="cannot be read"):
        Recipe.read(tmp_path / "none.json")


def test_a_recipe_for_something_else_is_refused(static: Recipe) -> None:
    steps = static.steps
    renamed = replace(steps[0], node="conv_99")
    with pytest.raises(UserError, match="`conv_99`, which the model does not have"):
        check(Recipe(static.scheme, static.inputs, (renamed, *steps[1:])), static)
    with pytest.raises(UserError, match="does not say what becomes of `conv2d`"):
        check(Recipe(static.scheme, static.inputs, steps[1:]), static)
    with pytest.raises(UserError, match="dynamic for 1 inputs"):
        check(Recipe(Scheme.DYNAMIC, static.inputs, steps), static)


def test_calls_that_make_no_sense_are_bugs() -> None:
    program = captured(Block(), IMAGE)
    with pytest.raises(ValueError, match="static without ranges"):
        recipe(program, Scheme.STATIC)
    with pytest.raises(ValueError, match="float"):
        recipe(program, Scheme.FLOAT)
    mark(program)
    with pytest.raises(ValueError, match="marked already"):
        recipe(program, Scheme.DYNAMIC)


def test_a_dynamic_recipe_has_no_ranges_for_static_steps() -> None:
    made = decide(nn.Linear(3, 3), torch.ones(1, 3))
    steps = tuple(replace(step, compute=Compute.STATIC) for step in made.steps)
    with pytest.raises(UserError, match="static"):
        check(replace(made, steps=steps), made)


def test_a_range_that_holds_nothing_is_refused(tmp_path: Path) -> None:
    x = torch.ones(1, 3)
    made = decide(nn.Linear(3, 3), x, samples=((x.numpy(),),))
    document = json.loads(made.to_json())
    document["steps"][0]["range"] = {"low": 2.0, "high": -1.0}
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"steps\.0\.range.*low 2 is above high -1"):
        Recipe.read(path)


def test_a_sample_that_the_model_does_not_run_on_is_refused() -> None:
    table, ids = nn.Embedding(4, 2), torch.tensor([[1, 2]])
    with pytest.raises(UserError, match="calibration sample 2"):
        observe(captured(table, ids), ((ids.numpy(),), (ids.numpy() + 3,)))
