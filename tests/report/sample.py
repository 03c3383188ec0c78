"""A manifest with everything in it, for tests that need one; no model is run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from exporter.manifest import (
    Artifact,
    Capture,
    DeviceResult,
    DeviceRun,
    EvidenceKind,
    Golden,
    Manifest,
    Needs,
    Provenance,
    Source,
    Sweep,
    SweepRun,
)
from exporter.types import (
    FP32,
    INT8_DYNAMIC,
    INT8_STATIC,
    Compute,
    Delegation,
    DeviceFacts,
    DeviceState,
    Format,
    Instructions,
    Latency,
    Layer,
    Parity,
    PassOutcome,
    Precision,
    Signature,
    Stage,
    StageResult,
    TensorSpec,
    Variant,
    Verdict,
    Where,
)

SIZES = {Format.PTL: 1.02, Format.PTE: 0.97, Format.ONNX: 1.01, Format.TFLITE: 0.99}
SPEEDS = {Format.PTL: 59.3, Format.PTE: 18.2, Format.ONNX: 17.1, Format.TFLITE: 12.4}
"""Bytes against float's, and milliseconds of int8: of the order of what a DeiT-tiny gives."""

NEEDS = {
    Format.PTL: {"bytecode version": "8", "operators": "aten::add.Tensor, aten::matmul"},
    Format.PTE: {
        "schema version": "0",
        "operators": "aten::native_layer_norm.out",
        "delegates": "XnnpackBackend",
    },
    Format.ONNX: {"opset": "20", "IR version": "10"},
    Format.TFLITE: {"minimum runtime version": "2.9.0"},
}
LAYERS = (
    Layer(
        node="conv2d",
        operator="aten.conv2d.default",
        module="patch_embed.proj",
        source="vit.py:31, in forward: return self.proj(x)",
        compute=Compute.STATIC,
        macs=28_901_376,
    ),
    Layer(
        node="scaled_dot_product_attention",
        operator="aten.scaled_dot_product_attention.default",
        module="blocks.0.attn",
        source="",
        compute=Compute.FLOAT,
        macs=14_902_656,
        why="the products inside attention stay float",
    ),
)
LACKING = "PyTorch Lite 1.12.2 lacks aten::foo"


def parity(sqnr_db: float = 31.4, **changed: float | None) -> Parity:
    """A plausible comparison on labelled samples."""
    facts = {
        "max_abs": 0.031,
        "cosine": 0.99964,
        "top1_agreement": 0.9917,
        "accuracy": 0.9722,
        "reference_accuracy": 0.975,
        **changed,
    }
    return Parity(samples=360, sqnr_db=sqnr_db, **facts)


def latency(p50: float) -> Latency:
    samples = tuple(round(p50 * x, 4) for x in (0.96, 0.98, 1.0, 1.04, 1.22))
    return Latency(p50, p50 * 1.15, p50 * 0.96, 5, 1, Where.HOST, samples)


def passed(format: Format, variant: Variant = INT8_STATIC) -> Artifact:
    """An artifact that holds."""
    small = variant == INT8_STATIC
    found = parity() if small else parity(118.2, max_abs=2.1e-6, cosine=0.9999999, accuracy=0.975)
    quantized = (StageResult(Stage.QUANTIZED, 2.41, found),) if small else ()
    size = int(22_800_000 * SIZES[format] * (0.28 if small else 1))
    return Artifact(
        format=format,
        precision=variant.precision,
        scheme=variant.scheme,
        verdict=Verdict.PASS,
        file=f"deit.{variant.precision}.{format}",
        bytes=size,
        sha256="ab" * 32,
        parity=found,
        golden_parity=found,
        tolerance={"min_sqnr_db": 10.0 if small else 60.0, "atol": None, "max_drop": 0.02},
        latency_ms=latency(SPEEDS[format] * (1 if small else 1.8)),
        delegation=Delegation(26, 418, 444, {"aten.native_layer_norm": 25, "aten.select_copy": 1})
        if format is Format.PTE
        else None,
        seconds=21.7,
        stages=(*quantized, StageResult(Stage.ARTIFACT, 3.02, found)),
        passes=(PassOutcome("write out attention", 12),),
        layers=LAYERS if small else (),
        weight_bytes={"int8": size - 90_000, "float32": 90_000} if small else {"float32": size},
        needs=Needs(facts=NEEDS[format]),
        notes=("layer norms stay float: their error would dominate",) if small else (),
    )


def lacking(format: Format, variant: Variant = INT8_STATIC) -> Artifact:
    """An artifact that holds, of which a known library lacks an operator."""
    made = passed(format, variant)
    return made.model_copy(update={"needs": Needs(facts=NEEDS[format], lacking=(LACKING,))})


