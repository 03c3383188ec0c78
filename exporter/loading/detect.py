"""Tells from its content what a file is; names and suffixes are not looked at."""

from __future__ import annotations

import zipfile
from enum import StrEnum
from pathlib import Path

from exporter.errors import UserError
from exporter.runtimes import runtime, runtimes
from exporter.types import Format


class FileKind(StrEnum):
    """The kinds of model files; the value is the name for users."""

    TORCHSCRIPT = "TorchScript archive"
    PROGRAM = "exported program (.pt2)"
    PICKLE = "torch.save file"
    SAFETENSORS = "safetensors file"


_LFS_POINTER = b"version https://git-lfs"
_HEAD = 64
_LONGEST_HEADER = 100_000_000
"""Bytes of JSON that the safetensors format allows."""


def detect(path: Path) -> FileKind | Format:
    """Which kind of file this is: a model, or an artifact of a format.

    Raises:
        UserError: it is missing, a folder, empty, damaged, or of no known kind.
    """
    if path.is_dir():
        raise UserError(
            f"{path} is a folder.", "Name a model file, or a factory package.module:name."
        )
    if not path.is_file():
        what = "is no regular file" if path.exists() else "does not exist"
        raise UserError(f"{path} {what}.", _what_to_name(path))
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    if not head:
        raise UserError(f"{path} is empty.")
    if head.startswith(_LFS_POINTER):
        raise UserError(f"{path} is a Git LFS pointer, not the model.", "Run git lfs pull.")
    kind = _in_zip(path) if head.startswith(b"PK") else _by_head(head)
    if kind is None:
        raise UserError(
            f"{path} is no model file that is known here.",
            "Known are TorchScript, torch.save and .pt2 files, safetensors, and the artifacts "
            f"{', '.join(f'.{format}' for format in Format)}.",
        )
    return kind


def artifact_name(format: Format) -> str:
    """What users call such a file, such as `ONNX model (.onnx)`."""
    return f"{runtime(format).kind} (.{format})"


def _what_to_name(path: Path) -> str:
    file, _, factory = str(path).partition(".py:")
    if factory and Path(f"{file}.py").is_file():
        return f"A factory is named without .py: {file.replace('/', '.')}:{factory}."
    return "Name a model file, or a factory package.module:name."


def archive_members(path: Path) -> dict[str, str]:
    """Member names of one of torch's zip archives, without their common top folder -> full name.

    Raises:
        UserError: the zip is damaged, such as cut off in a download.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.partition("/")[2] or name: name for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise UserError(
            f"{path} is damaged: it starts as a zip archive but has no readable end.",
            "It may be cut off; copy or download it again.",
        ) from error


def _in_zip(path: Path) -> FileKind | Format | None:
    members = archive_members(path)
    for record in runtimes():
        if record.member in members:
            return record.format
    # torch up to 2.7 wrote programs without a top folder, as serialized_exported_program.json.
    if "archive_format" in members or "serialized_exported_program.json" in members:
        return FileKind.PROGRAM
    if "constants.pkl" in members and any(name.startswith("code/") for name in members):
        return FileKind.TORCHSCRIPT
    return FileKind.PICKLE if "data.pkl" in members else None


def _by_head(head: bytes) -> FileKind | Format | None:
    """Models first: their marks are the surer ones."""
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _LONGEST_HEADER:
        return FileKind.SAFETENSORS
    if head[:1] == b"\x80" and 2 <= head[1] <= 5:  # PROTO opcode and protocol
        return FileKind.PICKLE
    return next((record.format for record in runtimes() if record.is_head(head)), None)
