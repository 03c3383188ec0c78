"""Float32 and float16 .onnx: right numbers, the user's names, nothing of this machine inside."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from exporter.errors import FormatError
from exporter.runtimes.libraries import lacking
from exporter.runtimes.onnx import simplify as simplifier
from exporter.runtimes.onnx.convert import convert
from exporter.runtimes.onnx.describe import describe
from exporter.runtimes.onnx.program import OPSET, to_onnx
from exporter.runtimes.onnx.run import FREE, Runner
from exporter.types import FP16, Format, Signature, Stage, TensorSpec
from tests.onnx_runtime.models import (
    Block,
    ConvNet,
    Odd,
    PassThrough,
    Projected,
    TextModel,
    Unconvertible,
    seeded,
)
from tests.support import Flat, Recorder, captured, eager, job_for, signature_of

IMAGE = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
TOKENS = torch.arange(7)[None] * 13
MASK = torch.ones(1, 7)

MODELS = [
    pytest.param(ConvNet, (IMAGE,), id="convolutions and batch norm"),
    pytest.param(Block, (torch.linspace(-2, 2, 5 * 32).reshape(1, 5, 32),), id="attention"),
    pytest.param(TextModel, (TOKENS, MASK), id="integer inputs, LSTM, two outputs"),
    pytest.param(Odd, (torch.linspace(-1, 1, 40).reshape(1, 4, 10),), id="GRU, conv1d, transposed"),
    pytest.param(Projected, (torch.linspace(-1, 1, 24).reshape(3, 1, 8),), id="LSTM projections"),
    pytest.param(PassThrough, (torch.ones(2, 3),), id="outputs that are input or constant"),
]


def operators(path: Path) -> Counter[str]:
    return Counter(describe(path).operators)


@pytest.mark.parametrize(("kind", "inputs"), MODELS)
def test_float32_equals_eager(kind: type, inputs: tuple[torch.Tensor, ...], tmp_path: Path) -> None:
    model = seeded(kind())
    job = job_for(model, *inputs, target=tmp_path / "m.fp32.onnx")
    recorder = Recorder()
    conversion = convert(job, recorder)
    with Runner(job.target) as runner:
        outputs = runner.run(job.example)
    reference = eager(model)(job.example)
    for mine, theirs in zip(outputs, reference, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
    assert f"opset {OPSET}" in conversion.notes
    assert not recorder.runs  # nothing is quantized, so there is nothing to check in between
    assert list(tmp_path.iterdir()) == [job.target]


@pytest.mark.parametrize(("kind", "inputs"), MODELS)
def test_float16_is_close_and_half_as_large(
    kind: type, inputs: tuple[torch.Tensor, ...], tmp_path: Path
) -> None:
    model = seeded(kind())
    job = job_for(model, *inputs, target=tmp_path / "m.onnx", variant=FP16)
    recorder = Recorder()
    convert(job, recorder)
    with Runner(job.target) as runner:
        outputs = runner.run(job.example)
    plain = recorder.runs[Stage.QUANTIZED](job.example)
    for mine, written, theirs in zip(outputs, plain, eager(model)(job.example), strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, atol=0.05, rtol=0.02)
        np.testing.assert_allclose(written, theirs, atol=0.05, rtol=0.02)
    weights = describe(job.target).weight_bytes
    assert weights.get("float16", 0) > weights.get("float32", 0) or kind is PassThrough


@pytest.mark.parametrize("weight", [300.0, 90000.0])
def test_float16_that_overflows_keeps_float32_compute(weight: float, tmp_path: Path) -> None:
    class Large(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.full((8,), weight))
            self.shift = torch.nn.Parameter(torch.ones(8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return ((x * self.scale) * 300 + self.shift).sqrt()

    model = Large()
    job = job_for(model, torch.full((1, 8), 4.0), target=tmp_path / "m.onnx")
    conversion = convert(replace(job, variant=FP16), Recorder())
    assert any("more than float16 holds" in note for note in conversion.notes)
    with Runner(job.target) as runner:
        reference = eager(model)(job.example)[0]
        np.testing.assert_allclose(runner.run(job.example)[0], reference, rtol=1e-3)
    assert "float16" in describe(job.target).weight_bytes


def test_float16_holds_a_mask_of_minus_infinity(tmp_path: Path) -> None:
    class Masked(torch.nn.Module):
        def forward(self, x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
            mask = torch.where(keep > 0, 0.0, torch.finfo(torch.float32).min)
            return (x + mask).softmax(-1)

    inputs = torch.randn(2, 8), torch.tensor([[1.0] * 5 + [0.0] * 3])
    job = job_for(Masked(), *inputs, target=tmp_path / "m.onnx", variant=FP16)
    conversion = convert(job, Recorder())
    assert not any("float32 compute" in note for note in conversion.notes)
    with Runner(job.target) as runner:
        reference = eager(Masked())(job.example)[0]
        np.testing.assert_allclose(runner.run(job.example)[0], reference, atol=1e-3)


def test_batch_norm_is_folded_and_gelu_is_one_node(tmp_path: Path) -> None:
    conv = job_for(seeded(ConvNet()), IMAGE, target=tmp_path / "a.onnx")
    convert(conv, Recorder())
    assert any("batch_norm" in str(n.target) for n in conv.program.graph.nodes)
    assert operators(conv.target)["BatchNormalization"] == 0
    assert operators(conv.target)["Conv"] == 3
    block = job_for(seeded(Block()), torch.randn(1, 5, 32), target=tmp_path / "b.onnx")
    convert(block, Recorder())
    assert operators(block.target)["Gelu"] == 1
    assert operators(block.target)["LayerNormalization"] == 1


def test_nothing_of_this_machine_is_in_the_file(tmp_path: Path) -> None:
    job = job_for(seeded(TextModel()), TOKENS, MASK, target=tmp_path / "m.onnx")
    convert(job, Recorder())
    content = job.target.read_bytes()
    for trace in (__file__, str(Path(torch.__file__).parent), str(tmp_path), "forward"):
        assert trace.encode() not in content
    nodes = job.program.graph.nodes  # ... although it was there to begin with
    assert any("forward" in (n.meta.get("stack_trace") or "") for n in nodes)
    props = {p.key: p.value for p in onnx.load(job.target).metadata_props}
    assert props["precision"] == "fp32"


@pytest.mark.parametrize(
    ("shape", "masked"), [((5, 8), False), ((2, 5, 8), True), ((2, 3, 5, 8), True)]
)
def test_attention_without_heads_or_batch(
    shape: tuple[int, ...], masked: bool, tmp_path: Path
) -> None:
    class Attention(torch.nn.Module):
        def forward(self, q: torch.Tensor, k: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            bias = mask if masked else None
            return torch.nn.functional.scaled_dot_product_attention(q, k, k * 2, bias, scale=0.2)

    inputs = torch.randn(shape), torch.randn(shape), torch.randn(*shape[:-2], 5, 5)
    job = job_for(Attention(), *inputs, target=tmp_path / "m.onnx")
    convert(job, Recorder())
    with Runner(job.target) as runner:
        reference = eager(Attention())(job.example)[0]
        np.testing.assert_allclose(runner.run(job.example)[0], reference, atol=1e-5)


def test_names_are_the_users_even_where_the_graph_uses_them(tmp_path: Path) -> None:
    class Colliding(torch.nn.Module):
        def forward(self, x: torch.Tensor, _unused: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return torch.relu(x) * 2, torch.sigmoid(x)

    model, inputs = Colliding(), (torch.randn(2, 3), torch.randn(1))
    spec = signature_of(model, *inputs)
    names = Signature(
        tuple(replace(s, name=n) for s, n in zip(spec.inputs, ("relu", "mul"), strict=True)),
        tuple(replace(s, name=n) for s, n in zip(spec.outputs, ("sigmoid", "relu"), strict=True)),
    )
    job = replace(job_for(model, *inputs, target=tmp_path / "m.onnx"), signature=names)
    convert(job, Recorder())
    found = describe(job.target)
    assert [s.name for s in found.inputs] == ["relu", "mul"]
    assert [s.name for s in found.outputs] == ["sigmoid", "relu_out"]
    with Runner(job.target) as runner:
        outputs = runner.run(job.example)
    for mine, theirs in zip(outputs, eager(model)(job.example), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


@pytest.mark.parametrize("kind", [ConvNet, Block])
def test_dynamic_batch(kind: type, tmp_path: Path) -> None:
    model = seeded(kind())
    shape = (3, 16, 16) if kind is ConvNet else (5, 32)
    x = torch.randn(2, *shape)
    batch = torch.export.Dim("batch", min=1, max=64)
    with torch.no_grad():
        program = torch.export.export(
            Flat(model), (x,), dynamic_shapes=(({0: batch},),), strict=False
        )
    job = job_for(model, x, target=tmp_path / "m.onnx", program=program)
    convert(replace(job, dynamic_batch=True), Recorder())
    with Runner(job.target) as runner:
        assert runner.inputs[0].shape == (FREE, *shape)
        for size in (1, 2, 5):
            sample = (np.random.default_rng(size).standard_normal((size, *shape), np.float32),)
            np.testing.assert_allclose(runner.run(sample)[0], eager(model)(sample)[0], atol=1e-4)
    dims = onnx.load(job.target).graph.input[0].type.tensor_type.shape.dim
    assert dims[0].dim_param == "batch"


def test_unconvertible_operator_is_named_with_its_source_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job = job_for(Unconvertible(), torch.randn(3, 3), target=tmp_path / "m.onnx")
    with pytest.raises(FormatError) as caught:
        convert(job, Recorder())
    assert "linalg_svd" in caught.value.reason
    assert "models.py" in caught.value.reason
    assert "torch.linalg.svd(x * 2)" in caught.value.reason
    assert "\n" not in caught.value.reason
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().out == ""


def test_conversion_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    convert(job_for(seeded(ConvNet()), IMAGE, target=tmp_path / "m.onnx"), Recorder())
    assert capfd.readouterr().out == ""


def test_weights_beyond_the_limit_lie_beside_the_model(tmp_path: Path) -> None:
    model = seeded(ConvNet())
    job = job_for(model, IMAGE, target=tmp_path / "m.fp32.onnx")
    beside = tmp_path / "m.fp32.onnx.data"
    beside.write_bytes(b"left over from an earlier run")
    for _ in range(2):  # a second run must not append to the first one's data
        conversion = convert(job, Recorder(), single_file_limit=1000)
    assert any(beside.name in note for note in conversion.notes)
    assert 1700 < beside.stat().st_size < 6000
    found = describe(job.target)
    assert found.size == job.target.stat().st_size + beside.stat().st_size
    assert found.details["external data"] == beside.name
    assert found.weight_bytes["float32"] > 3000
    with Runner(job.target) as runner:
        reference = eager(model)(job.example)[0]
        np.testing.assert_allclose(runner.run(job.example)[0], reference, atol=1e-5)
    convert(job, Recorder())
    assert not beside.exists()


def test_a_wrong_simplification_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = to_onnx(captured(seeded(ConvNet()), IMAGE), signature_of(ConvNet(), IMAGE))

    def broken(original: onnx.ModelProto) -> tuple[onnx.ModelProto, bool]:
        wrong = onnx.ModelProto()
        wrong.CopyFrom(original)
        weight = next(t for t in wrong.graph.initializer if len(t.dims) == 4)
        weight.raw_data = weight.raw_data[4:] + weight.raw_data[:4]
        return wrong, True

    monkeypatch.setattr(simplifier.onnxsim, "simplify", broken)
    kept, notes = simplifier.simplify(model, (IMAGE.numpy(),), tmp_path)
    assert kept is model
    assert "not simplified" in notes[0]
    assert "outputs differed" in notes[0]


def test_a_failing_simplifier_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_model: onnx.ModelProto) -> tuple[onnx.ModelProto, bool]:
        raise RuntimeError("no schema")

    monkeypatch.setattr(simplifier.onnxsim, "simplify", fails)
    model = seeded(ConvNet())
    job = job_for(model, IMAGE, target=tmp_path / "m.onnx")
    conversion = convert(job, Recorder())
    assert "not simplified: onnxsim failed (no schema)" in conversion.notes
    with Runner(job.target) as runner:
        reference = eager(model)(job.example)[0]
        np.testing.assert_allclose(runner.run(job.example)[0], reference, atol=1e-5)


def test_describe_reads_signature_and_operators(tmp_path: Path) -> None:
    job = job_for(seeded(TextModel()), TOKENS, MASK, target=tmp_path / "m.onnx")
    convert(job, Recorder())
    found = describe(job.target)
    assert found.kind == f"ONNX model, opset {OPSET}"
    assert found.inputs == (
        TensorSpec("input_0", (1, 7), "int64"),
        TensorSpec("input_1", (1, 7), "float32"),
    )
    assert found.operators["LSTM"] == 1
    assert found.details["producer"].startswith("export-mobile")
    assert found.size == job.target.stat().st_size


def test_the_operator_sets_that_are_used_are_needed(tmp_path: Path) -> None:
    job = job_for(seeded(ConvNet()), IMAGE, target=tmp_path / "m.onnx")
    convert(job, Recorder())
    needs = describe(job.target).needs
    assert needs.facts == {"opset": str(OPSET), "IR version": needs.versions["IR version"]}
    assert lacking(Format.ONNX, needs) == ()

    model = onnx.load(job.target)
    model.opset_import[0].version = 27
    model.opset_import.append(onnx.helper.make_opsetid("not.used", 1))
    model.opset_import.append(onnx.helper.make_opsetid("mine", 2))
    model.graph.node[0].domain = "mine"
    onnx.save(model, job.target)
    needs = describe(job.target).needs
    assert needs.versions.items() >= {"opset": "27", "opset mine": "2"}.items()
    assert "opset not.used" not in needs.versions
    assert lacking(Format.ONNX, needs) == (
        "ONNX Runtime 1.29.0 is too old for opset 27: it takes up to 26",
        "ONNX Runtime 1.29.0 does not know opset mine",
    )