def failed(
    format: Format,
    variant: Variant = INT8_DYNAMIC,
    reason: str = "aten.foo.default (model.py:12, in forward: y = foo(x)) has no kernel",
) -> Artifact:
    """An artifact that could not be made: there is no file."""
    return Artifact(
        format=format,
        precision=variant.precision,
        scheme=variant.scheme,
        verdict=Verdict.FAIL,
        reason=reason,
        seconds=3.4,
    )


def wrong(format: Format, reason: str = "top-1 agreement 0.11 is below 0.90") -> Artifact:
    """An artifact that runs and gives wrong numbers."""
    found = parity(-3.2, max_abs=9.7, cosine=0.112, top1_agreement=0.11, accuracy=0.103)
    return passed(format).model_copy(
        update={
            "verdict": Verdict.FAIL,
            "reason": reason,
            "parity": found,
            "diverged": Stage.ARTIFACT,
            "stages": (
                StageResult(Stage.QUANTIZED, 2.41, parity()),
                StageResult(Stage.ARTIFACT, 3.02, found, reason),
            ),
        }
    )


def manifest(*artifacts: Artifact, name: str = "deit", random: bool = False) -> Manifest:
    """A whole manifest; without artifacts named, one of each format in fp32 and int8."""
    default = tuple(passed(f, v) for v in (FP32, INT8_STATIC) for f in Format)
    exact = parity(126.4, max_abs=1.4e-6, cosine=1.0, accuracy=0.975)
    return Manifest(
        name=name,
        created=datetime(2026, 11, 21, 4, 30, tzinfo=UTC),
        seconds=93.2,
        source=Source(
            target="deit.pt",
            kind="TorchScript archive (traced)",
            reference_bytes=22_700_000,
            sha256="cd" * 32,
            bytes=22_900_000,
        ),
        signature=Signature(
            (TensorSpec("pixels", (1, 3, 224, 224), "float32"),),
            (TensorSpec("logits", (1, 10), "float32"),),
        ),
        evidence=EvidenceKind.RANDOM if random else EvidenceKind.DATA,
        evaluation=Provenance(
            origin="random" if random else "digits.npz", samples=360, random=random, labelled=True
        ),
        calibration=Provenance(origin="calibration.npz", samples=64),
        preprocessing={"size": (224, 224), "mean": (0.485, 0.456, 0.406), "order": "rgb"},
        options={"dynamic_batch": False, "threads": 1, "scheme": None},
        tools={"torch": "2.13.0", "executorch": "1.4.1", "python": "3.11.2", "cpu": "x86-64 x 2"},
        reference_latency_ms=latency(24.6),
        capture=Capture(
            stages=(
                StageResult(Stage.CAPTURED, 4.1, exact),
                StageResult(Stage.PASSES, 1.3, exact),
            ),
            passes=(
                PassOutcome("fold batch norm", 3),
                PassOutcome("drop dropout", 2, ("aten.dropout.default: it is active",)),
            ),
        ),
        golden=Golden(file="golden.npz", sha256="ef" * 32, samples=16),
        artifacts=artifacts or default,
    )


CPUS = ("cortex-a53", "cortex-a55", "cortex-a76", "cortex-a710", "neoverse-v1", "max")
INSTRUCTIONS = {
    Format.PTL: (1212, 1203, 1188, 1176, 1170, 1169),
    Format.PTE: (691, 416, 343, 330, 326, 209),
    Format.ONNX: (476, 272, 269, 243, 183, 158),
    Format.TFLITE: (514, 255, 226, 189, 187, 91),
}
"""Millions, of int8: what a DeiT-tiny costs on each of these CPUs."""


def with_devices(*devices: DeviceResult, sweep: bool = True, **changed: object) -> Manifest:
    """A whole manifest that was also run on devices: a phone and an emulated one by default."""
    found = manifest()
    measured = devices or (phone(found), emulated(found))
    return found.model_copy(
        update={"devices": measured, "sweep": swept(found) if sweep else None, **changed}
    )


def phone(base: Manifest, name: str = "pixel", threads: tuple[int, ...] = (1,)) -> DeviceResult:
    """A real device on which everything holds."""
    return DeviceResult(
        name=name,
        where=Where.DEVICE,
        facts=DeviceFacts(
            serial="2A191FDH300PPQ",
            model="Pixel 7",
            abi="arm64-v8a",
            system="Android 14",
            cpu="4 x Cortex-A55, 2 x Cortex-A78, 2 x Cortex-X1",
            cores=8,
            features=("dotprod", "fp16"),
            memory_bytes=7_900_000_000,
            free_bytes=61_300_000_000,
        ),
        measured=datetime(2026, 11, 21, 5, 10, tzinfo=UTC),
        seconds=88.1,
        options={"runs": 50, "warmup": 3, "affinity": "big"},
        bundle={"core": "12" * 32, "pte": "34" * 32},
        runs=tuple(on_phone(a, t) for a in base.artifacts for t in threads),
    )


