"""Whether a runtime's tensor is the captured one that its name says, by the numbers of a sample.

A toolchain's names are hypotheses: it merges, moves and folds operators as it likes, and a range of
the wrong tensor would spoil the file without any error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.fx import Interpreter, Node

from exporter.base.locate import source_line
from exporter.errors import FormatError
from exporter.quantize.marker import key
from exporter.quantize.operators import constants_of, layer_of
from exporter.quantize.recipe import Recipe
from exporter.types import Array, Compute, Sample

TOLERANCE = 1e-3
"""Largest difference, relative to the largest value. A toolchain only reorders float32 additions,
which leaves a hundred layers within 1e-4; tensors of two layers differ in the first digit."""


def least(kinds: Iterable[Compute]) -> Compute:
    """Of several ways to compute, the one with the least of int8."""
    return min(kinds, key=list(Compute).index)


def wanted(recipe: Recipe, operators: Iterable[str]) -> Compute:
    """What a recipe wants of captured operators that a toolchain made one, the least of int8."""
    return least(recipe.by_node[name].compute for name in operators)


class Captured:
    """The operators of a captured program, and the values of its tensors on one sample.

    Args:
        program: float32, marked.
        sample: its inputs.

    Attributes:
        order: name of each captured operator -> its place.
        layers: names of those that hold float32 weights.
    """

    def __init__(self, program: ExportedProgram, sample: Sample) -> None:
        recorder = _Recorder(program)
        with torch.no_grad():
            recorder.run(*(torch.from_numpy(x.copy()) for x in sample))
        self._values, self._parts = recorder.values, recorder.parts
        self._nodes = {name: node for node in program.graph.nodes if (name := key(node))}
        constants = constants_of(program)
        self.order = {name: place for place, name in enumerate(self._nodes)}
        self.layers = frozenset(n for n, node in self._nodes.items() if layer_of(node, constants))

    def origin(self, names: Iterable[str], value: Array) -> str | None:
        """The captured tensor that a runtime's tensor is.

        Args:
            names: operators it may come from, the likeliest first; of one that gives several
                tensors it may be any.
            value: on the sample; toolchains choose the layout, so that any order of its elements
                will do.

        Returns:
            Name of the first that holds the same numbers; None where the toolchain made a tensor
            that the captured program does not have.
        """
        candidates = (part for name in names for part in (name, *self._parts[name]))
        return next((c for c in candidates if self._is(c, value)), None)

    def check(self, operator: str, tensors: Iterable[tuple[Iterable[str], Array]]) -> None:
        """Refuses a mapping by which what is named after a layer is what another one gives.

        Numbers that no layer gives are no such proof: a toolchain moves a scale or a bias from one
        operator to the next. They have no captured range, that is all.

        Args:
            operator: name of a captured operator.
            tensors: all that the runtime computes under its name: the operators that each of them
                may come from (a fused activation has its own name), and its value on the sample.

        Raises:
            FormatError: none of them has the operator's numbers, and one has another layer's.
        """
        given = [(tuple(names), value) for names, value in tensors]
        if any(self.origin(names, value) for names, value in given):
            return
        others = sorted(self.layers - {operator})
        other = next((o for o in others for _, value in given if self._is(o, value)), None)
        if other:
            node = self._nodes[operator]
            where = source_line(node)
            raise FormatError(
                f"the converter's tensors named after {operator} ({node.target}"
                f"{f', {where}' if where else ''}) hold the numbers of {other}, so that no int8 "
                "range could be told for them"
            )

    def _fits(self, name: str, value: Array) -> bool:
        return name in self._values and self._values[name].size == value.size

    def _is(self, name: str, value: Array) -> bool:
        return self._fits(name, value) and _same(self._values[name], value)


def _same(want: Array, got: Array) -> bool:
    """Whether two arrays of one size hold the same numbers in some order."""
    largest = np.abs(want[np.isfinite(want)]).max(initial=0.0)
    a, b = np.sort(want, axis=None), np.sort(got, axis=None)
    return np.allclose(a, b, rtol=0, atol=TOLERANCE * largest, equal_nan=True)


class _Recorder(Interpreter):
    """Keeps what was made under each mark: the last of it is what the captured operator gave."""

    def __init__(self, program: ExportedProgram) -> None:
        super().__init__(program.module(check_guards=False))
        self.values: dict[str, Array] = {}
        self.parts: defaultdict[str, list[str]] = defaultdict(list)
        """Operator with several results -> the names of those."""

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        name = key(n)
        if name and isinstance(value, torch.Tensor) and value.dtype == torch.float32:
            self.values[name] = value.numpy()
        for source in n.all_input_nodes:
            whole = key(source)
            if name and whole and whole != name and not isinstance(self.env[source], torch.Tensor):
                self.parts[whole].append(name)
        return value
