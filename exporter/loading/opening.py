"""Opens whatever the user points at, up to a module."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.export.pt2_archive.constants import OPAQUE_OBJ_FILENAME_PREFIX

from exporter.base.text import first_line
from exporter.errors import UserError
from exporter.loading import known
from exporter.loading.detect import FileKind, archive_members, artifact_name, detect
from exporter.loading.factories import build, is_factory
from exporter.loading.known import Known
from exporter.loading.pickles import read_pickle
from exporter.loading.program import ProgramModule
from exporter.loading.request import LoadRequest
from exporter.loading.weights import (
    StateDict,
    find_module,
    find_state_dict,
    load_weights,
    read_safetensors,
)
from exporter.types import Format


@dataclass(frozen=True)
class Opened:
    """A module, not yet prepared.

    Attributes:
        module: as it was found.
        kind: what it was, in words.
        path: the file; None for a factory.
        known: inputs that the file or the model states.
        notes: what the user should know.
    """

    module: nn.Module
    kind: str
    path: Path | None = None
    known: Known | None = None
    notes: tuple[str, ...] = ()


def open_source(request: LoadRequest) -> Opened:
    """Opens the target of a request.

    Raises:
        UserError: it cannot be opened; the message says why and what to do.
    """
    path = Path(request.target)
    if not path.exists() and is_factory(request.target):
        if request.factory:
            raise UserError(
                "--model goes with a file of weights, and the model is a factory already."
            )
        module = build(request.target, request.factory_args)
        return Opened(module, f"factory {request.target}", known=known.of_module(module))
    kind = detect(path)
    if isinstance(kind, Format):
        raise UserError(
            f"{path} is already an artifact: {artifact_name(kind)}.",
            "Use export-mobile inspect, or verify on its folder.",
        )
    opened = _open_file(path, kind, request)
    if request.factory and not opened.kind.startswith("state_dict"):
        raise UserError(f"{path} is a {opened.kind}, which needs no --model.", "Leave --model out.")
    if request.factory_args and not request.factory:
        raise UserError(f"--arg is for a factory, and {path} is a {opened.kind}.")
    return opened


def read_script(path: Path) -> torch.jit.ScriptModule:
    """Loads a TorchScript archive, onto the CPU.

    Raises:
        UserError: the file is damaged, or uses operators that are not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # torch.jit is deprecated; the user's file is what it is
            return torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"{path} cannot be loaded as TorchScript: {_gist(error)}.") from error


def read_program(path: Path, trust: bool = False) -> ExportedProgram:
    """Loads a `.pt2` file, which may hold pickles: without trust none of them can run code.

    Raises:
        UserError: the file is damaged, of a version this torch does not read, or needs trust.
    """
    pickled = any(OPAQUE_OBJ_FILENAME_PREFIX in name for name in archive_members(path).values())
    if pickled and not trust:
        raise _untrusted_program(path)
    try:
        with _pickles_of_tensors_only(not trust):
            return torch.export.load(path)
    except pickle.UnpicklingError as error:
        raise _untrusted_program(path) from error
    except Exception as error:  # the deserializer raises whatever a damaged field leads to
        raise UserError(
            f"{path} cannot be loaded as an exported program: {_gist(error)}.",
            f"It may be damaged, or saved by another version than torch {torch.__version__}.",
        ) from error


@contextmanager
def _pickles_of_tensors_only(enabled: bool) -> Iterator[None]:
    """Makes every `torch.load` refuse what `weights_only` refuses.

    `torch.export.load` falls back to full unpickling; this variable is torch's way to forbid it.
    """
    variable = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(variable)
    if enabled:
        os.environ[variable] = "1"
    try:
        yield
    finally:
        os.environ.pop(variable, None)
        if before is not None:
            os.environ[variable] = before


def _untrusted_program(path: Path) -> UserError:
    return UserError(
        f"{path} holds pickled objects besides tensors; loading them runs code it names.",
        "If you trust where it comes from, add --trust.",
    )


def _open_file(path: Path, kind: FileKind, request: LoadRequest) -> Opened:
    if kind is FileKind.TORCHSCRIPT:
        traced = "traced_inputs.pkl" in archive_members(path)
        words = f"{kind}, traced" if traced else str(kind)
        return Opened(read_script(path), words, path, known.of_archive(path))
    if kind is FileKind.PROGRAM:
        program = read_program(path, request.trust)
        return Opened(ProgramModule(program), str(kind), path, known.of_program(program))
    if kind is FileKind.SAFETENSORS:
        return _open_weights(path, read_safetensors(path), f"state_dict in a {kind}", request)
    loaded = read_pickle(path, request.trust)
    module = find_module(loaded)
    if module is None:
        return _open_weights(path, find_state_dict(loaded, str(path)), "state_dict", request)
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        module = module.module
    name = type(module).__qualname__
    return Opened(module, f"pickled module of class {name}", path, known.of_module(module))


def _open_weights(path: Path, state: StateDict, kind: str, request: LoadRequest) -> Opened:
    if not request.factory:
        raise UserError(
            f"{path} is a state_dict: weights without the model that they belong to.",
            "Name what builds the model: --model package.module:factory "
            "(arguments as --arg KEY=VALUE).",
        )
    module = build(request.factory, request.factory_args)
    load_weights(module, state, str(path))
    dtypes = {tensor.dtype for tensor in state.values() if tensor.is_floating_point()} - {
        torch.float32
    }
    notes = tuple(
        f"weights are stored as {str(d).removeprefix('torch.')}" for d in sorted(dtypes, key=str)
    )
    return Opened(module, f"{kind} for {request.factory}", path, known.of_module(module), notes)


def _gist(error: Exception) -> str:
    return first_line(error).rstrip(".:")
