"""Describes any file this tool reads or writes, and says which libraries cannot run it."""

from __future__ import annotations

from pathlib import Path

from exporter import loading
from exporter.errors import FormatError, UserError
from exporter.runtimes import load_describe
from exporter.runtimes.libraries import lacking
from exporter.types import Description


def describe(path: Path) -> Description:
    """What a model or artifact file holds; its kind is read from its content.

    Raises:
        UserError: no such file, or of no kind that is known.
    """
    artifact = loading.detect(path).artifact
    try:
        return load_describe(artifact)(path) if artifact else loading.describe(path)
    except FormatError as error:
        raise UserError(f"{path} cannot be read: {error.reason}.") from error


def lacks(path: Path, description: Description) -> tuple[str, ...]:
    """One sentence for each thing that a library known from Android lacks to run a file.

    Args:
        path: the file.
        description: of it; a model, which is no artifact, needs nothing.
    """
    artifact = loading.detect(path).artifact
    return lacking(artifact, description.needs) if artifact else ()
