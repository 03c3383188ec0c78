"""Decides what becomes of each operator in int8, once for all formats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import assert_never

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node

from exporter.base.locate import source_line
from exporter.errors import UserError
from exporter.quantize.marker import key
from exporter.quantize.operators import (
    ATTENTION,
    BETWEEN,
    CLAMPS,
    EMBEDDING,
    LINEARS,
    MOVES,
    PRODUCTS,
    RECURRENT,
    Weighted,
    constants_of,
    is_depthwise,
    is_float,
    layer_of,
    macs,
)
from exporter.quantize.ranges import RANGE_LIMIT, Observed, is_tame
from exporter.quantize.recipe import Recipe, Step
from exporter.types import Compute, Scheme

aten = torch.ops.aten

_NO_RANGE = "its values reach beyond what an int8 scale can hold"
_WRAPPER = "module"
"""Capturing puts the user's model into a module of this name."""

_HIDE = frozenset({aten.add.Tensor, aten.sub.Tensor, aten.softmax.int, aten.where.self, ATTENTION})
"""What reads a mask."""

_TAKE_NUMBERS = frozenset({aten.add.Tensor, aten.mul.Tensor, aten.mul.Scalar})

Decision = tuple[Compute, str]
"""How an operator computes, and why not in int8."""


def recipe(program: ExportedProgram, scheme: Scheme, observed: Observed | None = None) -> Recipe:
    """Decides for every call of a captured program.

    - Convolutions and linear layers are static or dynamic int8. With dynamic activations depthwise
      convolutions keep int8 weights alone: no runtime has a fast kernel (XNNPACK has none, LiteRT
      leaves them to its interpreter: 14.6 ms in 17 pieces against 3.2 ms for EfficientNet-Lite0).
    - A clamp after such a layer is one with it, whatever follows: the layer's own output would be
      quantized over a range that is thrown away.
    - Embeddings look up int8 rows, which come out as float. Recurrent layers are dynamic where a
      format writes them out as linear layers, else they hold int8 weights: what lies between their
      steps is never seen here.
    - What holds no weights is static only where all around it is int8, the model's inputs and
      outputs aside. In a CNN that is everywhere, and saves going to float and back. In a
      transformer it is nowhere, which is right: its residual stream has a few values so large that
      int8 leaves little of the others (a trained MiniLM has 6 dB with it in int8 and 11 dB without,
      a digits DeiT 31 and 38, four times slower in 42 delegates instead of one).
    - What no static int8 scale can hold stays float, and so does all that leads to a factor of
      something huge: transformers make a mask as `(1 - keep) * -3.4e38`, where the smallest
      rounding of `keep` would hide every token. A layer that gives or takes such values keeps int8
      weights.
    - Products of constants stay float: the int8 form would be kept without its run-time scale.

    Args:
        program: captured, after the shared passes, and not yet marked.
        scheme: static or dynamic.
        observed: of this program; dynamic needs none, and takes no notice of it.

    Raises:
        ValueError: static without ranges, no int8 scheme, or a marked program, whose modules are
            no longer known.
    """
    if scheme is Scheme.FLOAT or (scheme is Scheme.STATIC and observed is None):
        raise ValueError(f"cannot decide {scheme} {'with' if observed else 'without'} ranges")
    calls = [n for n in program.graph.nodes if n.op == "call_function"]
    if any(key(n) for n in calls):
        raise ValueError("the program is marked already")
    constants = constants_of(program)
    layers = {n: found for n in calls if (found := layer_of(n, constants))}
    huge = _huge_constants(program, constants)
    decided = _Decisions(scheme, calls, constants, layers, observed, huge).made()
    seen = observed if scheme is Scheme.STATIC else None
    return Recipe(
        scheme,
        seen.inputs if seen else tuple(None for _ in _inputs(program)),
        tuple(
            Step(
                node=n.name,
                operator=_operator(n),
                module=module_path(n),
                source=source_line(n, of_user=True),
                compute=decided[n][0],
                range=seen.ranges.get(n.name) if seen else None,
                macs=macs(n, layers.get(n)),
                why=decided[n][1],
            )
            for n in calls
        ),
    )


