"""Operators rewritten before translation: those of which torch.onnx knows only some forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch._decomp import get_decompositions

_ATTENTION = torch.ops.aten.scaled_dot_product_attention.default
_LSTM = torch.ops.aten.lstm.input
_WRITTEN_OUT = get_decompositions([_LSTM])[_LSTM]


def _attention_as_4d(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *rest: Any,
    **options: Any,
) -> Tensor:
    """Attention over (batch, heads, tokens, dim), whatever leading dimensions there are.

    torch.onnx translates only that form, and the model may leave out the heads (and the batch).

    Returns:
        The same result as the operator, or `NotImplemented` where it is fine as it is.
    """
    missing = 4 - query.ndim
    if missing <= 0:
        return NotImplemented
    # The heads come after the batch; a model without a batch has neither.
    grown = [
        x.reshape(*(1,) * (missing - 1), *x.shape[:-2], 1, *x.shape[-2:])
        for x in (query, key, value)
    ]
    if mask is not None and mask.ndim > 2:
        mask = mask.unsqueeze(-3)
    return _ATTENTION(*grown, mask, *rest, **options).reshape(*query.shape[:-1], value.shape[-1])


def _projected_lstm(x: Tensor, state: Sequence[Tensor], *rest: Any, **options: Any) -> Any:
    """An LSTM whose h is a projection of c; torch.onnx loses the projection, ONNX has none.

    Returns:
        The same result step by step, or `NotImplemented` where there is no projection.
    """
    h, c = state
    if h.shape[-1] == c.shape[-1]:
        return NotImplemented
    return _WRITTEN_OUT(x, state, *rest, **options)


DECOMPOSED: MappingProxyType[Any, Callable[..., Any]] = MappingProxyType(
    {_ATTENTION: _attention_as_4d, _LSTM: _projected_lstm}
)
"""Operator -> what it becomes; `NotImplemented` leaves a node alone."""
