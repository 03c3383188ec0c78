"""Describes any file this tool reads or writes."""

from __future__ import annotations

from pathlib import Path

from exporter import loading
from exporter.errors import FormatError, UserError
from exporter.runtimes import load_describe
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
