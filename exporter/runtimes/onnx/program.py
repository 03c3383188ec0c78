"""ExportedProgram -> ONNX graph with the user's names and nothing of the machine it was made on."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import onnx
import onnx_ir as ir
import torch
from torch.export import ExportedProgram

from exporter.base.locate import blame
from exporter.errors import FormatError
from exporter.quantize.marker import name_in
from exporter.runtimes.onnx.decompose import DECOMPOSED
from exporter.runtimes.onnx.quiet import quiet
from exporter.types import Signature

OPSET = 20
"""The first with `Gelu`, beside `LayerNormalization` (17): one kernel where opset 18 has five nodes
(Div, Erf, Add, Mul, Mul) that ONNX Runtime does not fuse as torch writes them; a DeiT runs 10 %
faster. Later opsets add only types and operators that are not needed here."""

BATCH = "batch"
"""Name of the free first dimension."""

_SCOPES = "pkg.torch.onnx.name_scopes"
"""What torch.onnx calls the modules that a node was captured in."""


@dataclass(frozen=True)
class Marks:
    """Where a graph's tensors come from; empty for a program without marks.

    Attributes:
        values: name of what a node computes -> captured operator.
        constants: name of a constant -> captured operators that read it.
    """

    values: Mapping[str, str]
    constants: Mapping[str, frozenset[str]]


def to_onnx(program: ExportedProgram, signature: Signature) -> tuple[onnx.ModelProto, Marks]:
    """Translates a float32 program, operator by operator.

    Args:
        program: positional tensors in, tuple of tensors out.
        signature: gives inputs and outputs their names.

    Returns:
        The model, and which captured operators it was made of.

    Raises:
        FormatError: an operator has no ONNX translation.
    """
    try:
        with quiet():
            exported = torch.onnx.export(
                program.run_decompositions(dict(DECOMPOSED)),
                dynamo=True,
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise FormatError(_reason(program, str(error))) from error
    assert exported is not None
    model = exported.model
    _rename(model.graph, signature)
    marks = _marks(model.graph)
    _strip(model)
    proto = ir.to_proto(model)
    _name_batch(proto)
    return proto, marks


def _marks(graph: ir.Graph) -> Marks:
    values: dict[str, str] = {}
    readers: defaultdict[str, set[str]] = defaultdict(set)
    for node in graph:
        scopes = ast.literal_eval(node.metadata_props.get(_SCOPES, "[]"))
        name = next(filter(None, map(name_in, scopes)), None)
        if name:
            values.update({v.name: name for v in node.outputs if v.name})
            for value in node.inputs:
                if value is not None and value.name and value.is_initializer():
                    readers[value.name].add(name)
    return Marks(values, {name: frozenset(keys) for name, keys in readers.items()})


def _reason(program: ExportedProgram, complaint: str) -> str:
    """One sentence that names the operator and its line in the user's source."""
    with quiet():
        culprit = blame(program, complaint)
    if culprit:
        return f"{culprit} cannot be expressed in ONNX (opset {OPSET})"
    cause = re.search(r"<class '[^']*'>: (.+)", complaint)
    detail = cause[1] if cause else complaint.splitlines()[0]
    return f"torch.onnx cannot export this model: {detail[:300]}"


def _strip(model: ir.Model) -> None:
    """Removes source paths, stack traces and the exporter's own notes; they are a third of a
    small model's size."""
    model.metadata_props.clear()
    for graph in _graphs(model):
        graph.metadata_props.clear()
        graph.doc_string = None
        for node in graph:
            node.metadata_props.clear()
            node.doc_string = None
        for value in _values(graph):
            value.metadata_props.clear()
            value.doc_string = None


def _rename(graph: ir.Graph, signature: Signature) -> None:
    """Gives inputs and outputs their public names; whatever else bears one of those steps aside.

    torch.onnx's `input_names` does not look: an input called `relu` would end up sharing the name
    of the first Relu's result.
    """
    inputs = [spec.name for spec in signature.inputs]
    outputs = [f"{s.name}_out" if s.name in inputs else s.name for s in signature.outputs]
    public = dict(zip([*graph.inputs, *graph.outputs], [*inputs, *outputs], strict=True))
    names = set(public.values())
    everything = {v for g in (graph, *graph.subgraphs()) for v in _values(g)}
    taken = names | {v.name for v in everything if v.name}
    for value in everything:
        if value in public or value.name in names:
            while value.name in taken:
                value.name = f"{value.name}_"
            taken.add(value.name or "")
    for value, name in public.items():
        value.name = name


def _name_batch(model: onnx.ModelProto) -> None:
    """Calls the free first dimension `batch` in place of torch's symbol, such as `s21`."""
    ends = (*model.graph.input, *model.graph.output)
    shapes = [value.type.tensor_type.shape.dim for value in ends]
    symbols = {dims[0].dim_param for dims in shapes[: len(model.graph.input)] if dims} - {""}
    if len(symbols) != 1:
        return
    symbol = re.compile(rf"\b{re.escape(symbols.pop())}\b")
    for dim in (dim for dims in shapes for dim in dims):
        if dim.dim_param:
            dim.dim_param = symbol.sub(BATCH, dim.dim_param)


def _graphs(model: ir.Model) -> Iterator[ir.Graph | ir.Function]:
    yield model.graph
    yield from model.graph.subgraphs()
    for function in model.functions.values():
        yield function
        yield from function.subgraphs()


def _values(graph: ir.Graph | ir.Function) -> Iterator[ir.Value]:
    yield from graph.inputs
    if isinstance(graph, ir.Graph):
        yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs
