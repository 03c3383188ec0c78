"""An exported program as a module."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree


class ProgramModule(nn.Module):
    """Runs an exported program node by node.

    Going through `fx.Interpreter` rather than the generated code keeps each node's stack trace when
    the program is captured again, so that the user's own lines can be named.

    Args:
        program: the program; its guards on input values are left out, its checks of shapes stay.
    """

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__()
        self.graph_module = program.module(check_guards=False)
        self.input_names = tuple(program.graph_signature.user_inputs)
        self.call_spec = program.call_spec
        self.training = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        leaves, structure = pytree.tree_flatten((args, kwargs))
        if structure != self.call_spec.in_spec:
            raise ValueError(f"the program takes {self.call_spec.in_spec}, not {structure}")
        interpreter = torch.fx.Interpreter(self.graph_module)
        outputs = interpreter.run(*leaves, enable_io_processing=False)
        return pytree.tree_unflatten(outputs, self.call_spec.out_spec)

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002
        """Does nothing: a program has one mode, that of its export, and refuses to be asked."""
        return self
