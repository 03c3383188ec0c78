"""Sees which values every tensor takes: one pass over the samples, for all formats."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Interpreter, Node
from torchao.quantization.pt2e import HistogramObserver

from exporter.base.text import first_line
from exporter.errors import UserError
from exporter.quantize.operators import BETWEEN, CLAMPS, LAYERS, is_move
from exporter.quantize.recipe import Range
from exporter.types import Sample

RANGE_LIMIT = 1e4
"""Magnitude from which a tensor is a mask or a sentinel, which no int8 scale can hold: -10000 is
the smallest that attention masks are made of."""

_MOST = 1 << 19
"""Elements of one tensor of one sample that its histogram counts, evenly spread, and the
smallest and largest of all of them. With 2^15, EfficientNet-Lite0 loses 0.2 dB."""

_INT8 = LAYERS | BETWEEN


@dataclass(frozen=True)
class Observed:
    """What was seen of a program's float32 tensors.

    Attributes:
        inputs: range of each of the model's inputs, in call order; None for what has none.
        ranges: name of a call -> range of its output, chosen for the least squared error of int8:
            a few outliers may lie beyond it. What only moves elements has that of its source.
        wild: names of calls and inputs with values that are not finite or reach `RANGE_LIMIT`; they
            have no range.
    """

    inputs: tuple[Range | None, ...]
    ranges: Mapping[str, Range]
    wild: frozenset[str]


def observe(program: ExportedProgram, samples: Iterable[Sample]) -> Observed:
    """Runs the samples one by one, and keeps a histogram of each tensor.

    Args:
        program: captured, after the shared passes; a state that it writes to starts anew with
            each sample.
        samples: taken one at a time.

    Raises:
        UserError: a sample holds NaN, or the model does not run on it.
        ValueError: there are no samples.
    """
    watch = _Watch(program)
    count = 0
    with torch.no_grad():
        for count, sample in enumerate(samples, 1):
            _refuse_nan(sample, count)
            try:
                watch.run(*watch.arguments(sample))
            except (IndexError, RuntimeError, ValueError) as error:
                said = first_line(error)
                raise UserError(
                    f"the model does not run on calibration sample {count}: {said}."
                ) from error
    if not count:
        raise ValueError("ranges need samples")
    return watch.observed()


def is_tame(value: torch.Tensor) -> bool:
    """Whether an int8 scale can hold all of a tensor's values."""
    if not value.is_floating_point() or not value.numel():
        return True
    low, high = torch.aminmax(value.detach())
    return _are_tame(float(low), float(high))


def _are_tame(low: float, high: float) -> bool:
    return low > -RANGE_LIMIT and high < RANGE_LIMIT  # False for NaN too


def _refuse_nan(sample: Sample, number: int) -> None:
    for position, value in enumerate(sample):
        if np.issubdtype(value.dtype, np.floating) and np.isnan(value).any():
            raise UserError(
                f"calibration sample {number} holds NaN in input {position}.",
                hint="Leave it out, or mend what prepares it.",
            )


class _Watch(Interpreter):
    """Runs the program's graph as it is, with its weights as arguments."""

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__(program.graph_module)
        self._specs = program.graph_signature.input_specs
        self._values = {**program.constants, **program.state_dict}
        self._inputs = [s.arg.name for s in self._specs if s.kind is InputKind.USER_INPUT]
        self._seen = defaultdict[str, _Tensor](_Tensor)

    def arguments(self, sample: Sample) -> list[Any]:
        """Values for all placeholders: weights, and the sample in the places of the inputs."""
        given = iter(sample)
        return [
            torch.from_numpy(np.array(next(given)))
            if spec.kind is InputKind.USER_INPUT
            else self._values[spec.target]
            for spec in self._specs
        ]

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        watched = n.op == "call_function" or n.name in self._inputs
        if watched and not is_move(n) and _is_float(value) and value.numel():
            self._seen[n.name].see(value, in_detail=_may_be_int8(n))
        return value

    def observed(self) -> Observed:
        ranges = {name: seen.range() for name, seen in self._seen.items()}
        wild = {name for name, found in ranges.items() if found is None}
        for node in self.graph.nodes:
            if is_move(node):
                source = node.args[0].name
                if source in ranges:
                    ranges[node.name] = ranges[source]
                if source in wild:
                    wild.add(node.name)
        calls = {n.name for n in self.graph.nodes if n.op == "call_function"}
        return Observed(
            tuple(ranges.get(name) for name in self._inputs),
            {name: r for name, r in ranges.items() if r is not None and name in calls},
            frozenset(wild),
        )


class _Tensor:
    """What was seen of one tensor."""

    def __init__(self) -> None:
        self._tame = True
        self._low, self._high = math.inf, -math.inf
        self._histogram: HistogramObserver | None = None

    def see(self, value: torch.Tensor, *, in_detail: bool) -> None:
        low, high = torch.aminmax(value)
        self._low, self._high = min(self._low, float(low)), max(self._high, float(high))
        self._tame = self._tame and _are_tame(float(low), float(high))
        if self._tame and in_detail:
            step = math.ceil(value.numel() / _MOST)
            if step > 1:
                value = torch.cat([value.reshape(-1)[::step], low.reshape(1), high.reshape(1)])
            self._histogram = self._histogram or HistogramObserver(dtype=torch.int8)
            self._histogram(value)

    def range(self) -> Range | None:
        if not self._tame:
            return None
        if self._histogram is None:
            return Range(self._low, self._high)
        low, high = self._histogram._non_linear_param_search()
        return Range(float(low), float(high))


def _is_float(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype == torch.float32


def _may_be_int8(node: Node) -> bool:
    """Whether a tensor's own range may be that of an int8 one: softmax stays between floats, and
    what a layer gives to a clamp alone is never seen."""
    if {user.target for user in node.users} <= CLAMPS and node.target in LAYERS:
        return False
    return not _INT8.isdisjoint({node.target, *(user.target for user in node.users)})