def check(edited: Recipe, made: Recipe) -> None:
    """Refuses a recipe that is not one for the program.

    Args:
        edited: what a person made of it.
        made: what `recipe` gives for the same program and scheme.

    Raises:
        UserError: it is of another scheme, names operators that are not there, leaves some out, or
            makes static what has no ranges.
    """
    if edited.scheme is not made.scheme or len(edited.inputs) != len(made.inputs):
        raise UserError(
            f"the recipe is {edited.scheme} for {len(edited.inputs)} inputs; this export is "
            f"{made.scheme}, and the model takes {len(made.inputs)}."
        )
    if edited.scheme is Scheme.DYNAMIC and (
        fixed := [s.node for s in edited.steps if s.compute is Compute.STATIC]
    ):
        raise UserError(
            f"the recipe makes `{fixed[0]}` static, for which a dynamic one has no ranges.",
            "Edit the recipe of --scheme static, which takes dynamic steps too.",
        )
    here, there = made.by_node, edited.by_node
    if strange := [n for n in there if n not in here or there[n].operator != here[n].operator]:
        raise UserError(f"the recipe names `{strange[0]}`, which the model does not have.")
    if missing := here.keys() - there.keys():
        raise UserError(f"the recipe does not say what becomes of `{min(missing)}`.")


def module_path(node: Node) -> str:
    """Path in the user's model of the module that a call was captured in; empty where unknown."""
    stack = node.meta.get("nn_module_stack") or {}
    path = next(reversed(stack.values()), ("", ""))[0]
    inner = path.removeprefix(_WRAPPER)
    return inner.removeprefix(".") if inner[:1] in ("", ".") else path


def _operator(node: Node) -> str:
    target = node.target
    return (
        str(target)
        if isinstance(target, torch._ops.OpOverload)
        else getattr(target, "__name__", str(target))
    )


def _inputs(program: ExportedProgram) -> list[str]:
    specs = program.graph_signature.input_specs
    return [s.arg.name for s in specs if s.kind is InputKind.USER_INPUT]


