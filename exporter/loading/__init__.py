"""What a user can point at, as a model with one call that works; and its capture.

    LoadRequest ─ load ─▶ SourceModel ─ capture ─▶ ExportedProgram

A file's kind is read from its content. Nothing is unpickled without the user's trust.
"""

from exporter.loading.capture import capture
from exporter.loading.describe import describe
from exporter.loading.detect import FileKind, detect
from exporter.loading.inputs import parse_input
from exporter.loading.load import load
from exporter.loading.request import LoadRequest
from exporter.loading.script_call import flat_script
from exporter.loading.source import SourceModel

__all__ = [
    "FileKind",
    "LoadRequest",
    "SourceModel",
    "capture",
    "describe",
    "detect",
    "flat_script",
    "load",
    "parse_input",
]
