"""Describes any file this tool reads or writes."""

from __future__ import annotations

from pathlib import Path

from exporter import loading
from exporter.errors import UserError
from exporter.runtimes import load_describe
from exporter.types import Description


def describe(path: Path) -> Description:
    """What a model or artifact file holds; its kind is read from its content.

    Raises:
        UserError: no such file, or of no kind that is known.
    """
    ...
