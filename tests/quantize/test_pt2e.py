"""PT2E quantization: what is quantized, what is left alone, and the numbers."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from exporter.base.locate import source_line
from exporter.errors import FormatError
from exporter.quantize import pt2e
from exporter.quantize.reexport import reexport
from exporter.quantize.weights import to_int8
from exporter.types import Compute, Precision, Sample, Scheme, Variant
from tests.support import captured, decided, eager, recomputed, samples_like

pytestmark = pytest.mark.filterwarnings("ignore")


class MobileBlock(nn.Module):
    """Convolution, ReLU6, depthwise, ReLU and a classifier, as in mobile networks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.project = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.relu6(self.stem(x))
        y = torch.relu(self.project(self.depthwise(y)) + y)
        return self.head(y.mean((2, 3)))


class Text(nn.Module):
    """An embedding with integer inputs, an integer `cat`, and a mask of -3.4e38 as transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(40, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, ids: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
        ids = torch.cat([ids, ids], 1)
        scores = self.head(self.table(ids))
        mask = (1.0 - torch.cat([keep, keep], 1)) * torch.finfo(torch.float32).min
        return (scores + mask.unsqueeze(-1)).softmax(1), ids


def quantize(
    program: ExportedProgram,
    scheme: Scheme,
    calibration: tuple[Sample, ...] = (),
    edit: Mapping[str, Compute] | None = None,
) -> ExportedProgram:
    """As the pipeline does it: decides, marks, and quantizes."""
    marked, recipe = decided(program, Variant(Precision.INT8, scheme), calibration)
    assert recipe is not None
    return pt2e.quantize(marked, recomputed(recipe, edit or {}))


IMAGE = torch.zeros(1, 3, 8, 8)


def operators(program: ExportedProgram) -> Counter[str]:
    return Counter(str(n.target) for n in program.graph.nodes if n.op == "call_function")


def sqnr(program: ExportedProgram, module: nn.Module, samples: tuple[Sample, ...]) -> float:
    run, reference = eager(program.module()), eager(module)
    pairs = [(reference(s)[0], run(s)[0]) for s in samples]
    noise = sum(float(((a - b) ** 2).sum()) for a, b in pairs)
    return 10 * float(np.log10(sum(float((a**2).sum()) for a, _ in pairs) / max(noise, 1e-20)))


def text_samples(count: int) -> tuple[Sample, ...]:
    rng = np.random.default_rng(0)
    keep = np.array([[1, 1, 1, 0, 0]], np.float32)
    return tuple((rng.integers(0, 40, (1, 5)), keep) for _ in range(count))


@pytest.fixture(scope="module")
def block() -> nn.Module:
    torch.manual_seed(0)
    return MobileBlock().eval()


@pytest.fixture(scope="module")
def static(block: nn.Module) -> ExportedProgram:
    """The block with static activations; also proves that the program it is made from stays."""
    program = captured(block, IMAGE)
    before, weights = str(program.graph), {k: v.clone() for k, v in program.state_dict.items()}
    result = quantize(program, Scheme.STATIC, samples_like(8, IMAGE))
    assert str(program.graph) == before
    assert all(torch.equal(v, weights[k]) for k, v in program.state_dict.items())
    return result


def test_static_quantizes_each_layer_and_fuses_its_clamp(
    block: nn.Module, static: ExportedProgram
) -> None:
    found = operators(static)
    assert found["quantized_decomposed.dequantize_per_channel.default"] == 4
    # Input, stem with its ReLU6, depthwise, project, add with its ReLU, mean, head: one each, and
    # none between a layer and its clamp.
    assert found["quantized_decomposed.quantize_per_tensor.default"] == 7
    assert sqnr(static, block, samples_like(8, IMAGE)) > 25


def test_dynamic_quantizes_convolutions_before_relu_too() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1)).eval()
    result = quantize(captured(net, IMAGE), Scheme.DYNAMIC)
    assert operators(result)["quantized_decomposed.choose_qparams.tensor"] == 2
    assert sqnr(result, net, samples_like(4, IMAGE)) > 35


def test_dynamic_leaves_depthwise_float(block: nn.Module) -> None:
    result = quantize(captured(block, IMAGE), Scheme.DYNAMIC)
    assert operators(result)["quantized_decomposed.choose_qparams.tensor"] == 3
    assert sqnr(result, block, samples_like(4, IMAGE)) > 30


def test_dynamic_leaves_a_single_channel_float() -> None:
    """XNNPACK takes it for depthwise; int8, it would run on the reference kernels."""
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 1)).eval()
    image = torch.zeros(1, 1, 8, 8)
    result = quantize(captured(net, image), Scheme.DYNAMIC)
    assert operators(result)["quantized_decomposed.choose_qparams.tensor"] == 1
    assert sqnr(result, net, samples_like(4, image)) > 35


@pytest.mark.parametrize("scheme", [Scheme.STATIC, Scheme.DYNAMIC])
def test_layers_that_share_a_bias_or_a_weight_are_all_quantized(scheme: Scheme) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)
            self.b.bias = self.a.bias

        def forward(self, x: Tensor) -> Tensor:
            return self.b(nn.functional.silu(self.a(nn.functional.silu(self.a(x)))))

    net, image = Tied().eval(), torch.zeros(1, 3, 9, 9)
    result = quantize(captured(net, image), scheme, samples_like(4, image))
    convs = [n for n in result.graph.nodes if n.target is torch.ops.aten.conv2d.default]
    assert len(convs) == 3
    for conv in convs:
        assert all("dequantize" in str(n.target) for n in conv.args[:2])


def test_pieces_keep_the_range_of_the_whole() -> None:
    class Pieces(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)

        def forward(self, x: Tensor) -> Tensor:
            left, right = self.conv(x).chunk(2, 1)
            return left + right

    result = quantize(captured(Pieces(), IMAGE), Scheme.STATIC, samples_like(4, IMAGE))
    slices = [n for n in result.graph.nodes if n.target is torch.ops.aten.slice.Tensor]
    assert len(slices) == 2
    for piece in slices:
        (quantize_again,) = piece.users
        assert quantize_again.args[1:] == piece.args[0].args[1:]


def test_small_values_survive_static_int8() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)).eval()
    with torch.no_grad():
        for parameter in net[2].parameters():
            parameter.mul_(1e-3)
    samples = samples_like(4, IMAGE)
    assert sqnr(quantize(captured(net, IMAGE), Scheme.STATIC, samples), net, samples) > 25


def test_weights_are_symmetric_int8_per_channel(block: nn.Module) -> None:
    result = quantize(captured(block, IMAGE), Scheme.DYNAMIC)
    stored = [v for v in result.state_dict.values() if v.dtype == torch.int8]
    assert sorted(tuple(w.shape) for w in stored) == [(4, 8), (8, 3, 3, 3), (8, 8, 1, 1)]
    assert all(int(w.abs().max()) == 127 for w in stored)
    for node in result.graph.nodes:
        if str(node.target).startswith("quantized_decomposed.dequantize_per_channel"):
            assert node.args[3] == 0  # one scale per output channel


def test_no_float_copy_of_a_quantized_weight_is_kept(static: ExportedProgram) -> None:
    left = [v for v in static.state_dict.values() if v.dtype == torch.float32 and v.dim() > 1]
    assert left == []


def test_every_calibration_sample_counts() -> None:
    layer = nn.Linear(8, 4).eval()
    x = torch.zeros(1, 8)
    small, large = samples_like(3, x), tuple((20 * s[0],) for s in samples_like(1, x, seed=1))
    program = captured(layer, x)
    without = sqnr(quantize(program, Scheme.STATIC, small), layer, large)
    assert without < 10 < sqnr(quantize(program, Scheme.STATIC, small + large), layer, large)


def test_the_result_survives_saving_and_knows_its_source(static: ExportedProgram) -> None:
    file = io.BytesIO()
    torch.export.save(static, file)
    file.seek(0)
    loaded = torch.export.load(file)
    sample = samples_like(1, IMAGE)[0]
    assert np.array_equal(eager(loaded.module())(sample)[0], eager(static.module())(sample)[0])
    lines = [source_line(n) for n in loaded.graph.nodes if str(n.target) == "aten.conv2d.default"]
    assert len(lines) == 3
    assert all("test_pt2e.py" in line for line in lines)


@pytest.mark.parametrize("scheme", [Scheme.STATIC, Scheme.DYNAMIC])
def test_masks_and_integers_stay_as_they_are(scheme: Scheme) -> None:
    torch.manual_seed(0)
    net = Text().eval()
    samples = text_samples(4)
    example = tuple(torch.from_numpy(x) for x in samples[0])
    result = quantize(captured(net, *example), scheme, samples)
    scores, ids = eager(result.module())(samples[1])
    expected, expected_ids = eager(net)(samples[1])
    assert np.abs(scores - expected).max() < 0.01
    assert np.array_equal(ids, expected_ids)
    assert ids.dtype == np.int64


@pytest.mark.parametrize("scheme", [Scheme.STATIC, Scheme.DYNAMIC])
def test_an_integer_plus_a_number_stays_an_integer(scheme: Scheme) -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 4)

        def forward(self, x: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
            return self.head(x), (ids + 1) * 3

    net = Positions().eval()
    sample = (np.ones((1, 4), np.float32), np.array([5], np.int32))
    program = captured(net, *(torch.from_numpy(x) for x in sample))
    _, ids = eager(quantize(program, scheme, (sample,)).module())(sample)
    assert ids.dtype == np.int32
    assert ids.tolist() == [18]


class PostNorm(nn.Module):
    """A block of BERT: two sums that are normalized, one of them masked with -10000."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.out = nn.Linear(8, 8), nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        shares = (self.mix(x) + (1.0 - keep) * -10000.0).softmax(1)
        return self.norm(x + self.out(shares * x))


