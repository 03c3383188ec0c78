"""Describes any file this tool reads or writes, and says which libraries cannot run it."""

from __future__ import annotations

from pathlib import Path

from exporter import loading
from exporter.errors import FormatError, UserError
from exporter.runtimes.libraries import lacking
from exporter.runtimes.load import load_describe
from exporter.types import Description, Format


def describe(path: Path) -> Description:
    """What a model or artifact file holds; its kind is read from its content.

    Raises:
        UserError: no such file, or of no kind that is known.
    """
    kind = loading.detect(path)
    try:
        if isinstance(kind, Format):
            return load_describe(kind)(path)
        return loading.describe(path)
    except FormatError as error:
        raise UserError(f"{path} cannot be read: {error.reason}.") from error


def lacks(path: Path, description: Description) -> tuple[str, ...]:
    """One sentence for each thing that a library known from Android lacks to run a file.

    Args:
        path: the file.
        description: of it; a model, which is no artifact, needs nothing.
    """
    kind = loading.detect(path)
    return lacking(kind, description.needs) if isinstance(kind, Format) else ()
