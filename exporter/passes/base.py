"""What a pass is, and the check that it is honest about what it did."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from torch.export import ExportedProgram
from torch.fx import Node

from exporter.passes.graph import Graph
from exporter.types import PassOutcome


@dataclass(frozen=True)
class Refusal:
    """A place that a pass looked at and left alone.

    Attributes:
        reason: one clause; the operator's name is put before it.
    """

    reason: str


class Pass(Protocol):
    """One change to a program, in a file of its own.

    Attributes:
        name: as users read it.
    """

    name: str

    def __call__(self, program: ExportedProgram) -> tuple[ExportedProgram, PassOutcome]:
        """A program that computes the same, and what was done; the given one is left as it was."""
        ...


class DishonestPassError(AssertionError):
    """A pass said that it changed the graph and did not, or the other way round: our bug."""


Found = TypeVar("Found")


class Rewrite(ABC, Generic[Found]):
    """A pass that visits the calls of a graph one by one.

    Deciding and doing are apart: `check` only looks, `rewrite` only acts on what `check` found.

    Attributes:
        name: as users read it.
    """

    name: str

    @abstractmethod
    def check(self, graph: Graph, node: Node) -> Found | Refusal | None:
        """What to rewrite it with if it is to be, None if it is none of our business."""

    @abstractmethod
    def rewrite(self, graph: Graph, node: Node, found: Found) -> None:
        """Rewrites the call with what `check` found."""

    def __call__(self, program: ExportedProgram) -> tuple[ExportedProgram, PassOutcome]:
        graph = Graph(program)
        before = graph.fingerprint()
        count = 0
        refusals: list[str] = []
        for node in graph.nodes():
            if node.op != "call_function" or node._erased:
                continue
            found = self.check(graph, node)
            if isinstance(found, Refusal):
                refusals.append(f"{node.target}: {found.reason}")
            elif found is not None:
                self.rewrite(graph, node, found)
                count += 1
        if (graph.fingerprint() != before) != bool(count):
            raise DishonestPassError(f"`{self.name}` reports {count} changes, the graph disagrees")
        outcome = PassOutcome(self.name, count, tuple(dict.fromkeys(refusals)))
        if not count:
            return program, outcome
        graph.sweep()
        return graph.finish(), outcome


def apply(
    program: ExportedProgram, passes: Iterable[Pass]
) -> tuple[ExportedProgram, tuple[PassOutcome, ...]]:
    """Runs passes in order.

    Args:
        program: positional tensors in, tuple of tensors out.
        passes: such as `SHARED`, or `for_format(format)`.

    Returns:
        The program after all passes, and what each of them did.

    Raises:
        DishonestPassError: a pass is not honest about what it did.
    """
    outcomes = []
    for one in passes:
        result, outcome = one(program)
        if (result is not program) != outcome.changed:
            raise DishonestPassError(f"`{one.name}` reports {outcome.count} changes, but it lies")
        program = result
        outcomes.append(outcome)
    return program, tuple(outcomes)


def argument(node: Node, index: int, name: str, default: Any = None) -> Any:
    """An argument of a call, wherever it stands."""
    if len(node.args) > index:
        return node.args[index]
    return node.kwargs.get(name, default)


def shape_of(node: Node) -> tuple[Any, ...]:
    """Sizes of a node's result; a size may be symbolic."""
    return tuple(node.meta["val"].shape)


def only_user(node: Node) -> Node | None:
    """The one user of a node, or None if there are more or none."""
    return next(iter(node.users)) if len(node.users) == 1 else None
