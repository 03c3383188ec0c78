"""`manifest.json`: what was exported, from what, how well it holds. Checked when it is read."""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    model_validator,
)

from exporter.errors import UserError
from exporter.types import (
    Delegation,
    DeviceFacts,
    DeviceState,
    Format,
    Instructions,
    Latency,
    Parity,
    Precision,
    Scheme,
    Signature,
    Stage,
    StageResult,
    Verdict,
    Where,
)

SCHEMA_VERSION: Literal[1] = 1
FILE_NAME = "manifest.json"

Fact: TypeAlias = bool | int | float | str | None
Facts: TypeAlias = dict[str, Fact | tuple[Fact, ...]]
"""Label -> value, for settings that another part of the program defines as a dataclass."""

Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Size: TypeAlias = Annotated[int, Field(ge=0)]
Seconds: TypeAlias = Annotated[float, Field(ge=0)]
# A manifest is data from outside: a name that climbs out of its folder must not be followed.
FileName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[^/\\.][^/\\]*$")]


class Evidence(StrEnum):
    """How much a comparison proves."""

    DATA = "evaluation data"
    RANDOM = "random inputs (weak)"


class _Record(BaseModel):
    """Refuses unknown fields, types that would need converting, NaN and infinity, at any depth."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        # Without this an instance of a plain dataclass is taken as it is, NaN included.
        revalidate_instances="always",
    )


class Source(_Record):
    """The model as the user named it.

    Attributes:
        target: file name without its folder, or `module:factory`.
        kind: in words, such as `TorchScript archive`.
        reference_bytes: bytes of its float parameters and buffers, to compare sizes with.
        sha256: of the file, where there is one.
        bytes: size of the file, where there is one.
        factory: `module:factory` that built the module, where one was given.
        notes: what the user should know about how it was loaded.
    """

    target: Annotated[str, StringConstraints(pattern=r"^[^/]")]
    kind: str
    reference_bytes: Size
    sha256: Sha256 | None = None
    bytes: Size | None = None
    factory: str | None = None
    notes: tuple[str, ...] = ()


class Provenance(_Record):
    """Where samples came from.

    Attributes:
        origin: what the user named, or `random`.
        samples: how many.
        random: True for made-up inputs, which are weak evidence.
        labelled: whether the class of each sample is known.
    """

    origin: str
    samples: Size
    random: bool = False
    labelled: bool = False


class Capture(_Record):
    """The steps that all artifacts share.

    Attributes:
        stages: captured program and shared passes, compared with the original model.
        passes: names of the passes that changed the graph, in order.
        problem: why the model could not be captured, or None.
    """

    stages: tuple[StageResult, ...] = ()
    passes: tuple[str, ...] = ()
    problem: str | None = None


class Golden(_Record):
    """Inputs and the original model's outputs, for an app, or `verify`, to test with."""

    file: FileName
    sha256: Sha256
    samples: Size


def _without_share(value: object) -> object:
    return {k: v for k, v in value.items() if k != "share"} if isinstance(value, dict) else value


def _with_share(value: Delegation | None) -> dict[str, Any] | None:
    return None if value is None else {**asdict(value), "share": round(value.share, 4)}


class Needs(_Record):
    """What an artifact needs of the library that runs it, in words.

    Attributes:
        facts: label -> words, such as `opset` -> `20`, in the order to show.
        lacking: one sentence for each thing that a library known from Android lacks; each begins
            with the library's name and version.
    """

    facts: dict[str, str] = Field(default_factory=dict)
    lacking: tuple[str, ...] = ()


