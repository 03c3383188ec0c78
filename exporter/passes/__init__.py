"""Graph passes on the captured program, in the order in which they run."""

from __future__ import annotations

from exporter.passes.base import DishonestPassError, Pass, apply
from exporter.passes.conv1d_to_conv2d import Conv1dToConv2d
from exporter.passes.drop_assertions import DropAssertions
from exporter.passes.drop_dead import DropDead
from exporter.passes.drop_dropout import DropDropout
from exporter.passes.drop_noops import DropNoops
from exporter.passes.fold_batch_norm import FoldBatchNorm
from exporter.passes.fold_constants import FoldConstants
from exporter.passes.fold_pad import FoldPad
from exporter.passes.functionalize import Functionalize
from exporter.passes.fuse_activation import FuseActivation
from exporter.passes.fuse_linear import FuseLinear
from exporter.passes.graph import digest
from exporter.passes.literal_padding import LiteralPadding
from exporter.passes.plain_convolution import PlainConvolution
from exporter.passes.view_to_reshape import ViewToReshape
from exporter.passes.write_out_attention import WriteOutAttention
from exporter.passes.write_out_embedding_bag import WriteOutEmbeddingBag
from exporter.passes.write_out_recurrence import CELLS, SEQUENCES, WriteOutRecurrence
from exporter.runtimes import runtime
from exporter.types import Format

__all__ = ["SHARED", "DishonestPassError", "Pass", "apply", "digest", "for_format"]

SHARED: tuple[Pass, ...] = (
    Functionalize(),  # first: the others take it that no node changes another
    ViewToReshape(),  # early: what drops, moves or quantizes operators changes strides
    PlainConvolution(),
    LiteralPadding(),
    DropAssertions(),
    DropDropout(),
    WriteOutEmbeddingBag(),
    WriteOutRecurrence(CELLS),
    DropNoops(),
    FuseLinear(),  # before constants are folded: it takes a turned weight without a copy
    FoldConstants(),
    FoldBatchNorm(),
    FoldPad(),
    DropDead(),
)
"""For every format."""

_OF_SOME: tuple[Pass, ...] = (
    WriteOutRecurrence(SEQUENCES),
    WriteOutAttention(),
    WriteOutAttention(divide=True),
    Conv1dToConv2d(),
    FuseActivation(),
    FoldConstants(),
    DropNoops(),
    DropDead(),
)
_BY_NAME = {one.name: one for one in _OF_SOME}


def for_format(format: Format) -> tuple[Pass, ...]:
    """For one format, after `SHARED`: those that its runtime's record names, in its order."""
    return tuple(_BY_NAME[name] for name in runtime(format).passes)
