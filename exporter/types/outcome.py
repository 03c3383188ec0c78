"""What was measured, and what became of the graph."""

from __future__ import annotations

from dataclasses import dataclass, field

from exporter.types.kinds import Compute, Stage, Where


@dataclass(frozen=True)
class Parity:
    """Outputs against those of the original model, over all samples; see `exporter.parity.metrics`.

    Attributes:
        samples: how many samples were compared.
        max_abs: largest absolute difference of any element of any output.
        cosine: cosine similarity of the worst output, -1 to 1.
        sqnr_db: signal to quantization noise ratio of the worst output, in dB.
        top1_agreement: share of samples with the same arg-max, where the output is class scores.
        accuracy: share of samples whose arg-max is the label, where there are labels.
        reference_accuracy: the same for the original model.
        worst_output: name of the output with the lowest SQNR, where there are several.
    """

    samples: int
    max_abs: float
    cosine: float
    sqnr_db: float
    top1_agreement: float | None = None
    accuracy: float | None = None
    reference_accuracy: float | None = None
    worst_output: str | None = None


@dataclass(frozen=True)
class StageResult:
    """One stage on the way to an artifact.

    Attributes:
        stage: which one.
        seconds: what it took, comparison included.
        parity: None where the outputs could not be compared; `problem` then says why.
        problem: why this stage is wrong, or None where it is within tolerance.
    """

    stage: Stage
    seconds: float
    parity: Parity | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Latency:
    """Wall time of one inference in milliseconds, warm, with the raw samples behind it.

    Attributes:
        cold: the first run after loading, where it was kept apart.
    """

    p50: float
    p90: float
    min: float
    runs: int
    threads: int
    where: Where
    samples_ms: tuple[float, ...] = ()
    p99: float | None = None
    cold: float | None = None


@dataclass(frozen=True)
class Instructions:
    """What one inference costs on an emulated CPU, counted by a TCG plugin of qemu.

    Unlike emulated wall time the count repeats to about 0.1 %; it is no latency, as it knows
    neither memory nor stalls.

    Attributes:
        cpu: the emulated CPU, such as `cortex-a53`.
        median: guest instructions of one warm inference, all threads.
        samples: each warm inference.
    """

    cpu: str
    median: int
    samples: tuple[int, ...]


@dataclass(frozen=True)
class Delegation:
    """How much of a program runs inside delegates (ExecuTorch backends).

    Attributes:
        delegates: number of delegate calls; each costs a hand-over.
        delegated: operators inside delegates.
        total: operators in all.
        outside: name of each operator left outside -> how often.
    """

    delegates: int
    delegated: int
    total: int
    outside: dict[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Delegated operators over all operators, 0 to 1."""
        return self.delegated / self.total if self.total else 0.0


@dataclass(frozen=True)
class PassOutcome:
    """What one graph pass did.

    Attributes:
        name: as users read it, such as `fold batch norm`.
        count: places it rewrote.
        refusals: why it left alone what it might have rewritten, one sentence each.
    """

    name: str
    count: int
    refusals: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the program differs from before."""
        return self.count > 0

    @property
    def notable(self) -> bool:
        """Whether there is anything to say of it."""
        return self.changed or bool(self.refusals)


@dataclass(frozen=True)
class Layer:
    """One operator of the captured program that holds weights or multiplies matrices.

    Attributes:
        node: its name in the captured program.
        operator: such as `aten.conv2d.default`.
        module: path in the user's model, such as `blocks.0.attn.qkv`; empty where unknown.
        source: such as `model.py:12, in forward: y = self.fc(x)`; empty where unknown.
        compute: how it computes in the artifact.
        macs: multiply-accumulate operations of one inference at the example's shapes.
        why: why it does not compute in int8, in an artifact called int8; empty where it does.
    """

    node: str
    operator: str
    module: str
    source: str
    compute: Compute
    macs: int
    why: str = ""
