"""Runs a TorchScript module in Python, so that torch.export can follow it.

torch.export refuses TorchScript. Its graph, all methods inlined, is run here node by node:
control flow that depends on shapes and constants is simply taken, loops unroll, and every operator
reaches the exporter as if Python had called it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.fx.traceback
from torch import nn

from exporter.base.text import first_line
from exporter.errors import FormatError
from exporter.loading.script_location import location, stack_trace
from exporter.loading.script_numbers import ON_VALUES
from exporter.loading.script_operators import call_operator
from exporter.loading.script_schema import all_nodes, forward_arguments

Values = dict[str, Any]


class ScriptError(FormatError):
    """A TorchScript node cannot be followed; the reason names it and its line."""


class ScriptProgram(nn.Module):
    """A TorchScript module as a plain module: the same weights under the same names.

    Args:
        script: the module; it is not changed.
    """

    def __init__(self, script: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.root = _mirror(script, {})
        self._graph: Any = script.inlined_graph.copy()
        self._constants = {
            node.output().debugName(): node.output().toIValue()
            for node in all_nodes(self._graph)
            if node.kind() == "prim::Constant"
        }
        schema = forward_arguments(script)
        self._names = tuple(argument.name for argument in schema)
        self._defaults = {a.name: a.default_value for a in schema if a.has_default_value()}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        given = self._defaults | dict(zip(self._names, args, strict=False)) | kwargs
        inputs = [self.root, *(given[name] for name in self._names)]
        values: Values = dict(
            zip((v.debugName() for v in self._graph.inputs()), inputs, strict=True)
        )
        (output,) = self._run(self._graph, values)
        return output

    def _run(self, block: Any, values: Values) -> list[Any]:
        for node in block.nodes():
            if trace := stack_trace(node):
                torch.fx.traceback.set_stack_trace([trace])
            try:
                results = self._evaluate(node, values)
            except FormatError:
                raise
            except Exception as error:  # whatever a kernel or a Python value objects to
                raise ScriptError(_reason(node, error)) from error
            outputs = [value.debugName() for value in node.outputs()]
            values.update(zip(outputs, results if len(outputs) != 1 else [results], strict=True))
        return [self._value(output, values) for output in block.outputs()]

    def _value(self, value: Any, values: Values) -> Any:
        name = value.debugName()
        return values[name] if name in values else self._constants[name]

    def _evaluate(self, node: Any, values: Values) -> Any:
        """The value of a node, or the sequence of its values where it has none or several."""
        kind = node.kind()
        inputs = [self._value(value, values) for value in node.inputs()]
        if kind == "prim::If":
            then, otherwise = node.blocks()
            return _one_or_all(self._run(then if inputs[0] else otherwise, values))
        if kind == "prim::Loop":
            return _one_or_all(self._loop(node, values, *inputs))
        if kind == "prim::Constant":
            return self._constants[node.output().debugName()]
        if kind == "prim::GetAttr":
            return _attribute(inputs[0], node.s("name"))
        if kind == "prim::SetAttr":
            setattr(inputs[0], node.s("name"), inputs[1])
            return ()
        if kind == "prim::DictConstruct":
            return dict(zip(inputs[::2], inputs[1::2], strict=True))
        if kind in _PRIMITIVES:
            return _PRIMITIVES[kind](*inputs)
        result = call_operator(node, inputs)
        return () if node.outputsSize() == 0 else result

    def _loop(self, node: Any, values: Values, limit: int, go_on: Any, *carried: Any) -> list[Any]:
        (body,) = node.blocks()
        names = [value.debugName() for value in body.inputs()]
        state, count = list(carried), 0
        while go_on and count < limit:
            values.update(zip(names, [count, *state], strict=True))
            go_on, *state = self._run(body, values)
            count += 1
        return state


class _Mirror(nn.Module):
    """The weights and submodules of a script module; other attributes are looked up in it."""

    def __init__(self, script: object) -> None:
        super().__init__()
        object.__setattr__(self, "_script_module", script)


_Shared = dict[tuple[object, ...], nn.Parameter]


def _mirror(script: Any, shared: _Shared) -> nn.Module:
    """Copies the module tree; weights that were tied stay tied."""
    plain = _Mirror(script)
    for name, parameter in script.named_parameters(recurse=False, remove_duplicate=False):
        tensor = parameter.detach()
        place = (
            (tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else (id(tensor),)
        )
        tied = shared.setdefault(place, nn.Parameter(tensor, requires_grad=False))
        plain.register_parameter(name, tied)
    for name, buffer in script.named_buffers(recurse=False):
        plain.register_buffer(name, buffer.detach().clone())
    for name, child in script.named_children():
        plain.add_module(name, _mirror(child, shared))
    return plain.eval()


def _attribute(owner: Any, name: str) -> Any:
    if not isinstance(owner, _Mirror):
        return getattr(owner, name)
    for own in (owner._parameters, owner._buffers, owner._modules, vars(owner)):
        if name in own:
            return own[name]
    return getattr(vars(owner)["_script_module"], name)


def _one_or_all(results: list[Any]) -> Any:
    return results[0] if len(results) == 1 else results


def _raise(message: str, *_: object) -> None:
    raise RuntimeError(f"the model raises: {message}")


def _items(*items: Any) -> list[Any]:
    return list(items)


def _tuple(*items: Any) -> tuple[Any, ...]:
    return items


def _unpack(items: Iterable[Any]) -> Any:
    return _one_or_all(list(items))


def _same(value: Any, *_: object) -> Any:
    return value


def _nothing(*_: object) -> tuple[()]:
    return ()


_PRIMITIVES: dict[str, Callable[..., Any]] = {
    "prim::ListConstruct": _items,
    "prim::TupleConstruct": _tuple,
    "prim::ListUnpack": _unpack,
    "prim::TupleUnpack": _unpack,
    "prim::TupleIndex": operator.getitem,
    "prim::NumToTensor": _same,  # numbers stay numbers: sizes, on their way to a view
    "prim::ImplicitTensorToNum": ON_VALUES["ScalarImplicit"],
    "prim::unchecked_cast": _same,
    "prim::unchecked_unwrap_optional": _same,
    "aten::_unwrap_optional": _same,
    "prim::annotate": _same,
    "prim::data": _same,
    "prim::Uninitialized": lambda: None,
    "prim::RaiseException": _raise,
    "prim::Print": _nothing,
    "prim::Enter": _same,
    "prim::Exit": _nothing,
    "prim::min": min,
    "prim::max": max,
    "prim::is_cuda": lambda _tensor: False,
    "prim::is_cpu": lambda _tensor: True,
    "prim::is_nested": lambda _tensor: False,
    "prim::is_quantized": lambda _tensor: False,
    "prim::is_sparse": lambda _tensor: False,
    "prim::is_mkldnn": lambda _tensor: False,
    "prim::is_meta": lambda _tensor: False,
    "prim::device": lambda tensor: tensor.device,
    "prim::shape": lambda tensor: list(tensor.shape),
    "prim::requires_grad": lambda _tensor: False,
}


def _reason(node: Any, error: Exception) -> str:
    where = location(node)
    place = f" ({where})" if where else ""
    if "data-dependent" in str(error).lower() or "GuardOnDataDependent" in type(error).__name__:
        return (
            f"{node.kind()}{place}: the model branches on a tensor's values, which a graph cannot"
        )
    return f"{node.kind()}{place} cannot be captured from TorchScript: {first_line(error)}"
