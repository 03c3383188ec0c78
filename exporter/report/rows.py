"""What a manifest says, in words: one row an artifact, one `Column` a figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from exporter.manifest import Artifact, DeviceRun, EvidenceKind, Manifest
from exporter.report import text
from exporter.types import Latency, Parity, Precision, Verdict

T = TypeVar("T")

VERDICT = "verdict"
"""Title of the column that is coloured by what it says."""


@dataclass(frozen=True)
class Column(Generic[T]):
    """One figure of every artifact, or of whatever else has a row.

    Attributes:
        title: heading, with the unit.
        meaning: one sentence for the page.
        text: the figure of an artifact.
        rank: where space is short, columns of the highest rank go first; 0 always stays.
        number: whether it is set flush right.
    """

    title: str
    meaning: str
    text: Callable[[T], str]
    rank: int = 0
    number: bool = True


@dataclass(frozen=True)
class Row:
    """One artifact; `cells` are in the order of the columns."""

    artifact: Artifact
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """Why one artifact does not hold.

    Attributes:
        label: which one.
        reason: the cause.
        diverged: the first stage out of tolerance, or "" where there is none to name.
    """

    label: str
    reason: str
    diverged: str


def columns(manifest: Manifest) -> tuple[Column[Artifact], ...]:
    """The columns that have something to say about this manifest."""
    return (
        Column("format", "File format.", lambda a: a.format.value, number=False),
        Column(
            "precision",
            "Of the weights, and of activations.",
            lambda a: str(a.variant),
            number=False,
        ),
        Column(
            "MB", "Size of the file in millions of bytes.", lambda a: text.megabytes(a.bytes), 2
        ),
        Column(
            "ratio",
            "Size against the same format in fp32; where that was not made, against the "
            f"model's own {text.megabytes(manifest.source.reference_bytes)} MB of weights.",
            lambda a: text.ratio(manifest.ratio(a)),
            5,
        ),
        Column(
            "p50 ms",
            "Median time of one warm inference on this machine.",
            lambda a: text.milliseconds(a.latency_ms),
            1,
        ),
        *_error_columns(),
        _top1_column(manifest),
        *_delegate_columns(manifest),
        Column(VERDICT, "Whether every bound holds.", lambda a: a.verdict.value, number=False),
    )


def rows(manifest: Manifest, shown: tuple[Column[Artifact], ...]) -> tuple[Row, ...]:
    """One row an artifact, in the manifest's order."""
    return tuple(Row(a, tuple(c.text(a) for c in shown)) for a in manifest.artifacts)


def failures(manifest: Manifest) -> tuple[Failure, ...]:
    """The artifacts that do not hold."""
    return tuple(
        Failure(text.label(a), a.reason or "", a.diverged.value if a.diverged else "")
        for a in manifest.artifacts
        if a.verdict is Verdict.FAIL
    )


def headline(manifest: Manifest) -> str:
    """The outcome in a few words, such as `3 of 4 artifacts hold`."""
    total = len(manifest.artifacts)
    good = sum(a.verdict is Verdict.PASS for a in manifest.artifacts)
    if not total:
        return "nothing was exported"
    if total == 1:
        return "the artifact holds" if good else "the artifact fails"
    if good == total:
        return f"all {total} artifacts hold"
    if not good:
        return f"all {total} artifacts fail"
    return f"{good} of {total} artifacts hold{'s' if good == 1 else ''}"


def original(manifest: Manifest) -> str:
    """The original model in one line, for comparison."""
    facts = [f"{text.megabytes(manifest.source.reference_bytes)} MB of weights"]
    if manifest.reference_latency_ms:
        facts.append(f"p50 {text.milliseconds(manifest.reference_latency_ms)} ms")
    parities = (a.parity for a in manifest.artifacts if a.parity)
    accuracy = next(
        (p.reference_accuracy for p in parities if p.reference_accuracy is not None), None
    )
    if accuracy is not None:
        facts.append(f"accuracy {text.percent(accuracy)}")
    return ", ".join(facts)


def compared_on(manifest: Manifest) -> str:
    """Such as `360 labelled samples of digits.npz`."""
    data = manifest.evaluation
    if data.random:
        return text.count(data.samples, "random input")
    noun = "labelled sample" if data.labelled else "sample"
    return f"{text.count(data.samples, noun)} of {data.origin}"


