"""The frozen value types that every station shares. Imports neither torch nor any runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
else:
    Array = Any

Tensors: TypeAlias = tuple[Array, ...]
"""Flat inputs, or flat outputs, of one call: positional, in the order of the signature."""

Sample: TypeAlias = Tensors
"""The inputs of one call."""

RunFn: TypeAlias = Callable[[Sample], Tensors]
"""Anything that maps one sample to its outputs: a module, a graph, an artifact in its runtime."""


Tell: TypeAlias = Callable[[str], None]
"""Takes a line of progress."""


class Format(StrEnum):
    """What can be made of a model; the value is the file suffix."""

    PTL = "ptl"
    PTE = "pte"
    ONNX = "onnx"
    TFLITE = "tflite"


class Precision(StrEnum):
    """What was asked for; `exporter.quantize.semantics` says what each one means."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Scheme(StrEnum):
    """How activations are treated: float, quantized with calibrated ranges, or at run time."""

    FLOAT = "float"
    STATIC = "static"
    DYNAMIC = "dynamic"


class Stage(StrEnum):
    """Where outputs are compared with the original model, in order."""

    CAPTURED = "captured program"
    PASSES = "after passes"
    QUANTIZED = "quantized graph"
    ARTIFACT = "artifact"


class Verdict(StrEnum):
    """The outcome for one artifact."""

    PASS = "pass"
    FAIL = "fail"


class Where(StrEnum):
    """Where a figure was measured. Emulated wall time is never shown as latency."""

    HOST = "host"
    EMULATED = "emulated"
    DEVICE = "device"


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: an identifier, unique among the inputs (or outputs).
        shape: sizes in elements; the batch is the first where there is one.
        dtype: numpy's name of the element type, such as `float32`.
        low: smallest sensible value of an integer input (inclusive), where known.
        high: bound of an integer input (exclusive), where known, such as a vocabulary size.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True)
class Signature:
    """Flat inputs and outputs of the model, in call order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class Dataset:
    """Samples with where they came from.

    Attributes:
        samples: each one the flat inputs of one call.
        labels: class index of each sample, where known.
        origin: what the user named, or `random`.
        random: True for made-up inputs, which are weak evidence.
        left_out: how many more samples the origin holds.
    """

    samples: tuple[Sample, ...]
    labels: tuple[int, ...] | None = None
    origin: str = "random"
    random: bool = False
    left_out: int = 0


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
class DeviceFacts:
    """What a device says of itself.

    Attributes:
        serial: adb's name of it.
        model: such as `Pixel 7`.
        abi: such as `arm64-v8a`; `aarch64` on Linux boards.
        system: such as `Android 14` or `Debian GNU/Linux 12`.
        cpu: core types with their number, such as `4 x Cortex-A55, 2 x Cortex-A76`.
        cores: how many.
        features: those of `lse`, `dotprod`, `i8mm`, `fp16`, `sve` and `sve2` that all cores have.
        memory_bytes: of RAM, where readable.
        free_bytes: where the runtime is kept, where readable.
        emulated: True for qemu and Android's emulator: its wall time says nothing.
    """

    serial: str
    model: str
    abi: str
    system: str
    cpu: str
    cores: int
    features: tuple[str, ...] = ()
    memory_bytes: int | None = None
    free_bytes: int | None = None
    emulated: bool = False


@dataclass(frozen=True)
class DeviceState:
    """What changes while a device works, each where it is readable.

    Attributes:
        temperature_c: of the hottest CPU sensor, in degrees Celsius.
        frequency_mhz: of each core.
        battery_percent: charge.
        charging: whether it is on external power.
    """

    temperature_c: float | None = None
    frequency_mhz: tuple[int, ...] = ()
    battery_percent: int | None = None
    charging: bool | None = None


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
class Needs:
    """What a file needs of the library that runs it, read from the file.

    Attributes:
        versions: what has one, such as `opset` -> its version, in numbers and dots; None where it
            cannot be known.
        sources: of `versions`, how it is known or why it is not, where the file does not say it.
        operators: those outside delegates by which libraries differ -> how many arguments the file
            gives them; 0 where it does not count them.
        delegates: names of delegates (ExecuTorch backends).
    """

    versions: dict[str, str | None] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    operators: dict[str, int] = field(default_factory=dict)
    delegates: tuple[str, ...] = ()

    @property
    def facts(self) -> dict[str, str]:
        """Label -> words, for people."""
        facts = {label: self._version(label) for label in self.versions}
        if self.operators:
            facts["operators"] = ", ".join(sorted(self.operators))
        if self.delegates:
            facts["delegates"] = ", ".join(self.delegates)
        return facts

    def _version(self, label: str) -> str:
        source = self.sources.get(label)
        number = self.versions[label] or "unknown"
        return f"{number} ({source})" if source else number


@dataclass(frozen=True)
class Description:
    """What a model or artifact file holds, read from the file itself.

    Attributes:
        kind: in words, such as `ONNX model, opset 18`.
        inputs: flat inputs, where the file states them.
        outputs: flat outputs, where the file states them.
        operators: operator name -> how often, most frequent first.
        weight_bytes: element type of the stored constants (numpy's name) -> bytes.
        size: bytes of the file.
        details: further facts, label -> value.
        needs: what the library that runs it must have.
    """

    kind: str
    size: int
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    operators: dict[str, int] = field(default_factory=dict)
    weight_bytes: dict[str, int] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    needs: Needs = field(default_factory=Needs)


@dataclass(frozen=True)
class Example:
    """Example inputs of one call, as the model's own `forward` takes them.

    Attributes:
        args: positional inputs: numpy arrays, torch tensors, or nested collections of them.
        kwargs: inputs by keyword, likewise.
    """

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
