"""Reads a .tflite file as a graph of named operators; the schema itself stays in here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ai_edge_litert.tools import flatbuffer_utils

IDENTIFIER = b"TFL3"
"""Bytes 4 to 8 of every .tflite file."""

_TYPE_NAMES = {
    code: name.lower()
    for name, code in vars(flatbuffer_utils.TensorType).items()
    if isinstance(code, int)
}


@dataclass(frozen=True)
class Tensor:
    """One tensor of the main graph.

    Attributes:
        name: as in the file.
        dtype: numpy's name, or the schema's for types that numpy lacks, such as `int4`.
        shape: sizes in elements.
        nbytes: bytes stored in the file: 0 for what is computed at run time.
        buffer: number of the stored buffer; tensors may share one.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    buffer: int

    @property
    def constant(self) -> bool:
        return self.nbytes > 0


@dataclass(frozen=True)
class Operator:
    """One operator; `inputs` and `outputs` are tensor numbers, without the absent ones."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """A subgraph of the file, operators in execution order."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def parse(content: bytes) -> Any:
    """The schema's mutable `ModelT` of a .tflite file.

    Raises:
        ValueError: the content is not a whole .tflite file.
    """
    if content[4:8] != IDENTIFIER:
        raise ValueError("not a .tflite file")
    try:
        return flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    except Exception as error:  # the reader runs into whatever nonsense a damaged file holds
        raise ValueError("a damaged .tflite file") from error


def pack(model: Any) -> bytes:
    """Writes a `ModelT` as the content of a .tflite file."""
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def graphs(model: Any) -> tuple[Graph, ...]:
    """All subgraphs of a `ModelT`; the first is the main one."""
    return tuple(_graph(model, subgraph) for subgraph in model.subgraphs)


def operator_versions(model: Any) -> set[tuple[str, int]]:
    """Name and version of the operators of a `ModelT`; codes that nothing uses do not count."""
    used = {op.opcodeIndex for subgraph in model.subgraphs for op in subgraph.operators}
    return {(_code_name(model, i), int(model.operatorCodes[i].version)) for i in used}


def _graph(model: Any, subgraph: Any) -> Graph:
    tensors = tuple(_tensor(model, t) for t in subgraph.tensors)
    operators = tuple(
        Operator(_code_name(model, op.opcodeIndex), _present(op.inputs), _present(op.outputs))
        for op in subgraph.operators
    )
    return Graph(tensors, operators, _present(subgraph.inputs), _present(subgraph.outputs))


def _tensor(model: Any, tensor: Any) -> Tensor:
    data = model.buffers[tensor.buffer].data
    return Tensor(
        name=(tensor.name or b"").decode(),
        dtype=_TYPE_NAMES.get(tensor.type, "unknown"),
        shape=_numbers(tensor.shape),
        nbytes=0 if data is None else len(data),
        buffer=int(tensor.buffer),
    )


def _code_name(model: Any, index: int) -> str:
    custom = model.operatorCodes[index].customCode
    return str(custom.decode() if custom else flatbuffer_utils.opcode_to_name(model, index))


def _present(numbers: Iterable[int] | None) -> tuple[int, ...]:
    return tuple(n for n in _numbers(numbers) if n >= 0)


def _numbers(numbers: Iterable[int] | None) -> tuple[int, ...]:
    return tuple(int(n) for n in numbers) if numbers is not None else ()
