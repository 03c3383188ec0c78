"""Reads a `.pte` without running it: the program, and the graphs inside its XNNPACK delegates."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import (
    XNNHeader,
    _get_schema_bytes,
)
from executorch.exir._serialize._flatbuffer import _flatc_decompile
from executorch.exir._serialize._program import PTEFile, deserialize_pte_binary
from executorch.exir.schema import BackendDelegate, DataLocation, ExecutionPlan, Tensor

from exporter.base.text import first_line
from exporter.errors import UserError
from exporter.runtimes.pte.engine import METHOD
from exporter.runtimes.pte.format import DTYPES, is_pte
from exporter.types import TensorSpec

_XNN_DTYPES = {
    "xnn_datatype_fp32": "float32",
    "xnn_datatype_fp16": "float16",
    "xnn_datatype_qint8": "int8",
    "xnn_datatype_qcint8": "int8",
    "xnn_datatype_qint32": "int32",
    "xnn_datatype_qcint32": "int32",
    "xnn_datatype_qcint4": "int4",
    "xnn_datatype_qbint4": "int4",
}
"""XNNPACK's types of stored constants -> numpy's name (int4 is not one of numpy's)."""

_INFINITE = re.compile(rb"(?<=[\s\[])(-?)inf\b")
"""How flatc writes an open bound of a clamp, which JSON does not know."""


@dataclass(frozen=True)
class Pte:
    """A file, taken apart.

    Attributes:
        plan: the method `forward`.
        delegates: the graph in each XNNPACK delegate, as its schema has it.
        file: all the rest.
    """

    plan: ExecutionPlan
    delegates: tuple[Mapping[str, Any], ...]
    file: PTEFile

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs in call order; a size that may vary is given at its largest."""
        return self._specs("input", self.plan.inputs)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs in order, sizes likewise."""
        return self._specs("output", self.plan.outputs)

    def _specs(self, prefix: str, indices: list[int]) -> tuple[TensorSpec, ...]:
        values = [self.plan.values[i].val for i in indices]
        return tuple(
            TensorSpec(f"{prefix}_{i}", tuple(v.sizes), DTYPES[int(v.scalar_type)])
            for i, v in enumerate(values)
            if isinstance(v, Tensor)
        )

    def operators(self) -> Iterator[str]:
        """Names of the operators outside delegates, once for each call."""
        for instruction in self.plan.chains[0].instructions:
            index = getattr(instruction.instr_args, "op_index", None)
            if index is not None:
                operator = self.plan.operators[index]
                yield operator.name.replace("::", ".")

    def kernels(self) -> Iterator[str]:
        """Names of the kernels outside delegates, as a library registers them."""
        for operator in self.plan.operators:
            name, overload = operator.name, operator.overload
            yield f"{name}.{overload}" if overload else name

    def delegated_operators(self) -> Iterator[str]:
        """Names of XNNPACK's operators (`XNNConv2d`), once for each call."""
        for graph in self.delegates:
            for node in graph["xnodes"]:
                yield node["xnode_union_type"].lstrip("_")

    def constants(self) -> Iterator[tuple[str, int]]:
        """(element type, bytes) of every stored constant, each counted once."""
        for value in self.plan.values:
            tensor = value.val
            constant = isinstance(tensor, Tensor) and tensor.allocation_info is None
            if constant and tensor.data_buffer_idx > 0:
                yield _stored(tensor)
        seen: set[str] = set()
        for graph in self.delegates:
            yield from _delegate_constants(graph, seen)


def read_program(path: Path) -> Pte:
    """Reads and parses the whole file.

    Raises:
        UserError: it is not a `.pte`, or is damaged.
    """
    data = path.read_bytes()
    if not is_pte(data):
        raise UserError(f"{path} is not a .pte file.", "It should begin with ExecuTorch's mark.")
    try:
        file = deserialize_pte_binary(data)
        plan = next(p for p in file.program.execution_plan if p.name == METHOD)
        graphs = tuple(
            _graph(_payload(file, d)) for d in plan.delegates if d.id == "XnnpackBackend"
        )
    except Exception as error:  # flatc and the segment reader each have their own
        raise UserError(f"{path} is damaged: {first_line(error)}") from error
    return Pte(plan, graphs, file)


def _payload(file: PTEFile, delegate: BackendDelegate) -> bytes:
    reference = delegate.processed
    if reference.location is not DataLocation.INLINE:
        raise ValueError("a delegate's data is not in the file")
    return bytes(file.program.backend_delegate_data[reference.index].data)


def _graph(payload: bytes) -> Mapping[str, Any]:
    """An XNNPACK delegate's graph, decoded by the schema it was encoded with."""
    header = XNNHeader.from_bytes(payload[: XNNHeader.EXPECTED_LENGTH])
    start = header.flatbuffer_offset
    with tempfile.TemporaryDirectory() as folder:
        schema, binary = Path(folder, "schema.fbs"), Path(folder, "graph.bin")
        schema.write_bytes(_get_schema_bytes())
        binary.write_bytes(payload[start : start + header.flatbuffer_size])
        _flatc_decompile(folder, str(schema), str(binary), ["--raw-binary"])
        text = Path(folder, "graph.json").read_bytes()
        graph: Mapping[str, Any] = json.loads(_INFINITE.sub(rb"\1Infinity", text))
    return graph


def _stored(tensor: Tensor) -> tuple[str, int]:
    dtype = DTYPES[int(tensor.scalar_type)]
    size = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
    return dtype, math.prod(tensor.sizes) * size


def _delegate_constants(graph: Mapping[str, Any], seen: set[str]) -> Iterator[tuple[str, int]]:
    """Weights and, for those quantized per channel, their scales; delegates may share them."""
    for value in graph["xvalues"]:
        union = value["xvalue_union"]
        tensor = union.get("tensor_value", union)
        scales = union.get("quant_params", {}).get("scale_buffer_idx", 0)
        dtype = _XNN_DTYPES.get(tensor["datatype"], tensor["datatype"])
        for index, kind in ((tensor["constant_buffer_idx"], dtype), (scales, "float32")):
            entry = graph["constant_data"][index]
            if index and entry["named_key"] not in seen:
                seen.add(entry["named_key"])
                yield kind, entry["size"]