class _Decisions:
    """The rules of `recipe`, over one graph."""

    def __init__(
        self,
        scheme: Scheme,
        calls: list[Node],
        constants: frozenset[Node],
        layers: Mapping[Node, Weighted],
        observed: Observed | None,
        huge_constants: frozenset[str],
    ) -> None:
        self._scheme = scheme
        self._calls = calls
        self._constants = constants
        self._layers = layers
        self._wild: set[Node] = set()
        self._exact: set[Node] = set()
        if observed and scheme is Scheme.STATIC:
            products = [n for n in calls if n.name in observed.wild and _is_mask(n)]
            self._exact = _ancestors(products)
            wild = huge_constants | observed.wild
            self._wild = {n for c in calls for n in (c, *c.all_input_nodes) if n.name in wild}
            self._wild |= {n for n in calls if n.target in _TAKE_NUMBERS and _is_huge(n.args[-1])}

    def made(self) -> dict[Node, Decision]:
        """Every call's decision."""
        decided: dict[Node, Decision] = {n: (Compute.FLOAT, self._why(n)) for n in self._calls}
        decided |= {n: self._of_layer(n, layer) for n, layer in self._layers.items()}
        if self._scheme is Scheme.STATIC:
            static = {n for n, (compute, _) in decided.items() if compute is Compute.STATIC}
            static |= {c for n in static if (c := _clamp_of(n))}
            decided |= dict.fromkeys(static | self._between(static), (Compute.STATIC, ""))
        return decided

    def _of_layer(self, node: Node, layer: Weighted) -> Decision:
        if node.target is EMBEDDING:
            return Compute.WEIGHT_ONLY, "its rows are looked up as int8, and come out as float"
        if layer.activation in self._constants:
            return Compute.FLOAT, "it is a product of constants"
        if node in self._exact:
            return Compute.FLOAT, _NO_RANGE
        if node.target in RECURRENT:
            return Compute.DYNAMIC, ""
        if not self._wild.isdisjoint((layer.activation, _clamp_of(node) or node)):
            return Compute.WEIGHT_ONLY, _NO_RANGE
        match self._scheme:
            case Scheme.STATIC:
                return Compute.STATIC, ""
            case Scheme.DYNAMIC if is_depthwise(node):
                return Compute.WEIGHT_ONLY, "no runtime has a fast dynamic kernel for it"
            case Scheme.DYNAMIC:
                return Compute.DYNAMIC, ""
            case Scheme.FLOAT:
                raise ValueError("float is no scheme of int8")
            case _:
                assert_never(self._scheme)

    def _why(self, node: Node) -> str:
        """Why an operator that is no layer is float."""
        if node.target is ATTENTION or node.target in LINEARS:
            return "both factors of its products change with the input"
        if node.target not in BETWEEN or not is_float(node) or self._scheme is Scheme.DYNAMIC:
            return ""
        return _NO_RANGE if self._unfit(node) else "what is beside it computes in float"

    def _unfit(self, node: Node) -> bool:
        return node in self._exact or not self._wild.isdisjoint((node, *node.all_input_nodes))

    def _between(self, static: set[Node]) -> set[Node]:
        """The `BETWEEN` operators whose neighbours are all int8.

        Starts with all of them and drops those with a float neighbour until none is left to drop;
        then keeps what is connected to a layer at all.
        """
        neighbours = self._neighbours()
        kept = {
            n
            for n in self._calls
            if n.target in BETWEEN
            and n not in static | self._constants
            and is_float(n)
            and not self._unfit(n)
        }
        while lost := {n for n in kept if not neighbours[n] <= kept | static}:
            kept -= lost
        reached: set[Node] = set()
        frontier = static
        while frontier := {n for f in frontier for n in neighbours[f] & kept} - reached:
            reached |= frontier
        return reached

    def _neighbours(self) -> dict[Node, set[Node]]:
        """Call -> the calls it takes float tensors from or gives them to."""
        found: dict[Node, set[Node]] = defaultdict(set)
        for node in self._calls:
            for source in node.all_input_nodes:
                made = source.op == "call_function" and source not in self._constants
                if made and is_float(source):
                    found[node].add(source)
                    found[source].add(node)
        return found


def _huge_constants(program: ExportedProgram, constants: frozenset[Node]) -> frozenset[str]:
    values = {**program.constants, **program.state_dict}
    specs = {s.arg.name: s.target for s in program.graph_signature.input_specs}
    stored = {n.name: values.get(specs[n.name]) for n in constants if n.op == "placeholder"}
    return frozenset(
        name for name, v in stored.items() if isinstance(v, torch.Tensor) and not is_tame(v)
    )


def _is_mask(product: Node) -> bool:
    """Whether a product is added to scores, and is no result of its own such as one in units."""
    if product.target not in PRODUCTS:
        return False
    waiting = list(product.users)
    while waiting:
        reader = waiting.pop()
        if reader.target in _HIDE:
            return True
        if reader.target in MOVES | {aten.expand.default}:
            waiting.extend(reader.users)
    return False


def _is_huge(value: object) -> bool:
    return isinstance(value, int | float) and not abs(value) < RANGE_LIMIT


def _clamp_of(layer: Node) -> Node | None:
    """The clamp that is one with a convolution or linear layer."""
    user = next(iter(layer.users), None)
    alone = len(layer.users) == 1 and layer.target not in RECURRENT
    return user if alone and user is not None and user.target in CLAMPS else None


def _ancestors(nodes: Iterable[Node]) -> set[Node]:
    found: set[Node] = set()
    waiting = [source for node in nodes for source in node.all_input_nodes]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(node.all_input_nodes)
    return found
