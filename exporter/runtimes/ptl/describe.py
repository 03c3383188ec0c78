"""Reads what a `.ptl` holds from its pickles, without running or even unpickling any of it."""

from __future__ import annotations

import pickle
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.errors import FormatError, UserError
from exporter.runtimes.ptl.archive import open_archive, read_stored
from exporter.types import Description, Needs

_STORAGES = {
    "FloatStorage": ("float32", 4),
    "DoubleStorage": ("float64", 8),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "QInt8Storage": ("int8", 1),
    "QUInt8Storage": ("uint8", 1),
    "QInt32Storage": ("int32", 4),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1),
    "ShortStorage": ("int16", 2),
    "IntStorage": ("int32", 4),
    "LongStorage": ("int64", 8),
    "ComplexFloatStorage": ("complex64", 8),
}
"""Storage class named in the pickle -> numpy's element type, bytes per element."""


def describe(path: Path) -> Description:
    """What a `.ptl` file holds.

    Raises:
        UserError: the file is not a Lite Interpreter archive.
    """
    try:
        stored = read_stored(path)
        with open_archive(path) as archive:
            contents = _read(archive)
    except (FormatError, pickle.UnpicklingError) as problem:
        raise UserError(str(problem), "Expected a file saved for the Lite Interpreter.") from None
    details = {}
    if stored:
        details = {"precision": str(stored.precision), "activations": str(stored.scheme)}
        details["dynamic batch"] = "yes" if stored.dynamic_batch else "no"
    return Description(
        kind=f"PyTorch Lite Interpreter module, bytecode version {contents.version}",
        size=path.stat().st_size,
        inputs=stored.signature.inputs if stored else (),
        outputs=stored.signature.outputs if stored else (),
        operators=contents.operators,
        weight_bytes=contents.weight_bytes,
        details=details,
        needs=Needs({"bytecode version": str(contents.version)}, operators=contents.arguments),
    )


@dataclass(frozen=True)
class _Contents:
    """`operators`: name -> calls; `arguments`: name -> how many it is given at most."""

    version: int
    operators: dict[str, int]
    arguments: dict[str, int]
    weight_bytes: dict[str, int]


def _read(archive: zipfile.ZipFile) -> _Contents:
    storages: dict[str, tuple[str, int]] = {}
    parsed: dict[str, Any] = {}
    for name in archive.namelist():
        leaf = name.rpartition("/")[2]
        if leaf in ("data.pkl", "constants.pkl", "bytecode.pkl"):
            with archive.open(name) as file:
                home = "data" if leaf == "data.pkl" else "constants"
                parsed[leaf] = _Inert(file, home, storages).load()
    version, *methods = parsed["bytecode.pkl"]
    weight_bytes: Counter[str] = Counter()
    for dtype, size in storages.values():
        weight_bytes[dtype] += size
    calls = [call for _, code, *_ in methods for call in _operator_calls(dict(code))]
    arguments: dict[str, int] = {}
    for name, given in calls:
        arguments[name] = max(given, arguments.get(name, 0))
    operators = Counter(name for name, _ in calls)
    return _Contents(
        version, dict(operators.most_common()), arguments, dict(weight_bytes.most_common())
    )


def _operator_calls(code: dict[str, Any]) -> list[tuple[str, int]]:
    """Operators of one method, one entry a call: such as `quantized::conv2d.new`, arguments given.

    Bytecode below version 6 does not count arguments.
    """
    table = [
        (f"{name}.{overload}" if overload else name, given[0] if given and given[0] else 0)
        for name, overload, *given in code["operators"]
    ]
    return [table[index] for op, index, *_ in code["instructions"] if op in ("OP", "OPN")]


class _Inert(pickle.Unpickler):
    """Builds plain stand-ins for whatever a pickle names, and notes the storages it refers to.

    Args:
        file: the pickle.
        home: folder of its storages; `bytecode.pkl` and `constants.pkl` share theirs.
        storages: file of a storage -> element type and bytes; added to.
    """

    def __init__(self, file: Any, home: str, storages: dict[str, tuple[str, int]]) -> None:
        super().__init__(file)
        self._home = home
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if name.endswith("Storage"):
            return name
        return type(name, (_StandIn,), {"__module__": module})

    def persistent_load(self, pid: Any) -> None:
        _, storage, key, _, count = pid
        dtype, width = _STORAGES.get(storage, (str(storage), 1))
        self._storages[f"{self._home}/{key}"] = (dtype, count * width)


class _StandIn:
    """Takes any construction and any state, and keeps none of it."""

    def __new__(cls, *_: object, **__: object) -> _StandIn:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...

    def __setitem__(self, key: object, value: object) -> None: ...

    def append(self, _: object) -> None: ...

    def extend(self, _: object) -> None: ...
