"""What was exported, from what, and each artifact that came of it."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, PlainSerializer, StringConstraints, model_validator

from exporter.manifest.base import Facts, FileName, Record, Seconds, Sha256, Size
from exporter.types import (
    Delegation,
    Format,
    Latency,
    Layer,
    Parity,
    PassOutcome,
    Precision,
    Scheme,
    Stage,
    StageResult,
    Variant,
    Verdict,
)


class EvidenceKind(StrEnum):
    """How much a comparison proves."""

    DATA = "evaluation data"
    RANDOM = "random inputs (weak)"


class Source(Record):
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


class Provenance(Record):
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


class Capture(Record):
    """The steps that all artifacts share.

    Attributes:
        stages: captured program and shared passes, compared with the original model.
        passes: what each pass did, in order; those that changed or refused something.
        recipes: files that say what becomes of each operator in int8.
        problem: why the model could not be captured, or None.
    """

    stages: tuple[StageResult, ...] = ()
    passes: tuple[PassOutcome, ...] = ()
    recipes: tuple[FileName, ...] = ()
    problem: str | None = None


class Golden(Record):
    """Inputs and the original model's outputs, for an app, or `verify`, to test with."""

    file: FileName
    sha256: Sha256
    samples: Size


def _without_share(value: object) -> object:
    return {k: v for k, v in value.items() if k != "share"} if isinstance(value, dict) else value


def _with_share(value: Delegation | None) -> dict[str, Any] | None:
    return None if value is None else {**asdict(value), "share": round(value.share, 4)}


class Needs(Record):
    """What an artifact needs of the library that runs it, in words.

    Attributes:
        facts: label -> words, such as `opset` -> `20`, in the order to show.
        lacking: one sentence for each thing that a library known from Android lacks; each begins
            with the library's name and version.
    """

    facts: dict[str, str] = Field(default_factory=dict)
    lacking: tuple[str, ...] = ()


class Artifact(Record):
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
        passes: what each pass for this format alone did, as in `Capture`.
        layers: how each operator with weights, and each matrix product, computes; of an int8
            artifact only.
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
    passes: tuple[PassOutcome, ...] = ()
    layers: tuple[Layer, ...] = ()
    weight_bytes: dict[str, Size] = Field(default_factory=dict)
    needs: Needs = Needs()
    notes: tuple[str, ...] = ()

    @property
    def variant(self) -> Variant:
        """What was asked for: with the format, what tells artifacts apart."""
        return Variant(self.precision, self.scheme)

    @model_validator(mode="after")
    def _precision_and_scheme_agree(self) -> Self:
        Variant(self.precision, self.scheme)
        return self

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
