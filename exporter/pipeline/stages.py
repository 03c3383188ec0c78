"""Compares each stage with the original model and remembers where it first went wrong."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from exporter.data import Stored, spread
from exporter.errors import FormatError
from exporter.parity import Mismatch, Tolerance, compare, judge
from exporter.types import Dataset, Parity, RunFn, Sample, Stage, StageResult, Tensors, TensorSpec

STAGE_SAMPLES = 64
"""Samples compared at the stages before the artifact: enough to see a stage break, and a
quantized graph in eager mode is slow. The artifact itself is compared on all samples."""

GOLDEN_SAMPLES = 16
"""Samples kept in golden.npz for an app, or `verify`, to test an artifact with."""
GOLDEN_BYTES = 16 << 20
"""Fewer are kept where they would take more: the file ships inside an app's test assets."""


@dataclass(frozen=True)
class Evidence:
    """What every stage is compared with.

    Attributes:
        samples: evaluation inputs.
        reference: the original model's outputs for each of them.
        labels: class indices, where known.
        random: True when the samples are made up.
        outputs: names of the outputs, to say which one is wrong.
    """

    samples: Sequence[Sample]
    reference: Sequence[Tensors]
    labels: tuple[int, ...] | None
    random: bool
    outputs: tuple[TensorSpec, ...]

    @classmethod
    def of(
        cls, reference: Sequence[Tensors], dataset: Dataset, outputs: tuple[TensorSpec, ...]
    ) -> Evidence:
        """A data set with the original model's outputs on it."""
        return cls(dataset.samples, reference, dataset.labels, dataset.random, outputs)

    @property
    def digest(self) -> str:
        """SHA-256 of everything in it, where it is stored in files."""
        assert isinstance(self.samples, Stored)
        assert isinstance(self.reference, Stored)
        parts = (self.samples.digest, self.reference.digest, self.labels, self.random, self.outputs)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def spread(self, count: int) -> Evidence:
        """At most `count` samples, evenly spread, always the same ones."""
        chosen = spread(len(self.samples), count)
        return replace(
            self,
            samples=tuple(self.samples[i] for i in chosen),
            reference=tuple(self.reference[i] for i in chosen),
            labels=tuple(self.labels[i] for i in chosen) if self.labels else None,
        )

    @property
    def golden(self) -> Evidence:
        """The samples that golden.npz keeps."""
        each = sum(array.nbytes for array in (*self.samples[0], *self.reference[0]))
        return self.spread(min(GOLDEN_SAMPLES, max(1, GOLDEN_BYTES // max(1, each))))

    def measure(self, run: RunFn) -> Parity:
        """Parity of `run` on these samples.

        Raises:
            Mismatch: another number of outputs, shape or dtype, or NaN or Inf.
        """
        return compare(self.reference, (run(s) for s in self.samples), self.labels, self.outputs)


@dataclass
class StageLog:
    """The stages of one artifact so far.

    Attributes:
        evidence: samples and reference outputs.
        tolerance: what the outcome must hold.
        float_tolerance: what the stages before quantization must hold.
        announce: called with the name of what begins, for the progress display.
        results: one entry a finished stage.
    """

    evidence: Evidence
    tolerance: Tolerance
    float_tolerance: Tolerance
    announce: Callable[[str], None]
    results: list[StageResult] = field(default_factory=list)
    _since: float = field(default_factory=time.perf_counter)

    def check(self, stage: Stage, run: RunFn) -> StageResult:
        """Runs a stage on the evidence and records parity, problem and time since the last one."""
        self.announce(f"comparing {stage.value}")
        whole = stage is Stage.ARTIFACT
        evidence = self.evidence if whole else self.evidence.spread(STAGE_SAMPLES)
        exact = stage in (Stage.CAPTURED, Stage.PASSES)
        parity, problem = None, None
        try:
            parity = evidence.measure(run)
            problem = judge(
                parity, self.float_tolerance if exact else self.tolerance, random=evidence.random
            )
        except Mismatch as mismatch:
            problem = str(mismatch)
        except FormatError as error:
            problem = error.reason
        now = time.perf_counter()
        result = StageResult(stage, now - self._since, parity, problem)
        self.results.append(result)
        self._since = now
        return result

    @property
    def diverged(self) -> StageResult | None:
        """The first stage with a problem."""
        return first_problem(self.results)


def first_problem(stages: Sequence[StageResult]) -> StageResult | None:
    """The first of `stages` that is wrong, or None."""
    return next((s for s in stages if s.problem), None)
