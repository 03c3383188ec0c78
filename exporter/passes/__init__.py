"""Graph passes on the captured program, in the order in which they run."""

from __future__ import annotations

from exporter.passes.base import DishonestPassError, Pass, PassOutcome, apply
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
from exporter.passes.literal_padding import LiteralPadding
from exporter.passes.view_to_reshape import ViewToReshape
from exporter.passes.write_out_attention import WriteOutAttention
from exporter.passes.write_out_embedding_bag import WriteOutEmbeddingBag
from exporter.passes.write_out_recurrence import CELLS, SEQUENCES, WriteOutRecurrence
from exporter.types import Format

__all__ = ["FOR_FORMAT", "SHARED", "DishonestPassError", "Pass", "PassOutcome", "apply"]

SHARED: tuple[Pass, ...] = (
    Functionalize(),  # first: the others take it that no node changes another
    ViewToReshape(),  # early: what drops, moves or quantizes operators changes strides
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

FOR_FORMAT: dict[Format, tuple[Pass, ...]] = {
    Format.PTL: (
        WriteOutAttention(divide=True),  # PyTorch Lite 1.12 has it in no other form
        Conv1dToConv2d(),
        FuseActivation(),
        DropDead(),
    ),
    Format.PTE: (
        WriteOutRecurrence(SEQUENCES),
        WriteOutAttention(),
        Conv1dToConv2d(),
        FuseActivation(),
        FoldConstants(),
        DropNoops(),
        DropDead(),
    ),
    Format.ONNX: (),
    Format.TFLITE: (),
}
"""For one format, after `SHARED`."""
