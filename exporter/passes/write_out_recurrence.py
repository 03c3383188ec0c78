"""Given one step of a recurrent network, such as `lstm_cell(x, (h, c), w_ih, w_hh, b_ih, b_hh)`, or
a whole one, such as `lstm(x, (h, c), weights, ...)`.
Result: its linear layers and activations, step by step.

Only then can int8 see the linear layers. TorchScript must not meet a cell at all: what it records
of a `gru_cell` adds in place to pieces of a product that it takes for a constant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch._decomp import get_decompositions
from torch.export import ExportedProgram
from torch.nn.functional import linear

from exporter.types import PassOutcome

_aten = torch.ops.aten


def _lstm_cell(x: Tensor, state: list[Tensor], *weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """(batch, features), two of (batch, width), (4 width, ...) -> the next h and c."""
    h, c = state
    w_x, w_h, b_x, b_h = (*weights, None, None)[:4]
    take, keep, new, show = (linear(x, _is(w_x), b_x) + linear(h, _is(w_h), b_h)).chunk(4, 1)
    c = keep.sigmoid() * c + take.sigmoid() * new.tanh()
    return show.sigmoid() * c.tanh(), c


def _gru_cell(x: Tensor, h: Tensor, *weights: Tensor | None) -> Tensor:
    """(batch, features), (batch, width), (3 width, ...) -> the next h."""
    w_x, w_h, b_x, b_h = (*weights, None, None)[:4]
    reset_x, update_x, new_x = linear(x, _is(w_x), b_x).chunk(3, 1)
    reset_h, update_h, new_h = linear(h, _is(w_h), b_h).chunk(3, 1)
    new = (new_x + (reset_x + reset_h).sigmoid() * new_h).tanh()
    return new + (update_x + update_h).sigmoid() * (h - new)


def _plain_cell(activation: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def cell(x: Tensor, h: Tensor, *weights: Tensor | None) -> Tensor:
        w_x, w_h, b_x, b_h = (*weights, None, None)[:4]
        return activation(linear(x, _is(w_x), b_x) + linear(h, _is(w_h), b_h))

    return cell


def _is(weight: Tensor | None) -> Tensor:
    assert weight is not None
    return weight


CELLS: Mapping[Any, Callable[..., Any]] = {
    _aten.lstm_cell.default: _lstm_cell,
    _aten.gru_cell.default: _gru_cell,
    _aten.rnn_tanh_cell.default: _plain_cell(torch.tanh),
    _aten.rnn_relu_cell.default: _plain_cell(torch.relu),
}
"""One step; no runtime has an operator for it."""

SEQUENCES: Mapping[Any, Callable[..., Any]] = get_decompositions(
    [_aten.lstm.input, _aten.gru.input, _aten.rnn_tanh.input, _aten.rnn_relu.input]
)
"""All steps and layers; for runtimes that have no such operator and unroll it in any case."""


class WriteOutRecurrence:
    """Writes out some recurrent operators.

    Args:
        table: `CELLS` or `SEQUENCES`.
    """

    def __init__(self, table: Mapping[Any, Callable[..., Any]]) -> None:
        whole = table is SEQUENCES
        self.name = f"write out recurrence{' over sequences' if whole else ''}"
        self._table = table

    def __call__(self, program: ExportedProgram) -> tuple[ExportedProgram, PassOutcome]:
        count = sum(node.target in self._table for node in program.graph.nodes)
        outcome = PassOutcome(self.name, count)
        return (program.run_decompositions(dict(self._table)) if count else program), outcome
