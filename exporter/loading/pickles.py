"""Reads torch.save files; runs the code that a pickle names only when the user trusts it."""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch

from exporter.errors import UserError
from exporter.loading.detect import archive_members
from exporter.loading.factories import import_path

_LEGACY_HEADERS = 3
"""Magic number, protocol and system facts: pickles before the object in torch's old format."""


@dataclass(frozen=True)
class PickleSummary:
    """What a pickle would import, read without unpickling it.

    Attributes:
        root: the class of the pickled object where it is an instance, such as `net.Net`.
        is_module: whether that object has the fields of an `nn.Module`.
        names: everything the pickle would import, in order.
    """

    root: str | None
    is_module: bool
    names: tuple[str, ...]


def summarize(path: Path) -> PickleSummary:
    """Reads the opcodes of a torch.save file.

    Raises:
        UserError: the file is damaged.
    """
    try:
        with _object_pickle(path) as stream:
            return _read(stream)
    except (ValueError, EOFError, IndexError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise _damaged(path) from error


def read_pickle(path: Path, trust: bool) -> object:
    """The object in a torch.save file, on the CPU.

    Args:
        path: the file.
        trust: whether code that the file names may run, should it need that.

    Raises:
        UserError: it needs trust that was not given, its classes are missing, or it is damaged.
    """
    summary = summarize(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as refusal:
        if not trust:
            raise _refused(path, summary) from refusal
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise _damaged(path) from error
    with import_path(path.parent):
        try:
            return torch.load(path, map_location="cpu", weights_only=False)
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"{path} cannot be unpickled: {error}.",
                f"It needs {', '.join(_foreign(summary)[:3])} to be importable; "
                "run from the folder that holds that code, or install its package.",
            ) from error
        except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
            raise _damaged(path) from error


def _object_pickle(path: Path) -> IO[bytes]:
    """The stream, placed at the pickle of the saved object."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return io.BytesIO(archive.read(archive_members(path)["data.pkl"]))
    stream = path.open("rb")
    for _ in range(_LEGACY_HEADERS):
        for _op in pickletools.genops(stream):
            pass
    return stream


def _read(stream: IO[bytes]) -> PickleSummary:
    names: list[str] = []
    root: str | None = None
    is_module = False
    before_object = True  # so far only opcodes that name the object's class
    for opcode, argument, name in _resolved(stream):
        if name:
            names.append(name)
            if before_object and root is None:
                root = name
        is_module |= argument == "_parameters"
        if opcode in ("EMPTY_DICT", "EMPTY_LIST", "REDUCE", "NEWOBJ"):
            before_object = False
    return PickleSummary(root, is_module, tuple(dict.fromkeys(names)))


def _resolved(stream: IO[bytes]) -> Iterator[tuple[str, object, str | None]]:
    """Opcodes with their argument, and the dotted name where one imports something."""
    memo: list[str] = []
    strings: list[str] = []  # newer protocols push module and name as strings, then STACK_GLOBAL
    for opcode, argument, _ in pickletools.genops(stream):
        name = None
        if opcode.name in ("GLOBAL", "INST"):
            name = str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            name = ".".join(strings[-2:])
        elif "UNICODE" in opcode.name:
            strings.append(str(argument))
        elif opcode.name == "MEMOIZE":
            memo.append(strings[-1] if strings else "")
        elif opcode.name in ("BINGET", "LONG_BINGET") and isinstance(argument, int):
            strings.append(memo[argument] if argument < len(memo) else "")
        yield opcode.name, argument, name


def _foreign(summary: PickleSummary) -> list[str]:
    """Imported names that are neither torch's nor Python's own; what the user has to provide."""
    own = ("torch.", "collections.", "__builtin__.", "builtins.", "numpy.", "_codecs.", "copyreg.")
    return [n for n in summary.names if not n.startswith(own)] or list(summary.names)


def _refused(path: Path, summary: PickleSummary) -> UserError:
    if summary.is_module and summary.root:
        return UserError(
            f"{path} is a pickled module of class {summary.root}; "
            "loading it runs code that the file names.",
            "If you trust where it comes from, add --trust. "
            "Safer: save its state_dict, and give --model.",
        )
    return UserError(
        f"{path} holds more than tensors ({', '.join(_foreign(summary)[:4])}); "
        "torch's weights_only refuses it, as unpickling these runs code that the file names.",
        "If you trust where it comes from, add --trust. Safer: save the state_dict alone.",
    )


def _damaged(path: Path) -> UserError:
    return UserError(
        f"{path} is damaged, or a pickle that torch.save did not write: torch cannot read it.",
        "It may be cut off; copy or download it again.",
    )