class Artifact(_Record):
    """One artifact, or the failure to make it.

    Attributes:
        format: file format.
        precision: what was asked for.
        scheme: how activations are treated.
        verdict: whether it holds.
        reason: why not; set exactly when the verdict is `fail`.
        file: name in the output folder; None when nothing usable was written.
        bytes: its size, sidecars included.
        sha256: of its content.
        sidecars: further files that belong to it (ONNX external data) -> sha256.
        parity: in its real runtime on all evaluation samples.
        golden_parity: the same artifact on the golden samples, which `verify` repeats.
        tolerance: bounds it was judged by, name -> value (None: not judged).
        latency_ms: warm inference on this machine.
        delegation: for runtimes with delegates; its JSON also holds the share.
        diverged: first stage that is out of tolerance.
        seconds: from captured program to verdict.
        stages: each stage of its own, in order.
        weight_bytes: element type of the stored weights -> bytes, read from the file.
        needs: what the library that runs it must have; empty where there is no file.
        notes: what the user should know.
    """

    format: Format
    precision: Precision
    scheme: Scheme
    verdict: Verdict
    reason: str | None = None
    file: FileName | None = None
    bytes: Size | None = None
    sha256: Sha256 | None = None
    sidecars: dict[FileName, Sha256] = Field(default_factory=dict)
    parity: Parity | None = None
    golden_parity: Parity | None = None
    tolerance: Facts = Field(default_factory=dict)
    latency_ms: Latency | None = None
    delegation: Annotated[
        Delegation | None, BeforeValidator(_without_share), PlainSerializer(_with_share)
    ] = None
    diverged: Stage | None = None
    seconds: Seconds = 0.0
    stages: tuple[StageResult, ...] = ()
    weight_bytes: dict[str, Size] = Field(default_factory=dict)
    needs: Needs = Needs()
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _verdict_is_backed(self) -> Self:
        """A pass needs a file and a comparison behind it; a failure needs its cause."""
        if self.verdict is Verdict.FAIL and not self.reason:
            raise ValueError("verdict is fail, but reason is missing")
        if self.verdict is Verdict.PASS:
            if self.reason:
                raise ValueError("verdict is pass, but there is a reason")
            facts = {
                "file": self.file,
                "bytes": self.bytes,
                "sha256": self.sha256,
                "parity": self.parity,
            }
            if absent := [name for name, value in facts.items() if value is None]:
                raise ValueError(f"verdict is pass, but missing: {', '.join(absent)}")
        return self


class DeviceRun(_Record):
    """One artifact on one device with one number of threads.

    Attributes:
        file: the artifact.
        threads: of the runtime.
        verdict: whether its outputs there hold.
        reason: why not; set exactly when the verdict is `fail`.
        parity: on the golden samples, against the original model.
        host_parity: on the golden samples, against the same artifact on this machine.
        latency_ms: warm inference; never of an emulated device.
        load_ms: from opening the file to being ready to run; never of an emulated device.
        peak_rss: bytes of the process, runtime and Python included (and qemu where emulated).
        instructions: of an emulated device, where they were counted.
        runtime: name and version of the runtime there.
        before: state of the device before the run.
        after: and after it.
        notes: what the user should know.
    """

    file: FileName
    threads: Annotated[int, Field(ge=1)]
    verdict: Verdict
    reason: str | None = None
    parity: Parity | None = None
    host_parity: Parity | None = None
    latency_ms: Latency | None = None
    load_ms: Annotated[float, Field(ge=0)] | None = None
    peak_rss: Size | None = None
    instructions: Instructions | None = None
    runtime: str | None = None
    before: DeviceState | None = None
    after: DeviceState | None = None
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _verdict_is_backed(self) -> Self:
        if (self.verdict is Verdict.FAIL) != bool(self.reason):
            raise ValueError(f"verdict is {self.verdict}, and the reason is {self.reason!r}")
        if self.verdict is Verdict.PASS and self.parity is None:
            raise ValueError("verdict is pass, but missing: parity")
        return self