def test_static_keeps_masks_and_the_residual_stream_out_of_int8() -> None:
    torch.manual_seed(0)
    net = PostNorm().eval()
    rng = np.random.default_rng(0)
    keep = np.array([[[1.0], [1.0], [0.0]]], np.float32)
    samples = tuple((rng.standard_normal((1, 3, 8), np.float32), keep) for _ in range(8))
    example = tuple(torch.from_numpy(x) for x in samples[0])
    result = quantize(captured(net, *example), Scheme.STATIC, samples)
    exact = [n for n in result.graph.nodes if str(n.target) == "aten.layer_norm.default"]
    exact += [n for n in result.graph.nodes if str(n.target) == "aten.softmax.int"]
    sources = [str(source.target) for node in exact for source in node.all_input_nodes]
    assert sources.count("aten.add.Tensor") == 2
    assert sqnr(result, net, samples) > 25


def test_a_layer_of_a_constant_stays_float() -> None:
    class FirstState(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.read, self.recall = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.read(x) + self.recall(torch.zeros(1, 4))

    x = torch.ones(1, 4)
    found = operators(quantize(captured(FirstState().eval(), x), Scheme.DYNAMIC))
    assert found["quantized_decomposed.dequantize_per_channel.default"] == 1
    assert found["quantized_decomposed.choose_qparams.tensor"] == 1


def test_a_recurrent_network_is_left_for_the_runtime_that_stores_it_as_int8() -> None:
    net = nn.LSTM(4, 4).eval()

    class Output(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)[0]

    result = quantize(captured(Output(), torch.ones(3, 1, 4)), Scheme.DYNAMIC)
    assert operators(result)["aten.lstm.input"] == 1


def test_embedding_rows_are_looked_up_as_int8() -> None:
    net = Text().eval()
    example = tuple(torch.from_numpy(x) for x in text_samples(1)[0])
    result = quantize(captured(net, *example), Scheme.DYNAMIC)
    assert operators(result)["aten.embedding.default"] == 2  # rows and scales
    tables = [v for v in result.state_dict.values() if v.shape == (40, 16)]
    assert [t.dtype for t in tables] == [torch.int8]


@pytest.mark.parametrize("scheme", [Scheme.STATIC, Scheme.DYNAMIC])
def test_a_varying_batch_still_varies(block: nn.Module, scheme: Scheme) -> None:
    x = torch.zeros(2, 3, 8, 8)
    program = torch.export.export(block, (x,), dynamic_shapes=({0: Dim("batch")},), strict=False)
    result = quantize(program, scheme, samples_like(2, x))
    assert result.module()(torch.randn(5, 3, 8, 8)).shape == (5, 4)


def test_a_batch_that_became_fixed_is_noticed(block: nn.Module) -> None:
    x = torch.zeros(2, 3, 8, 8)
    program = torch.export.export(block, (x,), dynamic_shapes=({0: Dim("batch")},), strict=False)

    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.zeros(2, 1, 1, 1)

    with pytest.raises(RuntimeError, match="became fixed"):
        reexport(Fixed(), program)


def test_quantizing_runs_nothing() -> None:
    """Zeros would not do for this one, nor the samples of another machine."""

    class Inverts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.linalg.inv(x))

    x = torch.eye(4)[None] * 2
    net = Inverts().eval()
    result = quantize(captured(net, x), Scheme.DYNAMIC)
    with torch.no_grad():
        assert torch.allclose(result.module()(x)[0], net(x), atol=0.02)


