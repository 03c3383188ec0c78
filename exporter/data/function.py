"""Samples from a user's Python function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from exporter.data.rows import Rows
from exporter.errors import UserError
from exporter.types import TensorSpec

_SEED = 0
_Item: TypeAlias = tuple[int, tuple[Any, ...], int | None]
"""Index among all samples, raw inputs, label."""


def function_rows(reference: str, inputs: Sequence[TensorSpec], limit: int | None) -> Rows:
    """Calls `package.module:function` without arguments and collects what it yields.

    A sample is an array or tensor (for a single-input model), a tuple or list of one an input, a
    dict by input name, or a pair of any of these and a label. The current folder is importable.
    With a limit a uniform choice is kept (reservoir sampling, fixed seed): only so many are in
    memory, but the function must come to an end.

    Raises:
        UserError: it cannot be imported, raises, or yields something else.
    """
    items: list[_Item] = []
    rng = np.random.default_rng(_SEED)
    given = 0
    for index, sample in enumerate(_samples(reference)):
        given += 1
        place = index if limit is None or index < limit else int(rng.integers(index + 1))
        if place < len(items):
            items[place] = (index, *_split(sample, inputs, f"{reference}, sample {index}"))
        elif place == len(items) and (limit is None or place < limit):
            items.append((index, *_split(sample, inputs, f"{reference}, sample {index}")))
    items.sort(key=lambda item: item[0])
    labels = [label for _, _, label in items if label is not None]
    if labels and len(labels) < len(items):
        raise UserError(f"{reference}: only {len(labels)} of {len(items)} samples have a label.")
    return Rows(
        count=len(items),
        read=lambda i: items[i][1],
        where=lambda i: f"{reference}, sample {items[i][0]}",
        labels=tuple(labels) or None,
        dropped=given - len(items),
    )


def first_values(reference: str, inputs: Sequence[TensorSpec]) -> tuple[Any, ...]:
    """The raw inputs of the first sample that a function yields; see `function_rows`."""
    for sample in _samples(reference):
        return _split(sample, inputs, f"{reference}, sample 0")[0]
    raise UserError(f"{reference} holds no samples.")


def _samples(reference: str) -> Iterator[Any]:
    with _importable(Path.cwd()):
        function = _resolve(reference)
        try:
            made = function()
            if not isinstance(made, Iterable):
                raise UserError(
                    f"{reference} gives {type(made).__name__}, not samples.", "Let it yield them."
                )
            yield from made
        except UserError:
            raise
        except (Exception, SystemExit) as error:  # the user's code may do anything
            raise UserError(
                f"{reference} raised {type(error).__name__}: {error}", _line(error)
            ) from error


def _resolve(reference: str) -> Callable[[], Any]:
    module_name, _, name = reference.partition(":")
    try:
        found: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        hint = "It is looked for in the current folder and among the installed packages."
        raise UserError(f"{reference}: there is no module {error.name}.", hint) from error
    except (Exception, SystemExit) as error:  # importing runs the user's code
        raise UserError(
            f"{reference}: importing it raised {type(error).__name__}: {error}", _line(error)
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise UserError(f"{reference}: {module_name} has no {name}.")
        found = getattr(found, part)
    if not callable(found):
        raise UserError(f"{reference} is {type(found).__name__}, not a function.")
    function: Callable[[], Any] = found
    return function


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def _line(error: BaseException) -> str:
    """The innermost line of the traceback, where the user's code went wrong."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"At {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}." if trace else ""


def _split(
    sample: Any, inputs: Sequence[TensorSpec], where: str
) -> tuple[tuple[Any, ...], int | None]:
    """Raw inputs in the model's order, and the label if there is one."""
    label = None
    if _is_labelled(sample, len(inputs)):
        sample, label = sample[0], _label(sample[1], where)
    if isinstance(sample, Mapping):
        if set(sample) != {spec.name for spec in inputs}:
            names = ", ".join(spec.name for spec in inputs)
            raise UserError(
                f"{where}: has {', '.join(map(str, sample))}; the model's inputs are {names}."
            )
        return tuple(sample[spec.name] for spec in inputs), label
    values = tuple(sample) if isinstance(sample, tuple | list) else (sample,)
    if len(values) != len(inputs):
        raise UserError(f"{where}: has {len(values)} inputs, the model takes {len(inputs)}.")
    return values, label


def _is_labelled(sample: Any, inputs: int) -> bool:
    """A pair is (inputs, label) for a single-input model, or where its first is a collection."""
    if not isinstance(sample, tuple | list) or len(sample) != 2:
        return False
    return inputs == 1 or isinstance(sample[0], tuple | list | Mapping)


def _label(value: Any, where: str) -> int:
    number = np.asarray(value)
    if number.size != 1 or number.dtype.kind not in "iu" or number.item() < 0:
        raise UserError(
            f"{where}: the second of the pair, {type(value).__name__}, is not a class number."
        )
    return int(number.item())
