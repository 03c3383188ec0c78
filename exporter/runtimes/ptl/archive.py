"""The `.ptl` file itself: a zip of pickles, and the signature that we store inside it."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

from exporter.errors import FormatError
from exporter.types import Precision, Scheme, Signature, TensorSpec

SIGNATURE_FILE = "signature.json"
"""The extra file with the signature; the Lite Interpreter ignores files it does not know."""


@dataclass(frozen=True)
class Stored:
    """What a `.ptl` of ours says about itself.

    Attributes:
        signature: inputs and outputs.
        dynamic_batch: whether the first size of every input may vary.
        precision: what was asked for.
        scheme: how activations are treated.
    """

    signature: Signature
    dynamic_batch: bool
    precision: Precision
    scheme: Scheme

    def to_json(self) -> str:
        """JSON of all fields."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Stored:
        """The inverse of `to_json`."""
        fields = json.loads(text)
        specs = {
            side: tuple(
                TensorSpec(**{**spec, "shape": tuple(spec["shape"])})
                for spec in fields["signature"][side]
            )
            for side in ("inputs", "outputs")
        }
        return Stored(
            signature=Signature(specs["inputs"], specs["outputs"]),
            dynamic_batch=fields["dynamic_batch"],
            precision=Precision(fields["precision"]),
            scheme=Scheme(fields["scheme"]),
        )


def read_stored(path: Path) -> Stored | None:
    """The signature inside a `.ptl`, or None if another tool made the file.

    Raises:
        FormatError: the file is no Lite Interpreter archive, or it is cut short.
    """
    with open_archive(path) as archive:
        name = next((n for n in archive.namelist() if n.endswith(f"/extra/{SIGNATURE_FILE}")), None)
        return Stored.from_json(archive.read(name).decode()) if name else None


def open_archive(path: Path) -> zipfile.ZipFile:
    """The zip behind a `.ptl`.

    Raises:
        FormatError: the file is no Lite Interpreter archive, or it is cut short.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as problem:
        raise FormatError(f"`{path.name}` is not a .ptl file or is cut short: {problem}") from None
    if not any(name.endswith("/bytecode.pkl") for name in archive.namelist()):
        archive.close()
        raise FormatError(f"`{path.name}` holds no bytecode for the Lite Interpreter")
    return archive
