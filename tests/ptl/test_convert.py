"""From a captured program to a `.ptl` that the Lite Interpreter runs: operators and numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.jit.mobile import _load_for_lite_interpreter

from exporter import passes
from exporter.errors import FormatError
from exporter.runtimes.libraries import lacking
from exporter.runtimes.ptl import graph, int8, kernels
from exporter.runtimes.ptl.convert import convert, convert_script
from exporter.runtimes.ptl.describe import describe
from exporter.runtimes.ptl.engine import QNNPACK
from exporter.runtimes.ptl.run import Runner
from exporter.types import (
    FP16,
    FP32,
    INT8_DYNAMIC,
    INT8_STATIC,
    Compute,
    Format,
    Signature,
    Stage,
    TensorSpec,
    Variant,
)
from tests.ptl.models import Attention, case, make, worst_sqnr
from tests.support import Recorder, captured, eager, job_for

pytestmark = pytest.mark.filterwarnings("ignore")

SAME = 100.0
"""dB beyond which two results differ by float rounding only."""


@pytest.mark.parametrize("name", ["residual", "attention", "recurrent", "signal"])
def test_float_is_exact(name: str, tmp_path: Path) -> None:
    made = make(case(name), FP32, tmp_path / "m.ptl")
    assert worst_sqnr(made.original, made.artifact) > SAME


@pytest.mark.parametrize("name", ["residual", "attention", "recurrent", "signal"])
def test_half_stores_float16(name: str, tmp_path: Path) -> None:
    target = tmp_path / "m.ptl"
    made = make(case(name), FP16, target)
    assert worst_sqnr(made.original, made.artifact) > 55
    stored = describe(target).weight_bytes
    assert stored["float16"] > 4 * stored.get("float32", 0)


STATIC_KERNELS = {
    "residual": {
        "quantized::conv2d.new": 3,
        "quantized::conv2d_relu.new": 1,
        "quantized::add_relu": 1,
        "quantized::mul": 1,
        "quantized::cat": 1,
        "quantized::linear": 1,
        "aten::max_pool2d": 1,
        "aten::adaptive_avg_pool2d": 1,
        "aten::quantize_per_tensor": 1,
        "aten::dequantize.self": 1,
    },
    "attention": {"quantized::linear": 4, "quantized::add": 2, "aten::layer_norm": 1},
    "recurrent": {"quantized::linear": 1, "aten::lstm.input": 1, "aten::embedding": 2},
    "signal": {
        "quantized::conv1d_relu": 1,
        "quantized::conv_transpose1d": 1,
        "quantized::conv_transpose2d": 1,
    },
}


@pytest.mark.parametrize("name", STATIC_KERNELS)
def test_static_runs_int8_kernels_and_equals_its_graph(name: str, tmp_path: Path) -> None:
    target = tmp_path / "m.ptl"
    made = make(case(name), INT8_STATIC, target)
    description = describe(target)
    found = description.operators
    assert {k: found.get(k, 0) for k in STATIC_KERNELS[name]} == STATIC_KERNELS[name]
    assert not {"aten::conv2d", "aten::conv1d", "aten::linear"} & found.keys()
    # The LSTM's weights are int8 in the file only, and the rest is the graph's own arithmetic.
    assert worst_sqnr(made.graph, made.artifact) > (35 if name == "recurrent" else 45)
    assert worst_sqnr(made.original, made.artifact) > 25


@pytest.mark.parametrize(
    ("name", "kernels"), [("residual", 1), ("attention", 4), ("recurrent", 1), ("signal", 0)]
)
def test_dynamic_runs_int8_linears_on_int8_weights(name: str, kernels: int, tmp_path: Path) -> None:
    target = tmp_path / "m.ptl"
    made = make(case(name), INT8_DYNAMIC, target)
    description = describe(target)
    assert description.operators.get("quantized::linear_dynamic", 0) == kernels
    assert "aten::linear" not in description.operators
    assert worst_sqnr(made.graph, made.artifact) > 30
    assert worst_sqnr(made.original, made.artifact) > 30


@pytest.mark.parametrize("variant", [INT8_STATIC, INT8_DYNAMIC], ids=str)
@pytest.mark.parametrize("name", ["residual", "attention", "recurrent", "signal"])
def test_int8_holds_no_float_weights(name: str, variant: Variant, tmp_path: Path) -> None:
    one = case(name)
    make(one, variant, tmp_path / "m.ptl")
    stored = describe(tmp_path / "m.ptl").weight_bytes
    matrices = [p for p in one.model.parameters() if p.dim() > 1]
    assert stored["int8"] >= sum(p.numel() for p in matrices)
    vectors = sum(p.numel() for p in one.model.parameters() if p.dim() == 1)
    rows = sum(p.shape[0] for p in matrices)  # scales of embeddings, zero biases of packed layers
    assert stored["float32"] <= 4 * (vectors + rows)


def test_notes_tell_what_computes_in_float(tmp_path: Path) -> None:
    made = make(case("recurrent"), INT8_DYNAMIC, tmp_path / "m.ptl")
    passes, kernels_used, weight_only = made.conversion.notes
    assert "freeze" in passes
    assert "1 quantized::linear_dynamic" in kernels_used
    assert "1 aten.lstm.input" in weight_only


@pytest.mark.parametrize(
    ("name", "variant", "expected"),
    [
        ("residual", INT8_STATIC, {Compute.STATIC: 15}),
        ("residual", INT8_DYNAMIC, {Compute.WEIGHT_ONLY: 4, Compute.DYNAMIC: 1}),
        ("recurrent", INT8_STATIC, {Compute.WEIGHT_ONLY: 2, Compute.STATIC: 1}),
        ("signal", INT8_DYNAMIC, {Compute.WEIGHT_ONLY: 3}),
        ("attention", INT8_STATIC, {Compute.STATIC: 6, Compute.FLOAT: 1}),
    ],
)
def test_how_each_captured_operator_computes_is_told(
    name: str, variant: Variant, expected: dict[Compute, int], tmp_path: Path
) -> None:
    made = make(case(name), variant, tmp_path / "m.ptl", passes.for_format(Format.PTL))
    assert Counter(made.conversion.computes.values()) == expected


def test_an_edited_recipe_is_honoured(tmp_path: Path) -> None:
    one, target = case("attention"), tmp_path / "m.ptl"
    edit = {"linear_1": Compute.FLOAT, "linear_2": Compute.WEIGHT_ONLY}
    made = make(one, INT8_STATIC, target, edit=edit)
    assert {k: made.conversion.computes[k] for k in edit} == edit
    found = describe(target).operators
    assert (found["quantized::linear"], found["aten::linear"]) == (2, 2)
    stored = describe(target).weight_bytes
    assert stored["int8"] == 16 * 48 + 2 * 16 * 32
    assert stored["float32"] >= 4 * 16 * 16


def test_a_wrong_zero_point_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "_OFFSET", 120)
    made = make(case("residual"), INT8_STATIC, tmp_path / "m.ptl")
    assert worst_sqnr(made.graph, made.artifact) < 35


def test_a_clamp_of_its_own_is_one_kernel_or_a_float_island(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clamped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(16, 16)

        def forward(self, x: Tensor) -> Tensor:
            y = self.layer(x)
            return nn.functional.hardtanh(y, -0.2, 0.3) + y  # two users: not part of the layer

    torch.manual_seed(0)
    one = replace(case("attention"), model=Clamped().eval())
    kernel = make(one, INT8_STATIC, tmp_path / "kernel.ptl")
    assert worst_sqnr(kernel.graph, kernel.artifact) > 40
    without = kernels._SAME_SCALE - {torch.ops.aten.hardtanh.default}
    monkeypatch.setattr(kernels, "_SAME_SCALE", without)
    island = make(one, INT8_STATIC, tmp_path / "island.ptl")
    assert worst_sqnr(island.graph, island.artifact) > 40
    casts = [
        describe(tmp_path / f"{name}.ptl").operators["aten::dequantize.self"]
        for name in ("kernel", "island")
    ]
    assert casts[1] == casts[0] + 1


def test_saturation_replaces_a_clamp_only_where_it_equals_it() -> None:
    step = 6 / 255
    assert kernels._needed_clamp(kernels.Quantum(step, 0), 0.0, 6.0) is None
    assert kernels._needed_clamp(kernels.Quantum(step, 0), None, None) is None
    assert kernels._needed_clamp(kernels.Quantum(2 * step, 0), 0.0, 6.0) == (0.0, 6.0)
    assert kernels._needed_clamp(kernels.Quantum(step, 20), 0.0, 6.0) == (0.0, 6.0)


def test_qnnpacks_dynamic_convolution_is_still_wrong() -> None:
    """Why convolutions with dynamic activations compute in float: use it once this fails."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "qnnpack"
    try:
        torch.manual_seed(0)
        weight, x = torch.randn(16, 8, 3, 3), torch.randn(1, 8, 9, 9)
        packed = torch.ops.quantized.conv2d_prepack(
            int8.per_channel(weight, 0), None, [1, 1], [1, 1], [1, 1], 1
        )
        wrong = torch.ops.quantized.conv2d_dynamic(x, packed)
    finally:
        torch.backends.quantized.engine = before
    assert (wrong - torch.conv2d(x, weight, padding=1)).abs().max() > 5