class Device(_Record):
    """What was measured on one device.

    Attributes:
        name: as the user named it: a serial, or such as `emulator:cortex-a76`.
        where: `device`, or `emulated`.
        facts: what it says of itself.
        measured: when, UTC.
        seconds: from the command to the last result.
        options: command line options of interest.
        bundle: layer of the runtime bundle -> digest of what was run.
        runs: each artifact with each number of threads, in the order they were run.
        problem: why it ended before all was run, such as a cable that was pulled, or None.
        notes: what the user should know about the whole.
    """

    name: str
    where: Where
    facts: DeviceFacts
    measured: AwareDatetime
    seconds: Seconds
    options: Facts = Field(default_factory=dict)
    bundle: dict[str, Sha256] = Field(default_factory=dict)
    runs: tuple[DeviceRun, ...] = ()
    problem: str | None = None
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _time_is_real(self) -> Self:
        """Emulated wall time says nothing of any device, and is never kept as if it did."""
        if self.where is Where.HOST:
            raise ValueError("where is host, which is no device")
        if self.facts.emulated != (self.where is Where.EMULATED):
            raise ValueError(f"where is {self.where}, but emulated is {self.facts.emulated}")
        for run in self.runs if self.where is Where.EMULATED else ():
            if run.latency_ms is not None or run.load_ms is not None:
                raise ValueError(f"{run.file} has wall time of an emulated device")
        for run in self.runs if self.where is Where.DEVICE else ():
            if run.latency_ms is not None and run.latency_ms.where is not Where.DEVICE:
                raise ValueError(f"{run.file} has latency of {run.latency_ms.where}")
        return self


class SweepRun(_Record):
    """One artifact on one emulated CPU.

    Attributes:
        file: the artifact.
        cpu: such as `cortex-a53`.
        instructions: of one inference, or None where it does not run.
        reason: why it does not run.
        max_abs: largest difference of any output on the golden samples from the first CPU's.
    """

    file: FileName
    cpu: str
    instructions: Instructions | None = None
    reason: str | None = None
    max_abs: Annotated[float, Field(ge=0)] | None = None


class Sweep(_Record):
    """Cost and outputs of every artifact on several generations of CPUs.

    Attributes:
        measured: when, UTC.
        cpus: in order of age; the first one that an artifact runs on is what its outputs are
            compared with.
        runs: each artifact on each CPU.
    """

    measured: AwareDatetime
    cpus: tuple[str, ...]
    runs: tuple[SweepRun, ...]


class Manifest(_Record):
    """Everything about one export.

    Attributes:
        schema_version: of this file; another version is refused.
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

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    created: AwareDatetime
    seconds: Seconds
    source: Source
    signature: Signature
    evidence: Evidence
    evaluation: Provenance
    calibration: Provenance | None = None
    preprocessing: Facts | None = None
    options: Facts = Field(default_factory=dict)
    tools: dict[str, str]
    reference_latency_ms: Latency | None = None
    capture: Capture = Capture()
    golden: Golden | None = None
    artifacts: tuple[Artifact, ...]
    devices: tuple[Device, ...] = ()
    sweep: Sweep | None = None
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if (self.evidence is Evidence.RANDOM) != self.evaluation.random:
            raise ValueError(
                f"evidence is {self.evidence}, but evaluation.random is {self.evaluation.random}"
            )
        keys = [(a.format, a.precision, a.scheme) for a in self.artifacts]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise ValueError(f"artifacts holds {' '.join(twice)} twice")
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

    def write(self, path: Path) -> None:
        """Writes `path` at once: a reader sees the old file or the new one, never half of it."""
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
            manifest = cls.model_validate_json(text)
        except ValidationError as error:
            raise UserError(f"{path} {_complaint(error)}.", _MEND) from error
        if "schema_version" not in manifest.model_fields_set:
            raise UserError(f"{path} is damaged: schema_version: missing.", _MEND)
        return manifest


_MEND = "Export again, or restore the file."
_NUMBERS = re.compile(r"\[\n\s+-?[\d.eE+-]+(?:,\n\s+-?[\d.eE+-]+)*\n\s+\]")
_WORDS = {
    "missing": "missing",
    "missing_argument": "missing",
    "extra_forbidden": "unknown field",
    "unexpected_keyword_argument": "unknown field",
}
"""pydantic's kinds of error that its own words do not say well."""


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
