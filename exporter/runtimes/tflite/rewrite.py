"""Operators that LiteRT's converter refuses or gets wrong, written in terms of ones it gets right.

Every replacement is a plain PyTorch function with the operator's own arguments. They take effect
while the converter captures the program anew, so none of them has to edit a graph.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.traceback import preserve_node_meta

from exporter.runtimes.tflite.resize import bilinear2d, nearest2d

aten = torch.ops.aten


class Rewritten(torch.nn.Module):
    """A program whose troublesome operators are replaced while it runs, or is captured.

    Args:
        program: positional tensors in, tuple of tensors out.
    """

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__()
        self.graph_module = program.module(check_guards=False)
        self.training = False  # the captured graph decided that; GraphModules refuse eval()

    def forward(self, *inputs: torch.Tensor) -> Any:
        with preserve_node_meta():  # keeps source lines for error messages
            return _Rewriter(self.graph_module).run(*inputs)


class _Rewriter(Interpreter):
    def __init__(self, module: GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)

    def run_node(self, n: Node) -> Any:
        if n.target in _SORTING and not _uses_indices(n):
            _, indices = super().run_node(n)
            source, dim = self.fetch_args_kwargs_from_env(n)[0][0], _sorted_dim(n)
            return torch.gather(source, dim, indices), indices
        return super().run_node(n)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        return super().call_function(REPLACEMENTS.get(target, target), args, kwargs)


def conv_transpose(
    original: Callable[..., torch.Tensor],
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: list[int] | tuple[int, ...] = (1,),
    padding: list[int] | tuple[int, ...] = (0,),
    output_padding: list[int] | tuple[int, ...] = (0,),
    groups: int = 1,
    dilation: list[int] | tuple[int, ...] = (1,),
) -> torch.Tensor:
    """Transposed convolution, unpadded and then cropped.

    TRANSPOSE_CONV knows TensorFlow's two paddings only; the converter refuses others, or writes a
    file that XNNPACK refuses. PyTorch's `padding` cuts that many elements off both ends of the
    unpadded result and `output_padding` gives some back at the far end.
    """
    dims = weight.dim() - 2
    strides, cuts, extras, steps = (
        _each(v, dims) for v in (stride, padding, output_padding, dilation)
    )
    same = all(
        k - s == 2 * p and extra == 0
        for k, s, p, extra in zip(weight.shape[2:], strides, cuts, extras, strict=True)
    )
    if max(strides) == 1 or same:
        return original(x, weight, bias, strides, cuts, extras, groups, steps)
    grows = any(extra > p for p, extra in zip(cuts, extras, strict=True))
    none = [0] * dims
    whole = original(x, weight, None if grows else bias, strides, none, none, groups, steps)
    margins = [
        m for p, e in zip(reversed(cuts), reversed(extras), strict=True) for m in (-p, e - p)
    ]
    cropped = torch.nn.functional.pad(whole, margins)
    if grows and bias is not None:  # what is given back holds the bias alone
        return cropped + bias.reshape(-1, *[1] * dims)
    return cropped


_FEW = 32
"""Copies that are written out; heads that share a key are fewer, a whole image of them is not."""


def expand(
    x: torch.Tensor, sizes: list[int] | tuple[int, ...], implicit: bool = False
) -> torch.Tensor:
    """Broadcasting as concatenation.

    The converter moves a transpose ahead of BROADCAST_TO and leaves its shape as it was: the keys
    of grouped-query attention come out shuffled, or the file does not load.
    """
    x = x.reshape(*[1] * (len(sizes) - x.dim()), *x.shape)
    for dim, size in enumerate(sizes):
        if size != -1 and size != x.shape[dim] and size <= _FEW:
            x = torch.cat([x] * size, dim)
    return aten.expand.default(x, sizes, implicit=implicit)


def sort(
    x: torch.Tensor, dim: int = -1, descending: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sorting as the largest (or smallest) of all: LiteRT has TOPK_V2 and no sort."""
    return torch.topk(x, x.shape[dim], dim, largest=descending)


def _conv_transpose1d(*args: Any) -> torch.Tensor:
    return conv_transpose(aten.conv_transpose1d.default, *args)


def _conv_transpose2d(*args: Any) -> torch.Tensor:
    return conv_transpose(aten.conv_transpose2d.input, *args)


def _stable_sort(
    x: torch.Tensor, *, stable: bool, dim: int = -1, descending: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    del stable
    return sort(x, dim, descending)  # TOPK_V2 keeps the order of equals, as `stable` asks


REPLACEMENTS: dict[Any, Callable[..., Any]] = {
    aten.conv_transpose1d.default: _conv_transpose1d,
    aten.conv_transpose2d.input: _conv_transpose2d,
    aten.expand.default: expand,
    aten.sort.default: sort,
    aten.sort.stable: _stable_sort,
    aten.upsample_nearest2d.vec: nearest2d,
    aten.upsample_bilinear2d.vec: bilinear2d,
}
"""Operator -> what is captured in its place."""

_SORTING = (aten.topk.default, aten.sort.default, aten.sort.stable)
"""Where only the values are used, the converter falls back on a sort without a LiteRT kernel."""


def _uses_indices(node: Node) -> bool:
    return any(u.target is operator.getitem and u.args[1] == 1 and u.users for u in node.users)


def _sorted_dim(node: Node) -> int:
    position = 2 if node.target is aten.topk.default else 1
    given = node.args[position] if len(node.args) > position else node.kwargs.get("dim", -1)
    return int(given)  # type: ignore[arg-type]


def _each(value: list[int] | tuple[int, ...], dims: int) -> list[int]:
    """One number a dimension, where aten takes a single one for all."""
    return list(value) * dims if len(value) == 1 else list(value)
