"""From a request to a model with one call that works."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from exporter.base.files import sha256
from exporter.base.text import first_line
from exporter.errors import UserError
from exporter.loading.flat import (
    FlatInput,
    FlatModule,
    flatten_call,
    input_names,
    named_tensors,
    output_names,
    to_tensors,
)
from exporter.loading.inputs import InputSpec, make_example, parse_input
from exporter.loading.known import integer_range
from exporter.loading.opening import Opened, open_source
from exporter.loading.request import LoadRequest
from exporter.loading.script_schema import forward_arguments
from exporter.loading.source import SourceModel, call, changed, restore, snapshot
from exporter.loading.weights import check_weights
from exporter.types import Array, Example, Signature, Tensors, TensorSpec

_LONGEST_NAME = 60
"""Characters; files named after a model with a longer one are hard to handle, or refused."""


def load(request: LoadRequest) -> SourceModel:
    """Loads a model, finds inputs for it, and runs it once.

    Floating weights become float32, the reference that all artifacts are compared with.

    Args:
        request: what the user points at.

    Returns:
        The model in eval mode on the CPU, with the signature of the call that was run.

    Raises:
        UserError: it cannot be loaded, or does not run; the message says what to do.
    """
    specs = tuple(parse_input(text) for text in request.inputs)
    opened = open_source(request)
    notes = [*opened.notes, *_prepare(opened.module)]
    example = request.example or (make_example(specs) if specs else None)
    if example is None and opened.known is None and request.sample:
        example = _fitting(opened.module, request.sample(_required(opened.module) or ["x"]))
        notes.append("the first sample of the data says what the inputs look like")
    elif example is None:
        example = _known(opened)
        notes += [opened.known.note] if opened.known and opened.known.note else []
    module, flat_inputs, first = _called(opened.module, example)
    inputs = _input_specs(opened.module, flat_inputs, specs)
    names = output_names(first.names, [spec.name for spec in inputs])
    outputs = zip(names, first.outputs, strict=True)
    return SourceModel(
        module=module,
        example=tuple(flat.value for flat in flat_inputs),
        signature=Signature(
            inputs, tuple(TensorSpec(name, o.shape, o.dtype.name) for name, o in outputs)
        ),
        kind=opened.kind,
        name=_name(request, opened.path),
        path=opened.path,
        sha256=sha256(opened.path) if opened.path else None,
        script=isinstance(opened.module, torch.jit.ScriptModule),
        notes=(*notes, *first.remarks, *_unknown_ranges(inputs)),
        state=first.state,
    )


def _prepare(module: nn.Module) -> list[str]:
    """Eval mode, no gradients, CPU, float32; returns notes on what was changed."""
    notes = []
    check_weights(module)
    module.to("cpu").eval()
    for parameter in module.parameters():  # a ScriptModule has no requires_grad_ of its own
        parameter.requires_grad_(False)

    dtypes = {t.dtype for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()}
    if dtypes - {torch.float32}:
        given = ", ".join(sorted(str(d).removeprefix("torch.") for d in dtypes - {torch.float32}))
        module.float()
        notes.append(f"{given} weights were converted to float32, and that is the reference")
    configs = {id(c): c for m in module.modules() if (c := getattr(m, "config", None)) is not None}
    caching = [c for c in configs.values() if getattr(c, "use_cache", False) is True]
    for config in caching:
        config.use_cache = False
    if caching:
        notes.append("use_cache is off: outputs do not include past keys and values")
    return notes


def _called(
    module: nn.Module, example: Example
) -> tuple[FlatModule, tuple[FlatInput, ...], _FirstRun]:
    """The module made flat for an example, the example's inputs, and what running it tells."""
    plan, inputs = flatten_call(example)
    flat = FlatModule(module, plan).eval()
    return flat, inputs, _first_run(flat, inputs)


def _fitting(module: nn.Module, sample: tuple[Any, ...]) -> Example:
    """A sample as the model takes it: data sets may leave out the batch axis of 1, or have it."""
    values = [np.asarray(v.detach().cpu() if isinstance(v, Tensor) else v) for v in sample]
    plain, batched = Example(tuple(values)), Example(tuple(v[None] for v in values))
    has_batch = all(v.shape[:1] == (1,) for v in values)  # or one channel: then it does not run
    first, second = (plain, batched) if has_batch else (batched, plain)
    try:
        _called(module, first)
    except UserError:
        return second
    return first


def _known(opened: Opened) -> Example:
    if opened.known:
        return opened.known.example
    needed = _required(opened.module) or ["x"]
    options = " ".join(
        ["--input 1x3x224x224", *(f"--input {name}=SHAPE[:DTYPE]" for name in needed[1:])]
    )
    raise UserError(
        f"Nothing says what the model's inputs look like; it takes {', '.join(needed)}.",
        f"Give each one's shape, such as {options}, --example FILE, or --evaluation DATA.",
    )


