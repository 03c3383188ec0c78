"""Quantizes a captured program to int8: the graph that `.ptl` and `.pte` are lowered from."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from exporter.errors import FormatError
from exporter.quantize.embedding import quantize_embeddings
from exporter.quantize.quantizer import MobileQuantizer
from exporter.quantize.reexport import reexport, stand_ins
from exporter.types import Sample, Scheme

# How PT2E writes a dequantized tensor; a graph with none of these has nothing quantized in it.
_DEQUANTIZE = "quantized_decomposed.dequantize"

_RECURRENT = {
    torch.ops.aten.lstm.input,
    torch.ops.aten.gru.input,
    torch.ops.aten.rnn_tanh.input,
    torch.ops.aten.rnn_relu.input,
}


def quantize(
    program: ExportedProgram, scheme: Scheme, calibration: tuple[Sample, ...] = ()
) -> ExportedProgram:
    """Quantizes weights, and activations by `scheme`; the words are in `quantize.semantics`.

    Args:
        program: float32 program; it is not modified.
        scheme: static or dynamic.
        calibration: samples that give the ranges of activations; all are run. Dynamic runs the
            first one, or zeros where there is none: the observers of the weights need one run.

    Returns:
        A program with the same inputs and outputs, whose quantized values appear as
        `quantized_decomposed` quantize and dequantize operators around float ones.

    Raises:
        FormatError: nothing in the program can be quantized.
    """
    if scheme is Scheme.FLOAT or (scheme is Scheme.STATIC and not calibration):
        raise ValueError(f"cannot quantize {scheme} with {len(calibration)} calibration samples")
    static = scheme is Scheme.STATIC
    used = calibration if static else calibration[:1]
    samples = tuple(_tensors(s) for s in used) or (stand_ins(program),)
    module = program.module(check_guards=False)
    assert isinstance(module, torch.fx.GraphModule)
    quantizer = MobileQuantizer(scheme, samples[0] if static else ())
    with torch.no_grad():
        prepared = prepare_pt2e(module, quantizer)
        for sample in samples:
            prepared(*sample)
        converted = convert_pt2e(prepared)
    embeddings = quantize_embeddings(converted)
    if not embeddings and not _has_int8(converted) and not _has_recurrence(converted):
        raise FormatError(
            f"int8 was asked for, but with {scheme} activations the model has no operator that "
            "can be quantized"
        )
    return reexport(converted, program)


def _has_int8(module: torch.fx.GraphModule) -> bool:
    return any(str(n.target).startswith(_DEQUANTIZE) for n in module.graph.nodes)


def _has_recurrence(module: torch.fx.GraphModule) -> bool:
    """Whether whole recurrent networks are left, whose weights the `.ptl` stores as int8."""
    return any(n.target in _RECURRENT for n in module.graph.nodes)


def _tensors(sample: Sample) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(x) for x in sample)
