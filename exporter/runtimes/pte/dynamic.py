"""Two faults of the XNNPACK lowering with dynamic int8 convolutions, mended.

ExecuTorch 1.4.1 lowers `Sequential(ZeroPad2d(1), Conv2d(16, 32, 3))` to a file that fails or,
worse, computes something else. A test lowers such models without these mends and sees it fail; when
that test turns green upstream has fixed them, and this file can go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from executorch.backends.xnnpack import _passes
from executorch.backends.xnnpack._passes.channels_last_tagged_reshape_pass import (
    ChannelsLastTaggedReshapePass,
)
from executorch.backends.xnnpack.utils.quant_utils import is_dynamic_qdq
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from exporter.base.graphs import copy_for_each_reader

_quantized = torch.ops.quantized_decomposed

_CONVS = frozenset({torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding})


class _ChannelsLast(ChannelsLastTaggedReshapePass):  # type: ignore[misc]
    """Turns the tensor that is quantized for a convolution to channels last, and no other.

    The original follows first arguments from there up to the delegate's input and turns that one,
    behind the back of every operator between that has been laid out already: a pad then pads the
    wrong dimensions, a reshape shuffles the elements.
    """

    def input_to_nhwc(self, module: GraphModule, given: Node, user: Node) -> None:
        quantize = given.args[0] if is_dynamic_qdq(given) else None
        if not isinstance(quantize, Node):
            super().input_to_nhwc(module, given, user)
            return
        source = quantize.all_input_nodes[0]
        super().input_to_nhwc(module, source, quantize)
        # Were `quantize` its only user, the turned tensor would be taken for an int8 one.
        turned, scale, *_ = quantize.all_input_nodes
        scale.all_input_nodes[0].replace_input_with(source, turned)
        for node in (quantize, given):
            self.mark_as_nhwc_node(node)


@contextmanager
def sound_layout() -> Iterator[None]:
    """Lowering inside lays out dynamic convolutions as it should."""
    _passes.ChannelsLastTaggedReshapePass = _ChannelsLast
    try:
        yield
    finally:
        _passes.ChannelsLastTaggedReshapePass = ChannelsLastTaggedReshapePass


def quantizer_each(program: ExportedProgram) -> ExportedProgram:
    """Given one dynamically quantized tensor that several layers read, a convolution among them.
    Result: each reads a quantized tensor of its own.

    XNNPACK makes a 1x1 convolution a matrix product with one scale a pixel, and changes the shared
    tensor to that; a 3x3 one beside it (Inception, SqueezeNet, a residual branch) then reads scales
    that are not there.

    Args:
        program: quantized; its graph is edited in place.
    """
    graph, target = program.graph, _quantized.dequantize_per_tensor.tensor
    for dequantize in graph.find_nodes(op="call_function", target=target):
        if any(user.target in _CONVS for user in dequantize.users):
            copy_for_each_reader(dequantize.args[0], dequantize)
    graph.lint()
    program.graph_module.recompile()
    return program
