"""Runs artifacts in the libraries that Android apps ship, and says which library runs what.

    python -m scripts.android_compat                           # exports a zoo first: takes minutes
    python -m scripts.android_compat deit-mobile --abi x86_64  # output folders of your own

Every artifact is loaded by the demo app's engine over the unmodified Android library, in a JVM:
natively on x86-64, and on emulated arm64. Its outputs on golden samples are compared with those of
the same file in this machine's runtime: `identical`, or the SQNR in dB. Time is taken on x86-64,
interleaved with this machine's runtime, on one thread; emulated time would say nothing.

Exit code 1: a library does not run a file, or is further from this machine's runtime than the
precision allows, and the exporter did not say so; or the exporter said so, and it runs on all ABIs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from exporter import parity
from exporter.base.text import first_line
from exporter.errors import FormatError
from exporter.manifest import Artifact
from exporter.parity.error import SQNR_CAP_DB
from exporter.pipeline.exported import Exported
from exporter.pipeline.latency import TimeFn, side_by_side
from exporter.pipeline.runner import IsolatedRunner
from exporter.types import Parity, Sample, Tensors
from scripts import zoo
from scripts.android_jvm import ABIS, EngineCrashError, EngineError, EngineProcess

ROOT = Path(__file__).resolve().parent.parent
NATIVE = "x86_64"
CPU = "cortex-a76"
DEADLINE_S = 300.0

DATA = (
    *("--calibration", "models/digits_calibration.npz"),
    *("--evaluation", "models/digits_evaluation.npz", "--limit", "64"),
)
ALL = ("--fp32", "--fp16", "--int8", "--scheme", "dynamic")
ZOO: dict[str, tuple[str, ...]] = {
    "digits": ("models/digits_deit_traced.pt", *ALL, *DATA),
    "digits static": ("models/digits_deit_traced.pt", "--int8", *DATA),
    "cnn": (*zoo.MODELS["cnn"], *ALL, *DATA),
    "cnn static": (*zoo.MODELS["cnn"], "--int8", *DATA),
    "bert": (*zoo.MODELS["bert"], *ALL),
    "two-towers": (*zoo.MODELS["two-towers"], *ALL),
    "unet": (*zoo.MODELS["unet"], *ALL),
}
"""Name -> arguments of export-mobile: images, text with int64 inputs, several inputs and outputs,
outputs by name; every precision."""


@dataclass(frozen=True)
class Outcome:
    """One artifact in one library.

    Attributes:
        parity: against this machine's runtime; None where it does not run.
        problem: why it does not run, or is too far away.
        ratio: its p50 over that of this machine's runtime, where time was taken.
    """

    parity: Parity | None = None
    problem: str | None = None
    ratio: float | None = None

    @property
    def text(self) -> str:
        """For a cell."""
        if self.parity is None:
            return "fails"
        if self.parity.sqnr_db == SQNR_CAP_DB:
            return "identical"
        return f"{self.parity.sqnr_db:.1f} dB" + (" !" if self.problem else "")


@dataclass(frozen=True)
class Row:
    """One artifact in all of them.

    Attributes:
        model: the folder's name.
        artifact: which one, and what the exporter says of it.
        outcomes: ABI -> how it went.
    """

    model: str
    artifact: Artifact
    outcomes: dict[str, Outcome]

    @property
    def surprises(self) -> Iterator[str]:
        """Where the exporter's word and what happened are not the same."""
        said = "; ".join(self.artifact.needs.lacking)
        problems = {abi: o.problem for abi, o in self.outcomes.items() if o.problem}
        name = f"{self.model}: {self.artifact.file}"
        if said and not problems and set(ABIS) <= set(self.outcomes):
            yield f"{name}: runs, although {said}"
        elif not said:
            yield from (f"{name} on {abi}: {problem}" for abi, problem in problems.items())