def emulated(base: Manifest, cpu: str = "cortex-a53", counted: bool = True) -> DeviceResult:
    """An emulated device on which everything holds."""
    return DeviceResult(
        name=f"emulator:{cpu}",
        where=Where.EMULATED,
        facts=DeviceFacts(
            serial="127.0.0.1:5655",
            model="export-mobile emulator",
            abi="arm64-v8a",
            system="Android 14",
            cpu=f"2 x {cpu.title()}",
            cores=2,
            emulated=True,
        ),
        measured=datetime(2026, 11, 21, 5, 20, tzinfo=UTC),
        seconds=171.9,
        runs=tuple(on_emulator(a, cpu, counted) for a in base.artifacts),
    )


def on_phone(artifact: Artifact, threads: int = 1) -> DeviceRun:
    """A run of an artifact on a phone that stays cool."""
    p50 = SPEEDS[artifact.format] * (0.7 if artifact.precision is Precision.INT8 else 1.3) / threads
    return DeviceRun(
        file=str(artifact.file),
        threads=threads,
        verdict=Verdict.PASS,
        parity=golden(artifact),
        host_parity=near_host(artifact),
        latency_ms=Latency(
            p50=p50,
            p90=p50 * 1.1,
            min=p50 * 0.93,
            runs=5,
            threads=threads,
            where=Where.DEVICE,
            samples_ms=tuple(round(p50 * x, 4) for x in (0.93, 0.98, 1.0, 1.05, 1.31)),
            p99=p50 * 1.3,
            cold=p50 * 3.7,
        ),
        load_ms=p50 * 2.3,
        peak_rss=143_700_000,
        runtime=f"{artifact.format.value} runtime 1.4.1",
        before=DeviceState(31.2, (1803, 1803, 2348, 2850), 81, False),
        after=DeviceState(33.4, (1803, 1803, 2348, 2850), 80, False),
    )


def on_emulator(artifact: Artifact, cpu: str, counted: bool = True) -> DeviceRun:
    """A run of an artifact on an emulated device."""
    return DeviceRun(
        file=str(artifact.file),
        threads=1,
        verdict=Verdict.PASS,
        parity=golden(artifact),
        host_parity=near_host(artifact),
        peak_rss=211_400_000,
        instructions=cost(artifact, cpu) if counted else None,
        runtime=f"{artifact.format.value} runtime 1.4.1",
    )


def golden(artifact: Artifact, **changed: float | None) -> Parity:
    """The artifact's own parity, as it is on 16 golden samples."""
    found = artifact.golden_parity or parity()
    return replace(found, samples=16, accuracy=None, reference_accuracy=None, **changed)


def near_host(artifact: Artifact) -> Parity:
    """Outputs as the host's, but for the order of additions."""
    return golden(artifact, max_abs=4.8e-7, sqnr_db=141.0, cosine=1.0, top1_agreement=1.0)


def cost(artifact: Artifact, cpu: str) -> Instructions:
    millions = INSTRUCTIONS[artifact.format][CPUS.index(cpu)]
    count = int(1e6 * millions * (1 if artifact.precision is Precision.INT8 else 2.9))
    return Instructions(cpu, count, (count - 90_000, count, count + 110_000))


def swept(base: Manifest) -> Sweep:
    """Every artifact on every CPU: one differs between them, and one does not run on the oldest."""
    return Sweep(
        measured=datetime(2026, 11, 21, 5, 40, tzinfo=UTC),
        cpus=CPUS,
        runs=tuple(_swept(a, cpu) for a in base.artifacts for cpu in CPUS),
    )


def _swept(artifact: Artifact, cpu: str) -> SweepRun:
    file = str(artifact.file)
    if file == "deit.int8.ptl" and cpu == "cortex-a53":
        return SweepRun(file=file, cpu=cpu, reason="killed by SIGILL: the CPU lacks an instruction")
    apart = {"cortex-a76": 0.0093, "neoverse-v1": 0.017} if file == "deit.int8.tflite" else {}
    return SweepRun(
        file=file, cpu=cpu, instructions=cost(artifact, cpu), max_abs=apart.get(cpu, 0.0)
    )