def test_an_edited_recipe_is_honoured(block: nn.Module) -> None:
    program, samples = captured(block, IMAGE), samples_like(4, IMAGE)
    edit = {"conv2d_2": Compute.FLOAT, "linear": Compute.DYNAMIC}
    found = operators(quantize(program, Scheme.STATIC, samples, edit))
    assert found["quantized_decomposed.dequantize_per_channel.default"] == 3
    assert found["quantized_decomposed.choose_qparams.tensor"] == 1
    lookup = captured(nn.Embedding(4, 2), torch.tensor([1]))
    with pytest.raises(FormatError, match="no operator"):
        quantize(lookup, Scheme.DYNAMIC, edit={"embedding": Compute.FLOAT})


def test_a_doubled_range_doubles_the_scale() -> None:
    x = torch.zeros(1, 8)
    variant = Variant(Precision.INT8, Scheme.STATIC)
    program, recipe = decided(captured(nn.Linear(8, 4), x), variant, samples_like(4, x))
    assert recipe is not None
    (step,) = recipe.steps
    assert step.range is not None
    wide = replace(step.range, low=2 * step.range.low, high=2 * step.range.high)
    scales = [
        _scales(pt2e.quantize(program, r))
        for r in (recipe, replace(recipe, steps=(replace(step, range=wide),)))
    ]
    assert scales[1] == pytest.approx([scales[0][0], 2 * scales[0][1]])


def _scales(program: ExportedProgram) -> list[float]:
    """Of each quantized activation, in order."""
    target = torch.ops.quantized_decomposed.quantize_per_tensor.default
    return [n.args[1] for n in program.graph.nodes if n.target is target]


def test_weights_are_those_of_the_one_rule(static: ExportedProgram, block: nn.Module) -> None:
    stored = [v for v in static.state_dict.values() if v.dtype == torch.int8]
    assert len(stored) == 4
    for layer in (block.stem, block.depthwise, block.project, block.head):
        values, _ = to_int8(layer.weight.detach().numpy(), (0,))
        same = [v for v in stored if v.shape == layer.weight.shape]
        assert min(np.abs(v.numpy().astype(int) - values).max() for v in same) == 0


def test_a_model_with_nothing_to_quantize_is_refused() -> None:
    with pytest.raises(FormatError, match="no operator that can be quantized"):
        quantize(captured(nn.Softmax(-1), torch.zeros(1, 4)), Scheme.DYNAMIC)
