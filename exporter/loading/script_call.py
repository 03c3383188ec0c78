"""A TorchScript module as TorchScript with flat inputs, its control flow kept."""

from __future__ import annotations

from typing import Any

import torch

from exporter.errors import FormatError
from exporter.loading.flat import TENSOR
from exporter.loading.source import SourceModel


class _Flat(torch.jit.ScriptModule):
    """Holds the script; `forward` is defined per call."""

    def __init__(self, script: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.script = script


def flat_script(source: SourceModel) -> torch.jit.ScriptModule:
    """The script behind a source, with the tensors of `source.signature` as its inputs.

    Args:
        source: its module is TorchScript; shares its weights with the result.

    Returns:
        A script that takes flat tensors, and returns what the given one returns.

    Raises:
        FormatError: the module keeps state, or TorchScript cannot write the call.
    """
    script: Any = source.module.module
    if source.state:
        raise FormatError("the TorchScript keeps state from call to call, which no artifact may")
    leaves = source.module.plan.leaves
    names = iter(f"tensor_{i}" for i in range(leaves.count(TENSOR)))
    texts = [next(names) if leaf is TENSOR else repr(leaf) for leaf in leaves]
    args, kwargs = source.module.plan.rebuild(texts)
    given = [*map(_written, args), *(f"{key}={_written(value)}" for key, value in kwargs.items())]
    inputs = ", ".join(f"tensor_{i}: Tensor" for i in range(leaves.count(TENSOR)))
    flat: Any = _Flat(script).eval()
    try:
        flat.define(f"def forward(self, {inputs}):\n    return self.script({', '.join(given)})\n")
    except RuntimeError as error:
        raise FormatError(f"TorchScript cannot take flat inputs: {error}") from error
    return flat


def _written(value: Any) -> str:
    """An argument in TorchScript; its leaves are texts already."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_written(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, tuple):
        return "(" + "".join(f"{_written(v)}, " for v in value) + ")"
    return str(value)
