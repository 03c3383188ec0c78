"""Builds a module from `package.module:factory`."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from exporter.base.text import first_line
from exporter.errors import UserError

_SEED = 0
"""A factory without weights gives the same ones each time, so that two exports can be compared."""


def is_factory(target: str) -> bool:
    """Whether a text reads as `package.module:name` rather than as a file."""
    module, colon, name = target.partition(":")
    return bool(colon) and _dotted(module) and _dotted(name)


@contextmanager
def import_path(*folders: Path) -> Iterator[None]:
    """Makes modules of the current folder, then of `folders`, importable for a while."""
    before = sys.path.copy()
    sys.path[:0] = [str(Path.cwd()), *(str(folder.resolve()) for folder in folders)]
    try:
        yield
    finally:
        sys.path[:] = before


def build(spec: str, arguments: dict[str, object]) -> nn.Module:
    """Calls a factory.

    The name may lead into a class, as in `transformers:ViTModel.from_pretrained`. A `transformers`
    model class itself is given its own configuration, built from the arguments.

    Args:
        spec: `package.module:name`; modules of the current folder can be imported.
        arguments: keyword arguments.

    Raises:
        UserError: it cannot be imported, raises, or gives no `nn.Module`.
    """
    with import_path(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        built = _call(spec, _resolve(spec), arguments)
    if not isinstance(built, nn.Module):
        raise UserError(f"{spec} gave {_a(built)}, not a torch.nn.Module.")
    return built


def _resolve(spec: str) -> Any:
    module_name, _, path = spec.partition(":")
    if not is_factory(spec):
        raise UserError(f"{spec} is not a factory.", "Write it as package.module:name.")
    found: Any = None
    try:
        found = importlib.import_module(module_name)
        for name in path.split("."):  # a lazy package, such as transformers, imports more here
            if name not in dir(found) and not hasattr(found, name):
                near = difflib.get_close_matches(name, dir(found), 3)
                hint = f"Did you mean {' or '.join(near)}?" if near else ""
                raise UserError(f"{module_name} has no {path}.", hint)
            found = getattr(found, name)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # importing runs the user's code: it may do anything
        raise UserError(
            f"{spec if found else module_name} cannot be imported: {_said(error)}",
            _cure(error, module_name),
        ) from error
    return found


def _cure(error: BaseException, module_name: str) -> str:
    if isinstance(error, SystemExit):
        return "Importing it must not run a program: keep that under `if __name__ == '__main__':`."
    file, _, suffix = module_name.rpartition(".")
    if suffix == "py":
        return f"A factory is named without .py: {file}:NAME."
    if isinstance(error, ModuleNotFoundError) and module_name.startswith(error.name or " "):
        return "Install it, or run from the folder that holds it."
    # What every torchvision for CUDA says on CPU torch, be it deep inside another package.
    if any("operator torchvision::" in str(e) for e in _causes(error)):
        return "The installed torchvision was built for another torch: install the one that fits."
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__


def _call(spec: str, factory: Any, arguments: dict[str, object]) -> Any:
    if isinstance(factory, nn.Module) and not arguments:
        return factory
    if not callable(factory) or isinstance(factory, nn.Module):
        raise UserError(f"{spec} is {_a(factory)}, which takes no arguments.")
    config_class = getattr(factory, "config_class", None) if isinstance(factory, type) else None
    try:
        return factory(config_class(**arguments)) if config_class else factory(**arguments)
    except (Exception, SystemExit) as error:  # the factory is the user's code: it may do anything
        given = ", ".join(f"{k}={v!r}" for k, v in arguments.items())
        hint = "Give its arguments as --arg KEY=VALUE." if isinstance(error, TypeError) else ""
        raise UserError(f"{spec}({given}) raised {_said(error)}", hint) from error


def _said(error: BaseException) -> str:
    kind = type(error).__name__
    return f"{kind}: {first_line(error)}" if str(error).strip() else kind


def _a(thing: object) -> str:
    name = type(thing).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))
