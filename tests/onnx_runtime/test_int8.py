"""Int8 .onnx: what is quantized, how well, and that ONNX Runtime really runs it as int8."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from exporter.errors import FormatError
from exporter.passes import SHARED, apply
from exporter.quantize.recipe import Recipe
from exporter.runtimes.api import Conversion, ConvertJob
from exporter.runtimes.onnx.audit import int8_share
from exporter.runtimes.onnx.convert import convert
from exporter.runtimes.onnx.describe import describe
from exporter.runtimes.onnx.run import Runner
from exporter.types import INT8_DYNAMIC, INT8_STATIC, Array, Compute, Sample, Stage, Variant
from tests.onnx_runtime.models import Block, ConvNet, Odd, TextModel, seeded
from tests.support import Recorder, captured, eager, job_for, samples_like

IMAGE = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
TEXT = (torch.arange(7)[None] * 13, torch.ones(1, 7))


def sqnr(reference: Array, actual: Array) -> float:
    noise = np.square(reference - actual).sum()
    return float(10 * np.log10(np.square(reference).sum() / noise))


def prepared(
    model: torch.nn.Module,
    *inputs: torch.Tensor,
    target: Path,
    variant: Variant,
    calibration: tuple[Sample, ...] = (),
) -> ConvertJob:
    """A job as the pipeline makes it: batch norm is folded before anything is decided."""
    program, _ = apply(captured(model, *inputs), SHARED)
    return job_for(
        model, *inputs, target=target, program=program, variant=variant, calibration=calibration
    )


def int8(
    model: torch.nn.Module,
    *inputs: torch.Tensor,
    target: Path,
    variant: Variant,
    calibration: tuple[Sample, ...] = (),
) -> tuple[Conversion, Recorder]:
    job = prepared(model, *inputs, target=target, variant=variant, calibration=calibration)
    recorder = Recorder()
    return convert(job, recorder), recorder


def assert_close(
    model: torch.nn.Module, path: Path, samples: tuple[Sample, ...], recorder: Recorder, db: float
) -> None:
    """The artifact and the plain quantized graph are both within `db` of eager."""
    with Runner(path) as runner:
        for sample in samples:
            reference = eager(model)(sample)[0]
            assert sqnr(reference, runner.run(sample)[0]) > db
            assert sqnr(reference, recorder.runs[Stage.QUANTIZED](sample)[0]) > db


def test_static_convolutions_run_as_int8(tmp_path: Path) -> None:
    model, target = seeded(ConvNet()), tmp_path / "m.onnx"
    samples = samples_like(8, IMAGE)
    conversion, recorder = int8(
        model, IMAGE, target=target, variant=INT8_STATIC, calibration=samples
    )
    assert "3 of 3 convolutions run as int8" in conversion.notes
    assert "1 of 1 matrix products run as int8" in conversion.notes
    found = describe(target)
    # Each of 4 weights and biases, and the activations between, come out of a DequantizeLinear.
    assert found.operators["DequantizeLinear"] >= 8 + found.operators["QuantizeLinear"] - 1
    assert found.operators["Conv"] == 3
    assert "Clip" not in found.operators  # the quantized range holds it
    assert_close(model, target, samples_like(4, IMAGE, seed=1), recorder, 25)


def test_static_weights_are_symmetric_per_channel_and_activations_per_tensor(
    tmp_path: Path,
) -> None:
    model, target = seeded(ConvNet()), tmp_path / "m.onnx"
    calibration = samples_like(4, IMAGE)
    int8(model, IMAGE, target=target, variant=INT8_STATIC, calibration=calibration)
    graph = onnx.load(target).graph
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    weights = [n for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in tensors]
    kernels = [n for n in weights if tensors[n.input[0]].ndim == 4]
    assert len(kernels) == 3
    for node in kernels:
        values, scale, zero = (tensors[name] for name in node.input)
        assert values.dtype == np.int8
        assert scale.shape == (values.shape[0],)
        assert not zero.any()
    quantizers = [n for n in graph.node if n.op_type == "QuantizeLinear"]
    assert quantizers
    assert all(tensors[n.input[1]].size == 1 for n in quantizers)


def test_static_transformer_keeps_attention_and_residual_float(tmp_path: Path) -> None:
    model, target = seeded(Block()), tmp_path / "m.onnx"
    tokens = torch.randn(1, 5, 32)
    conversion, recorder = int8(
        model, tokens, target=target, variant=INT8_STATIC, calibration=samples_like(8, tokens)
    )
    assert "3 of 3 matrix products run as int8" in conversion.notes
    found = describe(target).operators
    assert found["QuantizeLinear"] == 3  # the input of each linear layer, and nothing else
    assert_close(model, target, samples_like(4, tokens, seed=1), recorder, 25)


def without_ranges(job: ConvertJob) -> Recipe:
    assert job.recipe
    return replace(job.recipe, steps=tuple(replace(s, range=None) for s in job.recipe.steps))


def test_static_needs_samples(tmp_path: Path) -> None:
    job = prepared(
        seeded(ConvNet()),
        IMAGE,
        target=tmp_path / "m.onnx",
        variant=INT8_STATIC,
        calibration=samples_like(1, IMAGE),
    )
    with pytest.raises(FormatError, match="calibration"):
        convert(replace(job, recipe=without_ranges(job)), Recorder())
    assert not list(tmp_path.iterdir())


def test_dynamic_products_run_as_int8(tmp_path: Path) -> None:
    model, target = seeded(Block()), tmp_path / "m.onnx"
    tokens = torch.randn(1, 5, 32)
    conversion, recorder = int8(model, tokens, target=target, variant=INT8_DYNAMIC)
    assert "3 of 3 matrix products run as int8" in conversion.notes
    found = describe(target).operators
    assert found["MatMulInteger"] == 3
    assert found["MatMul"] == 2  # both products of attention
    assert "Gemm" not in found
    assert_close(model, target, samples_like(4, tokens), recorder, 30)


def test_a_product_of_a_product_and_of_an_embedding(tmp_path: Path) -> None:
    """What each makes has a name of its own, though the next one quantizes its result."""

    class Narrow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 8))

        def forward(self, words: torch.Tensor) -> torch.Tensor:
            return self.layers(words)

    words = torch.arange(5)[None]
    target = tmp_path / "m.onnx"
    conversion, recorder = int8(seeded(Narrow()), words, target=target, variant=INT8_DYNAMIC)
    assert "2 of 2 matrix products run as int8" in conversion.notes
    assert_close(seeded(Narrow()), target, ((words.numpy(),),), recorder, 30)


def test_dynamic_convolutions_have_int8_weights(tmp_path: Path) -> None:
    model, target = seeded(ConvNet()), tmp_path / "m.onnx"
    conversion, recorder = int8(model, IMAGE, target=target, variant=INT8_DYNAMIC)
    layers = {n: c for n, c in conversion.computes.items() if "conv" in n}
    assert set(layers.values()) == {Compute.WEIGHT_ONLY}
    assert len(layers) == 3
    assert "0 of 3 convolutions run as int8" in conversion.notes
    assert describe(target).weight_bytes["int8"] == 16 * 3 * 9 + 16 * 9 + 16 * 8 + 160
    assert_close(model, target, samples_like(4, IMAGE), recorder, 30)


@pytest.mark.parametrize("variant", [INT8_STATIC, INT8_DYNAMIC])
def test_embeddings_and_recurrent_layers_have_int8_weights(
    variant: Variant, tmp_path: Path
) -> None:
    model, target = seeded(TextModel()), tmp_path / "m.onnx"
    sample = tuple(x.numpy() for x in TEXT)
    calibration = (sample,) if variant is INT8_STATIC else ()
    conversion, recorder = int8(
        model, *TEXT, target=target, variant=variant, calibration=calibration
    )
    stored = {n for n, c in conversion.computes.items() if c is Compute.WEIGHT_ONLY}
    assert stored == {"embedding", "lstm"}
    assert "2 of 2 matrix products run as int8" in conversion.notes  # both uses of the shared layer
    weights = describe(target).weight_bytes
    table, recurrent, shared = 200 * 32, 2 * 4 * 32 * (32 + 32), 64 * 64
    assert weights["int8"] >= table + recurrent + shared
    assert weights["int8"] < table + recurrent + 2 * shared + 64
    assert weights["float32"] < 0.3 * weights["int8"]
    assert_close(model, target, (sample,), recorder, 25)
    with Runner(target) as runner:
        np.testing.assert_array_equal(runner.run(sample)[1], sample[0])


@pytest.mark.parametrize("variant", [INT8_STATIC, INT8_DYNAMIC])
def test_transposed_convolutions_and_gru(variant: Variant, tmp_path: Path) -> None:
    model, target = seeded(Odd()), tmp_path / "m.onnx"
    x = torch.randn(1, 4, 10)
    calibration = samples_like(8, x) if variant is INT8_STATIC else ()
    conversion, recorder = int8(model, x, target=target, variant=variant, calibration=calibration)
    stored = {n for n, c in conversion.computes.items() if c is Compute.WEIGHT_ONLY}
    assert stored >= {"gru", "conv_transpose1d", "conv_transpose1d_1"}
    share = "1 of 3" if variant is INT8_STATIC else "0 of 3"
    assert any(
        n.startswith((f"{share} convolutions", "NOTHING RUNS AS INT8")) for n in conversion.notes
    )
    assert_close(model, target, samples_like(4, x, seed=1), recorder, 25)


def test_a_corrupted_model_shows_in_the_numbers(tmp_path: Path) -> None:
    model, target = seeded(ConvNet()), tmp_path / "m.onnx"
    int8(model, IMAGE, target=target, variant=INT8_STATIC, calibration=samples_like(8, IMAGE))
    broken = onnx.load(target)
    int8_tensors = [t for t in broken.graph.initializer if t.data_type == onnx.TensorProto.INT8]
    kernel = next(t for t in int8_tensors if len(t.dims) == 4)
    kernel.raw_data = kernel.raw_data[::-1]
    onnx.save(broken, target)
    sample = samples_like(1, IMAGE, seed=1)[0]
    with Runner(target) as runner:
        assert sqnr(eager(model)(sample)[0], runner.run(sample)[0]) < 15


def test_a_file_that_is_float_inside_is_called_out(tmp_path: Path) -> None:
    target = tmp_path / "m.onnx"
    convert(job_for(seeded(ConvNet()), IMAGE, target=target), Recorder())
    assert int8_share(target, tmp_path)[0].startswith("NOTHING RUNS AS INT8")


def test_no_temporary_files_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    for variant in (INT8_STATIC, INT8_DYNAMIC):
        calibration = samples_like(2, IMAGE) if variant is INT8_STATIC else ()
        target = out / "m.onnx"
        int8(seeded(ConvNet()), IMAGE, target=target, variant=variant, calibration=calibration)
        assert list(out.iterdir()) == [target]
    assert not list(scratch.iterdir())


def test_int8_with_weights_beside_the_model(tmp_path: Path) -> None:
    model, target = seeded(Block()), tmp_path / "m.onnx"
    tokens = torch.randn(1, 5, 32)
    job = prepared(
        model,
        tokens,
        target=target,
        variant=INT8_STATIC,
        calibration=samples_like(8, tokens),
    )
    recorder = Recorder()
    convert(job, recorder, single_file_limit=100)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]
    assert_close(model, target, samples_like(2, tokens, seed=1), recorder, 25)


def test_efficientnet_static_is_int8_and_small(
    efficientnet_lite0: torch.nn.Module,
    photo_samples: tuple[tuple[Sample, ...], tuple[Sample, ...]],
    tmp_path: Path,
) -> None:
    calibration, held_out = photo_samples
    image = torch.from_numpy(held_out[0][0])
    target = tmp_path / "m.onnx"
    conversion, recorder = int8(
        efficientnet_lite0,
        image,
        target=target,
        variant=INT8_STATIC,
        calibration=calibration[:8],
    )
    assert "49 of 49 convolutions run as int8" in conversion.notes
    float_bytes = sum(p.nbytes for p in efficientnet_lite0.parameters())
    assert target.stat().st_size < 0.30 * float_bytes
    assert_close(efficientnet_lite0, target, held_out[:2], recorder, 10)