class Tokens(Attention):
    """A class token that is expanded to the batch, and shapes computed from it."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 16))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        batch = x.shape[0]
        y = super().forward(torch.cat([self.token.expand(batch, -1, -1), x], 1))
        y = y + torch.arange(batch).view(batch, 1, 1) + torch.zeros(batch, 1, 1)
        return y[:, 0], y.reshape(batch * y.shape[1], 16)


@pytest.mark.parametrize("variant", [FP32, INT8_STATIC], ids=str)
def test_a_varying_batch_still_varies(variant: Variant, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x, target = Tokens().eval(), torch.randn(2, 5, 16), tmp_path / "m.ptl"
    program = torch.export.export(model, (x,), dynamic_shapes=({0: Dim("b")},), strict=False)
    job = job_for(
        model, x[:1], target=target, program=program, variant=variant, calibration=((x.numpy(),),)
    )
    recorder = Recorder()
    convert(replace(job, dynamic_batch=True), recorder)
    run = recorder.runs.get(Stage.QUANTIZED, eager(program.module()))
    sample = (np.concatenate([x.numpy(), x.numpy()]),)
    with Runner(target) as runner:
        assert worst_sqnr([run(sample)], [runner.run(sample)]) > 40


def test_a_batch_fixed_by_tracing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "_size", lambda tensor, axis: int(tensor.shape[axis]))
    x = torch.randn(2, 5, 16)
    program = torch.export.export(
        Tokens().eval(), (x,), dynamic_shapes=({0: Dim("b")},), strict=False
    )
    job = job_for(Tokens(), x[:1], target=tmp_path / "m.ptl", program=program)
    with pytest.raises(FormatError, match="batch of 2"):
        convert(replace(job, dynamic_batch=True), Recorder())


def test_buffers_start_as_the_model_has_them(tmp_path: Path) -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            self.calls.add_(1)
            return x * self.calls

    x = torch.ones(1, 2)
    program = captured(Counter(), x)
    convert(job_for(Counter(), x, target=tmp_path / "m.ptl", program=program), Recorder())
    with Runner(tmp_path / "m.ptl") as runner:
        assert [runner.run((x.numpy(),))[0][0, 0] for _ in range(2)] == [1, 2]


def test_a_number_written_into_a_slice(tmp_path: Path) -> None:
    class Writes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x * 2
            x[:, 0] = 7
            return x

    x = torch.randn(2, 3)
    program, _ = passes.apply(captured(Writes(), x), passes.SHARED)
    job = job_for(Writes(), x, target=tmp_path / "m.ptl", program=program)
    convert(job, Recorder())
    with Runner(job.target) as runner:
        assert np.array_equal(runner.run((x.numpy(),))[0], Writes()(x).numpy())


def test_a_script_with_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.view(1, 4) if bool(x.sum() > 0) else x.view(1, 4) * 2

    x, target = np.ones((1, 2, 2), "f4"), tmp_path / "m.ptl"
    spec = Signature((TensorSpec("x", (1, 2, 2), "float32"),), ())
    with pytest.raises(FormatError, match="does not take a batch of 2"):
        convert_script(torch.jit.script(Fixed()), spec, (x,), target, dynamic_batch=True)


def test_branches_are_refused_with_their_line(tmp_path: Path) -> None:
    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))

    job = job_for(Branches(), torch.ones(1, 2), target=tmp_path / "m.ptl")
    with pytest.raises(FormatError, match=r"`cond` branches on values.*test_convert\.py:\d+"):
        convert(job, Recorder())


@torch.library.custom_op("ptl_test::twist", mutates_args=())
def twist(x: Tensor) -> Tensor:
    return x.flip(0)


@twist.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


def test_an_operator_that_phones_do_not_have_is_named(tmp_path: Path) -> None:
    class Custom(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ops.ptl_test.twist(x) + 1

    job = job_for(Custom(), torch.ones(1, 2), target=tmp_path / "m.ptl")
    with pytest.raises(FormatError, match=r"ptl_test\.twist\.default \(test_convert\.py:\d+"):
        convert(job, Recorder())


def test_scripted_loops_are_kept(tmp_path: Path) -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 1)
            self.norm = nn.BatchNorm2d(2)
            self.drop = nn.Dropout()

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            y = self.drop(self.norm(self.conv(x)))
            while bool(y.abs().max() > 0.1):
                y = y * 0.5
            return {"a": y, "b": y + 1}

    torch.manual_seed(0)
    model = Loop().eval()
    script = torch.jit.script(model)
    script.train()
    target, spec = tmp_path / "m.ptl", TensorSpec("x", (1, 1, 2, 2), "float32")
    conversion = convert_script(
        script, Signature((spec,), ()), (np.ones((1, 1, 2, 2), "f4"),), target
    )
    assert script.training  # the user's module is as it was
    assert "fold_frozen_conv_bn" in conversion.notes[0]
    found = describe(target).operators
    assert not {"aten::batch_norm", "aten::dropout"} & found.keys()
    with Runner(target) as runner:
        for scale in (0.1, 10.0):
            x = torch.full((1, 1, 2, 2), scale)
            got, expected = runner.run((x.numpy(),)), model(x).values()
            for a, b in zip(got, expected, strict=True):
                assert np.abs(a - b.detach().numpy()).max() < 1e-6


def test_what_an_older_library_lacks_is_named(tmp_path: Path) -> None:
    target = tmp_path / "m.ptl"
    make(case("attention"), FP32, target)
    needs = describe(target).needs
    assert needs.versions == {"bytecode version": "8"}
    assert needs.operators["aten::layer_norm"] >= 4
    assert lacking(Format.PTL, needs) == (
        "PyTorch Lite 1.12.2 lacks aten::scaled_dot_product_attention",
    )


@pytest.mark.parametrize(
    ("variant", "least"), [(FP32, SAME), (INT8_STATIC, 25), (INT8_DYNAMIC, 30)], ids=str
)
def test_attention_as_exported_runs_in_an_older_library(
    variant: Variant, least: float, tmp_path: Path
) -> None:
    one, target = case("attention"), tmp_path / "m.ptl"
    made = make(one, variant, target, passes.for_format(Format.PTL))
    assert worst_sqnr(made.original, made.artifact) > least
    needs = describe(target).needs
    assert needs.operators["aten::matmul"] == 2
    assert lacking(Format.PTL, needs) == ()
    if variant is INT8_STATIC:  # its scale is no int8 operator
        assert not {"quantized::mul", "quantized::mul_scalar"} & needs.operators.keys()


@pytest.mark.parametrize("variant", [INT8_STATIC, INT8_DYNAMIC], ids=str)
def test_images_that_come_out_lie_in_memory_in_order(
    variant: Variant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app is given their memory as it is."""
    one, target = case("signal"), tmp_path / "m.ptl"
    made = make(one, variant, target)
    assert worst_sqnr(made.graph, made.artifact) > 40
    monkeypatch.setattr(torch.backends.quantized, "engine", QNNPACK)
    outputs = _load_for_lite_interpreter(str(target))(torch.from_numpy(one.samples[0][0]))
    image = next(y for y in outputs if y.dim() == 4)
    assert image.is_contiguous()