def measured_at(manifest: Manifest) -> str:
    """Such as `host, 1 thread`; "" where nothing was timed."""
    timed = [manifest.reference_latency_ms, *(a.latency_ms for a in manifest.artifacts)]
    return " and ".join(sorted({text.where(t) for t in timed if t}))


def slower_than_float(manifest: Manifest) -> str:
    """Names the reduced artifacts that are slower than float here, or "".

    Float is the same format's fp32 artifact where one was timed, else the original model.
    """
    slow = [
        f"{text.label(artifact)} ({ratio:.1f}x {against})"
        for artifact in manifest.artifacts
        if artifact.precision is not Precision.FP32 and artifact.latency_ms
        for float_ms, against in [_float_latency(manifest, artifact)]
        if float_ms and (ratio := artifact.latency_ms.p50 / float_ms.p50) > CLEARLY_SLOWER
    ]
    if not slow:
        return ""
    return f"Slower than float on {measured_at(manifest)}: {', '.join(slow)}."


CLEARLY_SLOWER = 1.1
"""Ratio of medians; less is within what a shared machine does by itself."""


def _float_latency(manifest: Manifest, artifact: Artifact) -> tuple[Latency | None, str]:
    for other in manifest.artifacts:
        if (
            other.format is artifact.format
            and other.precision is Precision.FP32
            and other.latency_ms
        ):
            return other.latency_ms, f"its {text.label(other)}"
    return manifest.reference_latency_ms, "the original model"


def needs(artifact: Artifact) -> str:
    """Such as `opset 20, IR version 10`; operators, which may be many, are in the manifest."""
    facts = artifact.needs.facts.items()
    return ", ".join(f"{label} {value}" for label, value in facts if label != "operators")


def lacking(manifest: Manifest) -> tuple[str, ...]:
    """What libraries known from Android lack, each sentence once, with the artifacts it is of."""
    said: dict[str, list[str]] = {}
    for artifact in manifest.artifacts:
        for sentence in artifact.needs.lacking:
            said.setdefault(sentence, []).append(text.label(artifact))
    return tuple(f"{sentence} ({text.listed(of)})" for sentence, of in said.items())


def weak_evidence(manifest: Manifest) -> str:
    """The warning that belongs beside figures from made-up inputs, or ""."""
    if manifest.evidence is not EvidenceKind.RANDOM:
        return ""
    return (
        "Weak evidence: outputs were compared on random inputs only, where real breakage can hide. "
        "Name real data to compare on."
    )


def from_parity(figure: Callable[[Parity], str]) -> Callable[[Artifact | DeviceRun], str]:
    """A column's figure where outputs were compared."""
    return lambda a: figure(a.parity) if a.parity else text.MISSING


def _error_columns() -> tuple[Column[Artifact], ...]:
    return (
        Column(
            "max |Δ|",
            "Largest absolute difference of any element of any output.",
            from_parity(lambda p: text.magnitude(p.max_abs)),
            4,
        ),
        Column(
            "cosine",
            "Cosine similarity with the original outputs, of the worst output.",
            from_parity(lambda p: text.cosine(p.cosine)),
            6,
        ),
        Column(
            "SQNR dB",
            "Signal to quantization noise ratio of the worst output: 20 dB more is a tenth of the "
            "error.",
            from_parity(lambda p: text.decibel(p.sqnr_db)),
            3,
        ),
    )


def _top1_column(manifest: Manifest) -> Column[Artifact]:
    """Accuracy where there are labels, else agreement with the original."""
    if any(a.parity and a.parity.accuracy is not None for a in manifest.artifacts):
        return Column(
            "accuracy",
            "Share of labelled samples classified rightly, and its change in percentage points.",
            from_parity(text.accuracy),
        )
    return Column(
        "same top-1",
        "Share of samples with the same arg-max as the original.",
        from_parity(text.agreement),
    )


def _delegate_columns(manifest: Manifest) -> tuple[Column[Artifact], ...]:
    """None where no runtime has delegates."""
    if not any(a.delegation for a in manifest.artifacts):
        return ()

    def share(artifact: Artifact) -> str:
        found = artifact.delegation
        return f"{100 * found.share:.0f} % in {found.delegates}" if found else text.MISSING

    meaning = "Share of operators that run in delegates, and the number of delegates."
    return (Column("delegated", meaning, share, 7),)
