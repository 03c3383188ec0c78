"""Tells from its content what a file is; names and suffixes are not looked at."""

from __future__ import annotations

import zipfile
from enum import StrEnum
from pathlib import Path

from exporter.errors import UserError
from exporter.types import Format


class FileKind(StrEnum):
    """Every kind of file that is told apart; the value is its name for users."""

    TORCHSCRIPT = "TorchScript archive"
    PROGRAM = "exported program (.pt2)"
    PICKLE = "torch.save file"
    SAFETENSORS = "safetensors file"
    PTL = "Lite Interpreter artifact (.ptl)"
    PTE = "ExecuTorch artifact (.pte)"
    ONNX = "ONNX model (.onnx)"
    TFLITE = "LiteRT artifact (.tflite)"

    @property
    def artifact(self) -> Format | None:
        """The artifact format, or None for the model files that can be exported."""
        return _FORMATS.get(self)


_FORMATS = {
    FileKind.PTL: Format.PTL,
    FileKind.PTE: Format.PTE,
    FileKind.ONNX: Format.ONNX,
    FileKind.TFLITE: Format.TFLITE,
}

_LFS_POINTER = b"version https://git-lfs"
_HEAD = 64
_LONGEST_HEADER = 100_000_000
"""Bytes of JSON that the safetensors format allows."""


def detect(path: Path) -> FileKind:
    """Which kind of file this is.

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
            ".ptl, .pte, .onnx and .tflite.",
        )
    return kind


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


def _in_zip(path: Path) -> FileKind | None:
    members = archive_members(path)
    if "bytecode.pkl" in members:
        return FileKind.PTL
    # torch up to 2.7 wrote programs without a top folder, as serialized_exported_program.json.
    if "archive_format" in members or "serialized_exported_program.json" in members:
        return FileKind.PROGRAM
    if "constants.pkl" in members and any(name.startswith("code/") for name in members):
        return FileKind.TORCHSCRIPT
    return FileKind.PICKLE if "data.pkl" in members else None


def _by_head(head: bytes) -> FileKind | None:
    if head[4:6] == b"ET" and head[6:8].isdigit():  # FlatBuffer file identifier, ET12 in 1.4
        return FileKind.PTE
    if head[4:8] == b"TFL3":
        return FileKind.TFLITE
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _LONGEST_HEADER:
        return FileKind.SAFETENSORS
    if head[:1] == b"\x80" and 2 <= head[1] <= 5:  # PROTO opcode and protocol
        return FileKind.PICKLE
    if head[:1] == b"\x08" and 1 <= head[1] <= 32 and head[2] & 7 in (0, 2):
        # Protobuf: ModelProto's first field is ir_version, then a field of type varint or bytes.
        return FileKind.ONNX
    return None