def _required(module: nn.Module) -> list[str]:
    if isinstance(module, torch.jit.ScriptModule):
        return [a.name for a in forward_arguments(module) if not a.has_default_value()]
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(module.forward).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind not in variadic]


@dataclass(frozen=True)
class _FirstRun:
    """What running the model tells: outputs with their own names, changed buffers, remarks."""

    names: tuple[str, ...]
    outputs: Tensors
    state: dict[str, Tensor]
    remarks: tuple[str, ...]


def _first_run(module: FlatModule, inputs: tuple[FlatInput, ...]) -> _FirstRun:
    """Runs the model twice, each time from its first state, and leaves it with that.

    Raises:
        UserError: the model does not run on these inputs, or gives nothing that can be compared.
    """
    before = snapshot(module)
    found = list(named_tensors(_outcome(module, inputs)))
    if not found:
        raise UserError("The model's output has no tensor.", "Let forward return one.")
    outputs = tuple(_comparable(name, tensor) for name, tensor in found)
    state = changed(module, before)
    restore(module, state)
    again = call(module, tuple(flat.value for flat in inputs))
    restore(module, state)
    return _FirstRun(
        tuple(name for name, _ in found), outputs, state, _remarks(state, outputs, again)
    )


def _outcome(module: FlatModule, inputs: tuple[FlatInput, ...]) -> object:
    """What the module itself returns, nested as it is."""
    args, kwargs = module.plan.arguments(to_tensors(tuple(flat.value for flat in inputs)))
    try:
        with torch.no_grad():
            return module.module(*args, **kwargs)
    except Exception as error:  # the user's code, on the user's inputs, may raise anything
        names = input_names(module.module, inputs)
        shown = ", ".join(
            f"{name} {_summary(flat.value)}" for name, flat in zip(names, inputs, strict=True)
        )
        raise UserError(
            f"The model does not run on ({shown}): {_message(error)}",
            "Check --input or --example: shapes, types, and one for each input.",
        ) from error


def _summary(array: Array) -> str:
    return f"{array.dtype}[{'x'.join(map(str, array.shape))}]"


def _comparable(name: str, tensor: Tensor) -> Array:
    if (
        tensor.dtype in (torch.bfloat16, torch.float16)
        or tensor.is_complex()
        or tensor.is_quantized
    ):
        raise UserError(
            f"The output {name or '0'} is {str(tensor.dtype).removeprefix('torch.')}.",
            "Let forward return float32, integers or bools.",
        )
    return np.array(tensor.detach().numpy())


def _input_specs(
    module: nn.Module, inputs: tuple[FlatInput, ...], given: tuple[InputSpec, ...]
) -> tuple[TensorSpec, ...]:
    positional = [spec for spec in given if spec.name is None]
    stated: dict[str | int, InputSpec] = dict(enumerate(positional))
    stated |= {spec.name: spec for spec in given if spec.name is not None}
    found = []
    for name, flat in zip(input_names(module, inputs), inputs, strict=True):
        spec = stated.get(flat.path[0]) if len(flat.path) == 1 else None
        low, high = (spec.low, spec.high) if spec else (None, None)
        if low is None and flat.value.dtype.kind in "iu":
            low, high = integer_range(module, name) or (None, None)
        found.append(TensorSpec(name, flat.value.shape, flat.value.dtype.name, low, high))
    return tuple(found)


def _remarks(state: dict[str, Tensor], first: Tensors, again: Tensors) -> tuple[str, ...]:
    notes = []
    if state:
        names = ", ".join(name.removeprefix("module.") for name in list(state)[:4])
        notes.append(f"a call changes {names}; every run starts from the first state")
    if not all(_equal(a, b) for a, b in zip(first, again, strict=True)):
        notes.append("the model is not deterministic: two runs on the same input differ")
    if any(a.dtype.kind == "f" and not np.isfinite(a).all() for a in first):
        notes.append("outputs on the example hold NaN or infinity")
    return tuple(notes)


def _equal(a: Array, b: Array) -> bool:
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _unknown_ranges(inputs: tuple[TensorSpec, ...]) -> list[str]:
    return [
        f"the range of {spec.name} is not known; --input can state it as LOW..HIGH"
        for spec in inputs
        if spec.dtype.startswith(("int", "uint")) and spec.high is None
    ]


def _name(request: LoadRequest, path: Path | None) -> str:
    called = [request.factory_args.get(k) for k in ("model_name", "pretrained_model_name_or_path")]
    given = next((c for c in called if isinstance(c, str)), request.target.rpartition(":")[2])
    stem = path.stem if path else given.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.-]+", "-", stem)[:_LONGEST_NAME].strip("-.") or "model"


def _message(error: Exception) -> str:
    """The model's own words, on one line: TorchScript puts them last, after its own traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = next((line for line in reversed(lines) if re.match(r"[\w.]*Error: ", line)), None)
    return cause or first_line(error)
