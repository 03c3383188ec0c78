"""Linear layers as 1x1 convolutions: operators before and after, and the same bits."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import Tensor, nn

from exporter.pipeline.audit import audit
from exporter.runtimes.api import ConvertJob
from exporter.runtimes.tflite.convert import float_file
from exporter.runtimes.tflite.describe import describe, weight_bytes
from exporter.runtimes.tflite.flatbuffer import Graph, Operator, graphs, pack, parse
from exporter.runtimes.tflite.pointwise import as_convolutions
from exporter.runtimes.tflite.quantize import quantize
from exporter.runtimes.tflite.run import Kernels, load
from exporter.types import FP32, INT8_DYNAMIC, INT8_STATIC, Array, Precision, Tensors, Variant
from tests.support import job_for, samples_like
from tests.tflite import models


class Linears(nn.Module):
    """Linear layers of 4, 3 and 2 dimensions, several rows each; three have one weight.

    That one is square: with its axes swapped it would still load.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clipped, self.twice = nn.Linear(6, 10), nn.Linear(10, 10)
        self.unbiased, self.single = nn.Linear(10, 10, bias=False), nn.Linear(10, 1)
        self.unbiased.weight = self.twice.weight

    def forward(self, image: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
        pooled = torch.tanh(torch.relu(self.clipped(image))).sum((1, 2))
        pooled = self.unbiased(pooled)
        tokens = self.twice(torch.tanh(self.twice(tokens)))
        return tokens, pooled, self.single(torch.tanh(pooled))


def inputs() -> tuple[Tensor, ...]:
    return torch.zeros(4, 5, 3, 6), torch.zeros(1, 5, 10)


def job_of(variant: Variant) -> ConvertJob:
    return job_for(
        models.seeded(Linears),
        *inputs(),
        target=Path("m.tflite"),
        variant=variant,
        calibration=samples_like(8, *inputs()),
    )


@pytest.fixture(scope="module")
def floating() -> bytes:
    return float_file(job_of(FP32))


@pytest.fixture(scope="module")
def static(floating: bytes) -> bytes:
    return quantized(floating, INT8_STATIC)


def quantized(floating: bytes, variant: Variant) -> bytes:
    job = job_of(variant)
    assert job.recipe
    return quantize(floating, job, job.recipe)[0]


def test_linear_layers_become_convolutions(static: bytes) -> None:
    rewritten, number = as_convolutions(static)
    before, after = graph_of(static), graph_of(rewritten)
    linear = named(before, "FULLY_CONNECTED")
    assert {len(before.tensors[op.inputs[0]].shape) for op in linear} == {4, 3, 2}
    assert (len(linear), number) == (5, 3)
    assert (len(named(before, "CONV_2D")), len(named(after, "CONV_2D"))) == (0, 3)
    assert len(named(after, "RESHAPE")) == len(named(before, "RESHAPE")) + 6
    stayed = {after.tensors[op.inputs[1]].shape for op in named(after, "FULLY_CONNECTED")}
    assert stayed == {(10, 10), (1, 10)}  # without a bias, with a single scale
    assert (after.inputs, after.outputs) == (before.inputs, before.outputs)


@pytest.mark.parametrize("kernels", Kernels)
def test_the_bits_are_the_same(static: bytes, kernels: Kernels) -> None:
    rewritten, _ = as_convolutions(static)
    for sample in samples_like(8, *inputs(), seed=1):
        want = run(static, kernels, *sample)
        assert all(len(np.unique(w)) > 1 for w in want)
        for w, g in zip(want, run(rewritten, kernels, *sample), strict=True):
            np.testing.assert_array_equal(g, w)


def test_a_fused_activation_is_kept(static: bytes) -> None:
    def fused(content: bytes) -> list[int]:
        operators = parse(content).subgraphs[0].operators
        options = [getattr(op.builtinOptions, "fusedActivationFunction", 0) for op in operators]
        return [o for o in options if o]

    assert fused(as_convolutions(static)[0]) == fused(static) == [1]  # RELU


def test_a_weight_used_thrice_is_stored_once(static: bytes) -> None:
    rewritten, _ = as_convolutions(static)
    before, after = (weight_bytes(graphs(parse(c))) for c in (static, rewritten))
    assert after["int8"] == before["int8"] == 60 + 100 + 10
    matrices, kernels = graph_of(static), graph_of(rewritten)
    numbers = [op.inputs[1] for op in named(kernels, "CONV_2D")]
    assert (len(numbers), len(set(numbers))) == (3, 2)
    assert len(kernels.tensors) == len(matrices.tensors) + 3 * 2 + 1  # one twin of a weight


def test_float_and_dynamic_files_stay_as_they_are(floating: bytes) -> None:
    dynamic = quantized(floating, INT8_DYNAMIC)
    assert as_convolutions(dynamic) == (dynamic, 0)
    assert as_convolutions(floating) == (floating, 0)


def unsymmetric(model: Any, weight: Any) -> None:
    weight.quantization.zeroPoint[0] = 1


def along_depth(model: Any, weight: Any) -> None:
    weight.quantization.quantizedDimension = 1


def computed(model: Any, weight: Any) -> None:
    weight.buffer = 0


def sparse(model: Any, weight: Any) -> None:
    weight.sparsity = object()


def varying(model: Any, weight: Any) -> None:
    for tensor in model.subgraphs[0].tensors:
        tensor.shapeSignature = np.array([-1, *tensor.shape[1:]], np.int32)


def shuffled(model: Any, weight: Any) -> None:
    for op in model.subgraphs[0].operators:
        if hasattr(op.builtinOptions, "weightsFormat"):
            op.builtinOptions.weightsFormat = 1


@pytest.mark.parametrize("change", [unsymmetric, along_depth, computed, sparse, varying, shuffled])
def test_what_is_not_known_to_be_the_same_stays(
    static: bytes, change: Callable[[Any, Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = parse(static)
    graph = graphs(model)[0]
    for number in {op.inputs[1] for op in named(graph, "FULLY_CONNECTED")}:
        change(model, model.subgraphs[0].tensors[number])
    monkeypatch.setattr("exporter.runtimes.tflite.pointwise.parse", lambda content: model)
    assert as_convolutions(static) == (static, 0)


def test_every_subgraph_is_rewritten_for_its_own_signature(static: bytes) -> None:
    model = parse(static)
    model.subgraphs.append(copy.deepcopy(model.subgraphs[0]))
    model.signatureDefs.append(second := copy.deepcopy(model.signatureDefs[0]))
    second.signatureKey, second.subgraphIndex = b"second", 1
    rewritten, number = as_convolutions(content := pack(model))
    assert number == 6
    assert [len(named(g, "CONV_2D")) for g in graphs(parse(rewritten))] == [3, 3]
    ((image, tokens),) = samples_like(1, *inputs())
    loaded = [Interpreter(model_content=c) for c in (content, rewritten)]
    for key in ("serving_default", "second"):
        runners = [interpreter.get_signature_runner(key) for interpreter in loaded]
        want, got = (runner(args_0=image, args_1=tokens) for runner in runners)
        assert len(want) == 3
        for name in want:
            np.testing.assert_array_equal(got[name], want[name])


def test_an_export_says_what_was_asked_for_and_what_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    _, conversion, _ = models.export(models.attention, path, INT8_STATIC)
    assert any("operators are int8 (FULLY_CONNECTED x4)" in note for note in conversion.notes)
    assert any(
        note.startswith("4 FULLY_CONNECTED are stored as 1x1 CONV_2D") for note in conversion.notes
    )
    found = describe(path)
    assert found.operators["CONV_2D"] == 4
    assert "FULLY_CONNECTED" not in found.operators
    assert audit(Precision.INT8, found.weight_bytes) is None
    assert [(s.name, s.shape) for s in found.inputs] == [("input_0", (1, 10, 32))]


def run(content: bytes, kernels: Kernels, *inputs: Array) -> Tensors:
    interpreter = load(content, 1, kernels, "m.tflite")
    for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return tuple(interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details())


def graph_of(content: bytes) -> Graph:
    return graphs(parse(content))[0]


def named(graph: Graph, name: str) -> list[Operator]:
    return [op for op in graph.operators if op.name == name]
