"""Edits the graph of an `ExportedProgram`, with its constants and signature kept in step."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.export import ExportedProgram
from torch.export.graph_signature import (
    InputKind,
    InputSpec,
    OutputSpec,
    SymIntArgument,
    TensorArgument,
)
from torch.fx import Node
from torch.fx.node import Argument, map_arg

_LIFTED = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)

_INHERITED_META = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn")
"""What a new node takes from the node it stands for: where it came from in the user's code."""


class Graph:
    """One program under edit.

    The program's graph is edited in place rather than traced again, so that symbolic batch sizes
    and the source line of every node survive. Call `finish` for a program that can be run and
    saved.

    Args:
        program: a functional program (no operator mutates its input); it is copied.
    """

    def __init__(self, program: ExportedProgram) -> None:
        self._program = program
        self._module = torch.fx.GraphModule(program.graph_module, _copied(program.graph))
        self._constants: dict[str, torch.Tensor] = {}
        self._specs = {s.arg.name: s for s in program.graph_signature.input_specs}
        self._state = dict(program.state_dict)
        self._lifted = dict(program.constants)
        self._made: dict[tuple[str, tuple[int, ...], bytes], Node] = {}
        changing = set(program.graph_signature.buffers_to_mutate.values())
        for name, spec in self._specs.items():
            if spec.kind in _LIFTED and spec.target not in changing:
                tensor = self._state.get(spec.target, self._lifted.get(spec.target))
                if isinstance(tensor, torch.Tensor):
                    self._constants[name] = tensor.detach()
        values = (n.meta.get("val") for n in self.nodes())
        self._fake_mode = next(v.fake_mode for v in values if isinstance(v, FakeTensor))

    def nodes(self) -> list[Node]:
        """All nodes in order; safe to edit the graph while walking them."""
        return list(self._module.graph.nodes)

    @property
    def outputs(self) -> tuple[Argument, ...]:
        """What the program returns."""
        return self._module.graph.output_node().args[0]  # type: ignore[return-value]

    def fingerprint(self) -> tuple[tuple[str, str, str], ...]:
        """Differs when the graph does: operators, arguments, or which constants there are."""
        return _rows(self._module.graph)

    def constant(self, node: Any) -> torch.Tensor | None:
        """The value of a parameter or buffer that never changes, else None."""
        return self._constants.get(node.name) if isinstance(node, Node) else None

    def is_input(self, node: Node) -> bool:
        """Whether the user passes this tensor."""
        return node.op == "placeholder" and self._specs[node.name].kind is InputKind.USER_INPUT

    def add_constant(self, tensor: torch.Tensor, like: Node) -> Node:
        """A new parameter, or the one that was made with the same value: masks of many layers.

        Args:
            tensor: its value.
            like: a node that it derives from; lends its name.
        """
        value = tensor.detach().contiguous()
        key = (str(value.dtype), tuple(value.shape), _digest(value))
        if key in self._made:
            return self._made[key]
        first = next(n for n in self.nodes() if n.op != "placeholder" or self.is_input(n))
        with self._module.graph.inserting_before(first):
            node = self._module.graph.placeholder(like.name.removesuffix("_made") + "_made")
        node.target = node.name  # fx makes the name unique, but not the target
        target = f"made.{node.name}"
        self._constants[node.name] = value
        self._state[target] = torch.nn.Parameter(value, requires_grad=False)
        self._specs[node.name] = InputSpec(InputKind.PARAMETER, TensorArgument(node.name), target)
        node.meta["val"] = self._fake_mode.from_tensor(value, static_shapes=True)
        self._made[key] = node
        return node

    def call(
        self,
        target: Callable[..., Any],
        args: Sequence[Any],
        *,
        origin: Node,
        kwargs: Mapping[str, Any] | None = None,
    ) -> Node:
        """A new call just before `origin`, with its shape worked out and origin's source line."""
        with self._module.graph.inserting_before(origin):
            node = self._module.graph.call_function(target, tuple(args), dict(kwargs or {}))
        node.meta = {k: origin.meta[k] for k in _INHERITED_META if k in origin.meta}
        node.meta["val"] = self.evaluate(target, node.args, node.kwargs)
        return node

    def evaluate(
        self, target: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """The fake result (shape and dtype only) of calling `target` on nodes."""
        fake_args, fake_kwargs = map_arg((tuple(args), dict(kwargs)), lambda n: n.meta["val"])
        with self._fake_mode, torch.no_grad():
            return target(*fake_args, **fake_kwargs)

    def replace(self, old: Node, new: Node) -> None:
        """Gives every user of `old` the value `new`, and removes `old`."""
        old.replace_all_uses_with(new)
        self._module.graph.erase_node(old)

    def remove(self, node: Node) -> None:
        """Removes a node that nobody uses."""
        self._module.graph.erase_node(node)

    def sweep(self) -> int:
        """Removes calls and constants that nobody uses; says how many."""
        before = len(self._module.graph.nodes)
        self._module.graph.eliminate_dead_code()
        kept = set(self._program.graph_signature.buffers_to_mutate.values())
        for node in self.nodes():
            unused = node.op == "placeholder" and not node.users
            if unused and not self.is_input(node) and self._specs[node.name].target not in kept:
                self._module.graph.erase_node(node)
        return before - len(self._module.graph.nodes)

    def finish(self) -> ExportedProgram:
        """The edited program: verified, and fit for `torch.export.save`."""
        self._module.graph.lint()
        self._module.recompile()
        old = self._program
        inputs = [self._specs[n.name] for n in self.nodes() if n.op == "placeholder"]
        targets = {s.target for s in inputs}
        signature = type(old.graph_signature)(
            input_specs=inputs,
            output_specs=[
                OutputSpec(s.kind, _argument(n) or s.arg, s.target)
                for s, n in zip(old.graph_signature.output_specs, self.outputs, strict=True)
            ],
        )
        return ExportedProgram(
            root=self._module,
            graph=self._module.graph,
            graph_signature=signature,
            state_dict={k: v for k, v in self._state.items() if k in targets},
            range_constraints=old.range_constraints,
            module_call_graph=old.module_call_graph,
            example_inputs=old.example_inputs,
            constants={k: v for k, v in self._lifted.items() if k in targets},
            verifiers=old.verifiers,
        )


def digest(program: ExportedProgram) -> str:
    """SHA-256 of what a program computes: its graph and the values of its constants.

    The same in every process; names of nodes and of the user's modules have no part in it.
    """
    total = hashlib.sha256()
    tensors = {**program.constants, **program.state_dict}
    specs = {s.arg.name: s for s in program.graph_signature.input_specs}
    for name, inner in program.graph_module.named_modules():  # such as the branches of a condition
        if name and isinstance(inner, torch.fx.GraphModule):
            total.update(repr((name, _rows(inner.graph))).encode())
    for number, (op, target, arguments) in enumerate(_rows(program.graph)):
        spec = specs.get(target) if op == "placeholder" else None
        tensor = tensors.get(spec.target or "") if spec else None
        name = f"{spec.kind}" if spec else target
        total.update(repr((number, op, name, arguments)).encode())
        if isinstance(tensor, torch.Tensor):
            value = tensor.detach().contiguous()
            total.update(repr((str(value.dtype), tuple(value.shape))).encode() + _digest(value))
    return total.hexdigest()


def _rows(graph: torch.fx.Graph) -> tuple[tuple[str, str, str], ...]:
    order = {node: number for number, node in enumerate(graph.nodes)}
    return tuple(
        (n.op, n.name if n.op == "placeholder" else str(n.target), str(_by_position(n, order)))
        for n in order
    )


def _copied(graph: torch.fx.Graph) -> torch.fx.Graph:
    new = torch.fx.Graph()
    copies: dict[Node, Node] = {}
    new.output(new.graph_copy(graph, copies))
    new.output_node().meta = dict(graph.output_node().meta)
    new._codegen = graph._codegen
    return new


def _by_position(node: Node, order: Mapping[Node, int]) -> Any:
    return map_arg((node.args, node.kwargs), lambda n: f"%{order[n]}")


def _digest(tensor: torch.Tensor) -> bytes:
    return hashlib.sha256(tensor.flatten().view(torch.uint8).numpy().tobytes()).digest()


def _argument(node: Argument) -> TensorArgument | SymIntArgument | None:
    if not isinstance(node, Node):
        return None
    if isinstance(node.meta.get("val"), torch.Tensor):
        return TensorArgument(node.name)
    return SymIntArgument(node.name)
