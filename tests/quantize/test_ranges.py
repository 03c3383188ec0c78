"""One pass over the samples: what is seen, and what it costs."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exporter.errors import UserError
from exporter.passes import SHARED, apply
from exporter.quantize import ranges
from exporter.quantize.ranges import observe
from exporter.types import Sample
from tests.support import captured, samples_like

X = torch.zeros(1, 8)


class Masked(nn.Module):
    """A mask of -10000, a part of an LSTM's outputs, and pieces of a layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.lstm = nn.Linear(8, 8), nn.LSTM(8, 4, batch_first=True)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        left, right = self.layer(x).chunk(2, -1)
        steps, _ = self.lstm(x)
        return (left * right + steps + (1 - keep) * -10000.0).softmax(-1)


def test_ranges_hold_nearly_all_that_was_seen() -> None:
    layer, samples = nn.Linear(8, 4).eval(), samples_like(16, X)
    found = observe(captured(layer, X), samples)
    given = np.concatenate([s[0] for s in samples])
    with torch.no_grad():
        made = layer(torch.from_numpy(given)).numpy()
    for seen, values in ((found.inputs[0], given), (found.ranges["linear"], made)):
        assert seen is not None
        span = values.max() - values.min()
        assert values.min() - 1e-5 <= seen.low <= values.min() + 0.1 * span
        assert values.max() - 0.1 * span <= seen.high <= values.max() + 1e-5


def test_masks_are_wild_and_pieces_have_the_range_of_the_whole() -> None:
    program = captured(Masked().eval(), torch.zeros(1, 3, 8), torch.zeros(1, 3, 1))
    keep = np.array([[[1.0], [1.0], [0.0]]], np.float32)
    samples = [(*s, keep) for s in samples_like(2, torch.zeros(1, 3, 8))]
    found = observe(program, samples)
    by_target = {str(n.target): n.name for n in program.graph.nodes if n.op == "call_function"}
    assert by_target["aten.mul.Tensor"] in found.wild
    assert by_target["aten.mul.Tensor"] not in found.ranges
    pieces = [n.name for n in program.graph.nodes if "getitem" in n.name]
    assert found.ranges[pieces[0]] == found.ranges[pieces[1]] == found.ranges["linear"]
    assert found.ranges[pieces[2]].high <= 1  # a state of the LSTM, seen for itself


def test_every_sample_is_run_once_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with the samples: each is 4 MB, and few are alive at a time."""
    calls = 0
    run = ranges._Watch.run

    def counted(self: ranges._Watch, *args: object) -> object:
        nonlocal calls
        calls += 1
        return run(self, *args)

    monkeypatch.setattr(ranges._Watch, "run", counted)
    net = nn.Sequential(nn.ReLU(), nn.Linear(1024, 8)).eval()
    program = captured(net, torch.zeros(1024, 1024))

    def samples(count: int) -> Iterator[Sample]:
        for i in range(count):
            yield (np.full((1024, 1024), i, np.float32),)

    peaks = []
    for count in (2, 16):
        tracemalloc.start()
        observe(program, samples(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert calls == 18
    assert peaks[1] < 1.5 * peaks[0]


def test_large_tensors_are_counted_in_part_and_their_ends_in_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranges, "_MOST", 16)
    x = torch.zeros(1, 1000)
    sample = np.linspace(-1, 1, 1000, dtype=np.float32)[None]
    (seen,) = observe(captured(nn.Linear(1000, 2), x), [(sample,)]).inputs
    assert seen is not None
    assert seen.low == pytest.approx(-1, abs=0.1)
    assert seen.high == pytest.approx(1, abs=0.1)


def test_a_state_starts_anew_with_each_sample() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            self.calls.add_(1)
            return x * self.calls

    program, _ = apply(captured(Counter(), torch.ones(1, 2)), SHARED)
    observe(program, [(np.ones((1, 2), np.float32),)] * 3)
    assert [float(v) for v in program.state_dict.values()] == [0]


def test_nan_is_refused_by_number() -> None:
    good, bad = samples_like(1, X)[0], (np.full((1, 8), np.nan, np.float32),)
    with pytest.raises(UserError, match="sample 2 holds NaN in input 0"):
        observe(captured(nn.Linear(8, 2), X), [good, bad])


def test_what_is_not_finite_inside_is_wild() -> None:
    class Logs(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x.log())

    found = observe(captured(Logs(), X), [(np.zeros((1, 8), np.float32),)])
    assert "log" in found.wild
    assert "relu" in found.ranges


def test_no_samples_are_a_bug() -> None:
    with pytest.raises(ValueError, match="need samples"):
        observe(captured(nn.Linear(8, 2), X), [])
