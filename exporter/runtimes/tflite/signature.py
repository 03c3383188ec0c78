"""Keeps the model's own signature inside the .tflite file.

The converter calls inputs `args_0` and outputs `output_0`, and narrows 64-bit tensors to 32 bits.
The file gets the model's names, and a metadata entry that says what the model itself takes and
gives, so that the runner can hand int64 tensors back.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from exporter.types import Signature, TensorSpec

METADATA_NAME = "export_mobile.signature"


def sign(content: bytes, signature: Signature) -> bytes:
    """Writes the signature into a freshly converted file.

    Args:
        content: a .tflite file whose signature has the converter's own names.
        signature: of the model; inputs and outputs in call order.

    Returns:
        The file with the model's names in its signature and the metadata entry.
    """
    from ai_edge_litert import schema_py_generated as schema

    from exporter.runtimes.tflite.flatbuffer import pack, parse

    model = parse(content)
    (definition,) = model.signatureDefs
    _rename(definition.inputs, "args_", signature.inputs)
    _rename(definition.outputs, "output_", signature.outputs)
    buffer = schema.BufferT()
    buffer.data = json.dumps(asdict(signature)).encode()
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name = METADATA_NAME
    entry.buffer = len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    return pack(model)


def read(content: bytes) -> Signature | None:
    """The signature that `sign` wrote, or None.

    None too where the flatbuffer schema is not installed, as with tflite-runtime alone.

    Raises:
        ValueError: the content is not a whole .tflite file.
    """
    try:
        from exporter.runtimes.tflite.flatbuffer import parse
    except ModuleNotFoundError:
        return None
    model = parse(content)
    for entry in model.metadata or []:
        if entry.name == METADATA_NAME.encode():
            stored = json.loads(bytes(model.buffers[entry.buffer].data))
            return Signature(_specs(stored["inputs"]), _specs(stored["outputs"]))
    return None


def _rename(entries: list[Any], prefix: str, specs: tuple[TensorSpec, ...]) -> None:
    for entry in entries:
        entry.name = specs[int(entry.name.decode().removeprefix(prefix))].name


def _specs(stored: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(**{**spec, "shape": tuple(spec["shape"])}) for spec in stored)