def main(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Output folders; without any, a zoo is exported.")
    ] = None,
    abi: Annotated[list[str] | None, typer.Option(help=f"{' or '.join(ABIS)}; both.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Golden samples to compare.")] = 16,
    runs: Annotated[int, typer.Option(min=5, help="Timed runs of each.")] = 50,
) -> None:
    """Prints a row for each artifact."""
    abis = tuple(abi or ABIS)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for folder in folders or _exported_zoo(Path(scratch)):
            exported = Exported.read(folder).first(samples, Path(scratch))
            for artifact in exported.manifest.artifacts:
                if artifact.file:
                    row = _row(exported, artifact, abis, runs)
                    print(f"{row.model}: {artifact.file}", file=sys.stderr)
                    rows.append(row)
    Console(width=None if sys.stdout.isatty() else 140).print(_table(rows, abis))
    reasons = {r.artifact.needs.lacking for r in rows if r.artifact.needs.lacking}
    for reason in sorted({text for texts in reasons for text in texts}):
        print(f"as the exporter says: {reason}")
    surprises = [text for row in rows for text in row.surprises]
    print("\n".join(surprises) or "Nothing that the exporter did not say.")
    raise typer.Exit(bool(surprises))


def compared(
    exported: Exported, artifact: Artifact, abis: Sequence[str], runs: int
) -> dict[str, Outcome]:
    """How one artifact does in its Android library, on each ABI."""
    assert artifact.file
    path = exported.folder / artifact.file
    with (
        tempfile.TemporaryDirectory() as logs,
        IsolatedRunner(artifact.format, path, Path(logs) / "host.log") as host,
    ):
        expected = [host.run(sample) for sample in exported.golden.samples]
        return {abi: _outcome(exported, artifact, abi, expected, host.time, runs) for abi in abis}


def _row(exported: Exported, artifact: Artifact, abis: Sequence[str], runs: int) -> Row:
    try:
        outcomes = compared(exported, artifact, abis, runs)
    except FormatError as error:
        reason = f"does not run on this machine either: {error.reason}"
        outcomes = {abi: Outcome(problem=reason) for abi in abis}
    return Row(exported.folder.name, artifact, outcomes)


def _outcome(
    exported: Exported,
    artifact: Artifact,
    abi: str,
    expected: Sequence[Tensors],
    host: TimeFn,
    runs: int,
) -> Outcome:
    assert artifact.file
    signature = exported.manifest.signature
    native = abi == NATIVE
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(
                EngineProcess(artifact.format.value, abi, None if native else CPU, DEADLINE_S)
            )
            engine.load("model", exported.folder / artifact.file, signature)
            got = engine.run("model", exported.golden.samples)
            measured = parity.compare(expected, got, outputs=signature.outputs)
        except (EngineError, EngineCrashError, parity.Mismatch) as error:
            return Outcome(problem=first_line(error))
        ratio = _ratio(engine, host, exported.golden.samples[0], runs) if native else None
    bounds = parity.default_tolerance(artifact.variant, parity.peak(expected))
    problem = parity.judge(measured, bounds, random=exported.manifest.evaluation.random)
    return Outcome(measured, problem, ratio)


def _ratio(engine: EngineProcess, host: TimeFn, sample: Sample, runs: int) -> float:
    def android(sample: Sample, runs: int) -> list[float]:
        return list(engine.time("model", sample, runs, warmup=0).samples)

    latencies, failed = side_by_side({"host": host, "android": android}, sample, runs, 1)
    if failed:
        raise FormatError("; ".join(failed.values()))
    return latencies["android"].p50 / latencies["host"].p50


def _exported_zoo(scratch: Path) -> list[Path]:
    folders = []
    for name, arguments in ZOO.items():
        folders.append(scratch / name)
        command = [sys.executable, "-m", "exporter.cli", *arguments, "--quiet", "--runs", "5"]
        done = subprocess.run(
            [*command, "--output", str(folders[-1])], cwd=ROOT, capture_output=True, check=False
        )
        if done.returncode not in (0, 1):
            raise SystemExit(f"{name}: {done.stderr.decode(errors='replace').strip()}")
    return folders


def _table(rows: Sequence[Row], abis: Sequence[str]) -> Table:
    title = "against this machine's runtimes; time: x86-64, one thread, interleaved"
    table = Table(title=title)
    for heading in ("model", "artifact", *abis, "time", "against the original", "lacking"):
        table.add_column(heading)
    for row in rows:
        a = row.artifact
        ratio = next((o.ratio for o in row.outcomes.values() if o.ratio), None)
        table.add_row(
            row.model,
            f"{a.format} {a.precision}" + ("" if a.scheme.value == "float" else f" {a.scheme}"),
            *(row.outcomes[abi].text for abi in abis),
            f"{ratio:.1f}x" if ratio else "-",
            f"{a.parity.sqnr_db:.1f} dB" if a.parity else "-",
            str(len(a.needs.lacking) or "-"),
        )
    return table


if __name__ == "__main__":
    typer.run(main)
