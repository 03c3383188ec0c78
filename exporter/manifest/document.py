"""`manifest.json` as a whole. Checked when it is read.

The schema has a version, and a revision within it. A revision only adds fields: a reader of an
older one leaves out what it does not know, and does not write such a file, as that would lose it.
All else (a field that goes or changes its meaning, a new value of an enumeration) is a new version,
which older readers refuse with the advice to update. In a file of its own revision or an older one,
a field that a reader does not know is damage.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from exporter.errors import UserError
from exporter.manifest.artifact import (
    Artifact,
    Capture,
    EvidenceKind,
    Golden,
    Provenance,
    Source,
)
from exporter.manifest.base import Facts, Record, Seconds
from exporter.manifest.device import DeviceResult, Sweep
from exporter.types import Latency, Precision, Signature

SCHEMA_VERSION: Literal[2] = 2
SCHEMA_REVISION = 0
FILE_NAME = "manifest.json"


class Manifest(Record):
    """Everything about one export.

    Attributes:
        schema_version: of this file; another version is refused.
        schema_revision: within the version.
        name: base name of the artifacts.
        created: when, UTC.
        seconds: the whole job.
        source: the model.
        signature: its flat inputs and outputs.
        evidence: how much the comparison proves.
        evaluation: what outputs were compared on.
        calibration: what set the activation ranges, where anything did.
        preprocessing: how images become inputs, where that was given.
        options: command line options of interest.
        tools: name -> version of what took part.
        reference_latency_ms: the original model in eager PyTorch on this machine.
        capture: the steps that all artifacts share.
        golden: the golden data beside this file.
        artifacts: in the order asked for.
        devices: what `bench` measured, one entry a device.
        sweep: what `bench --sweep-cpus` counted.
        notes: what the user should know about the whole.
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    schema_revision: Annotated[int, Field(ge=0)] = SCHEMA_REVISION
    name: str
    created: AwareDatetime
    seconds: Seconds
    source: Source
    signature: Signature
    evidence: EvidenceKind
    evaluation: Provenance
    calibration: Provenance | None = None
    preprocessing: Facts | None = None
    options: Facts = Field(default_factory=dict)
    tools: dict[str, str]
    reference_latency_ms: Latency | None = None
    capture: Capture = Capture()
    golden: Golden | None = None
    artifacts: tuple[Artifact, ...]
    devices: tuple[DeviceResult, ...] = ()
    sweep: Sweep | None = None
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if (self.evidence is EvidenceKind.RANDOM) != self.evaluation.random:
            raise ValueError(
                f"evidence is {self.evidence}, but evaluation.random is {self.evaluation.random}"
            )
        keys = [f"{a.format} {a.variant}" for a in self.artifacts]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise ValueError(f"artifacts holds {twice} twice")
        names = [device.name for device in self.devices]
        if again := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"devices holds {again} twice")
        return self

    def ratio(self, artifact: Artifact) -> float | None:
        """Size against float: the same format's fp32 artifact, else the model's own parameters."""
        if artifact.bytes is None:
            return None
        reference = self.source.reference_bytes
        if artifact.precision is not Precision.FP32:
            same = (a for a in self.artifacts if a.format is artifact.format)
            full = next((a.bytes for a in same if a.precision is Precision.FP32 and a.bytes), None)
            reference = full or reference
        return artifact.bytes / reference if reference else None

    def to_json(self) -> str:
        """Indented JSON in the order of the fields, each list of numbers on one line."""
        text = json.dumps(
            self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False
        )
        return _NUMBERS.sub(lambda found: "[" + " ".join(found[0][1:-1].split()) + "]", text)

    def require_known(self, path: Path) -> None:
        """Refuses to add to a file of a later revision.

        Args:
            path: the file.

        Raises:
            UserError: it holds what this tool would lose.
        """
        if self.schema_revision > SCHEMA_REVISION:
            raise UserError(f"{path} was written by a newer export-mobile.", _UPDATE)

    def write(self, path: Path) -> None:
        """Writes `path` at once: a reader sees the old file or the new one, never half of it.

        Raises:
            UserError: it was read from a file of a later revision; what that added would be lost.
        """
        self.require_known(path)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(self.to_json() + "\n")
            Path(name).chmod(0o644)  # mkstemp makes it private
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads and checks a manifest.

        Raises:
            UserError: there is none, or it is damaged or of another version; names the field.
        """
        if path.exists() and not path.is_file():  # to read a pipe would never end
            raise UserError(f"{path} is no file.", "Name the folder that export-mobile wrote.")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise UserError(
                f"Cannot read {path}: {why}.", "Name the folder that export-mobile wrote."
            ) from error
        try:
            manifest = cls._parse(text)
        except ValidationError as error:
            newer = _version(error) > SCHEMA_VERSION
            raise UserError(f"{path} {_complaint(error)}.", _UPDATE if newer else _MEND) from error
        if "schema_version" not in manifest.model_fields_set:
            raise UserError(f"{path} is damaged: schema_version: missing.", _MEND)
        return manifest

    @classmethod
    def _parse(cls, text: str) -> Self:
        """Leaves out what a later revision added.

        Raises:
            ValidationError: something else is wrong, or the file is of no later revision.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            unknown = [p["loc"] for p in error.errors() if p["type"] in _UNKNOWN]
            if not unknown or not _is_later(document := json.loads(text)):
                raise
        for *path, name in unknown:
            inner: Any = document
            for step in path:
                inner = inner[step]
            del inner[name]
        return cls.model_validate_json(json.dumps(document))


_MEND = "Export again, or restore the file."
_UPDATE = "Update export-mobile."
_NUMBERS = re.compile(r"\[\n\s+-?[\d.eE+-]+(?:,\n\s+-?[\d.eE+-]+)*\n\s+\]")
_UNKNOWN = {"extra_forbidden", "unexpected_keyword_argument"}
_WORDS = {
    "missing": "missing",
    "missing_argument": "missing",
    **dict.fromkeys(_UNKNOWN, "unknown field"),
}
"""pydantic's kinds of error that its own words do not say well."""


def _is_later(document: dict[str, Any]) -> bool:
    revision = document.get("schema_revision")
    same = document.get("schema_version") == SCHEMA_VERSION
    return same and isinstance(revision, int) and revision > SCHEMA_REVISION


def _version(error: ValidationError) -> int:
    """The schema version that is refused, 0 where it is another thing that is wrong."""
    found = next((p for p in error.errors() if p["loc"] == ("schema_version",)), None)
    given = found["input"] if found else 0
    return given if isinstance(given, int) else 0


def _complaint(error: ValidationError) -> str:
    """What is wrong with a manifest, in words that continue `manifest.json ...`."""
    problems = error.errors()
    version = next((p for p in problems if p["loc"] == ("schema_version",)), None)
    if version and version["type"] == "literal_error":
        return f"has schema version {version['input']!r}, this tool reads {SCHEMA_VERSION}"
    first = problems[0]
    steps = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    message = _WORDS.get(first["type"], message[:1].lower() + message[1:])
    parts = ["is damaged", "".join(steps).lstrip("."), message]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return ": ".join(p for p in parts if p) + more
