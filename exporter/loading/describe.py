"""What a source file holds, read without running anything that it names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from exporter.errors import UserError
from exporter.loading import known
from exporter.loading.detect import FileKind, archive_members, artifact_name, detect
from exporter.loading.opening import read_program, read_script
from exporter.loading.pickles import PickleSummary, read_pickle, summarize
from exporter.loading.script_schema import all_nodes, forward_arguments
from exporter.loading.weights import find_state_dict, read_safetensors
from exporter.types import Description, Format, TensorSpec


def describe(path: Path) -> Description:
    """Describes a model file that can be exported.

    A pickled module is never unpickled: its class is named, and nothing more is known.

    Raises:
        UserError: the file is missing, damaged, of no known kind, or an artifact.
    """
    kind = detect(path)
    size = path.stat().st_size
    if isinstance(kind, Format):
        raise UserError(f"{path} is an artifact ({artifact_name(kind)}), not a model to export.")
    if kind is FileKind.TORCHSCRIPT:
        return _script(path, size)
    if kind is FileKind.PROGRAM:
        return _program(read_program(path), size)
    if kind is FileKind.SAFETENSORS:
        return _weights(f"state_dict in a {kind}", size, read_safetensors(path))
    summary = summarize(path)
    if summary.is_module:
        return _pickled(summary, size)
    return _weights("state_dict", size, find_state_dict(read_pickle(path, trust=False), str(path)))


def _script(path: Path, size: int) -> Description:
    script = read_script(path)
    traced = "traced_inputs.pkl" in archive_members(path)
    stated = known.of_archive(path)
    names = [a.name for a in forward_arguments(script)]
    examples = stated.example.args if stated else ()
    kinds = (node.kind() for node in all_nodes(script.inlined_graph))
    operators = Counter(kind for kind in kinds if not kind.startswith("prim::"))

    return Description(
        kind=f"{FileKind.TORCHSCRIPT}, traced" if traced else str(FileKind.TORCHSCRIPT),
        size=size,
        inputs=tuple(
            TensorSpec(n, e.shape, e.dtype.name) for n, e in zip(names, examples, strict=False)
        ),
        operators=dict(operators.most_common()),
        weight_bytes=_bytes(script.state_dict().values()),
        details={"forward": ", ".join(names)},
    )


def _program(program: ExportedProgram, size: int) -> Description:
    signature = program.graph_signature
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    operators = Counter(str(n.target) for n in program.graph.nodes if n.op == "call_function")
    operators.pop("<built-in function getitem>", None)
    return Description(
        kind=str(FileKind.PROGRAM),
        size=size,
        inputs=_specs(signature.user_inputs, values),
        outputs=_specs(signature.user_outputs, values),
        operators=dict(operators.most_common()),
        weight_bytes=_bytes((*program.state_dict.values(), *program.constants.values())),
        details={"dialect": program.dialect, "dynamic dimensions": _dynamic(program)},
    )


def _weights(kind: str, size: int, state: dict[str, Tensor]) -> Description:
    return Description(
        kind=kind,
        size=size,
        weight_bytes=_bytes(state.values()),
        details={"tensors": str(len(state))},
    )


def _pickled(summary: PickleSummary, size: int) -> Description:
    return Description(
        kind=f"pickled module of class {summary.root}" if summary.root else "pickled checkpoint",
        size=size,
        details={
            "classes": ", ".join(summary.names[:8]),
            "loading": "runs code that the file names, so export asks for --trust",
        },
    )


def _specs(names: Iterable[object], values: dict[str, object]) -> tuple[TensorSpec, ...]:
    """Symbolic sizes show the value of the example."""
    return tuple(
        TensorSpec(str(name), tuple(_hint(n) for n in value.shape), _dtype(value))
        for name in names
        if isinstance(value := values.get(str(name)), Tensor)
    )


def _hint(size: int | torch.SymInt) -> int:
    return size.node.hint if isinstance(size, torch.SymInt) else size


def _dynamic(program: ExportedProgram) -> str:
    return ", ".join(str(symbol) for symbol in program.range_constraints) or "none"


def _bytes(tensors: Iterable[object]) -> dict[str, int]:
    """Element type -> bytes; tied weights count once."""
    stored = {(t.data_ptr(), t.shape): t for t in tensors if isinstance(t, Tensor)}
    total: Counter[str] = Counter()
    for tensor in stored.values():
        total[_dtype(tensor)] += tensor.numel() * tensor.element_size()
    return dict(total.most_common())


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
