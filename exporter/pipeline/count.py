"""Counts instructions per inference: the device's runtime and agent on this machine, in a qemu that
counts."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exporter.device.bundle import Layer
from exporter.device.emulator.counter import Counter
from exporter.device.job import JOB_FILE, Job, read_outputs, to_json
from exporter.device.pack import write_agent
from exporter.manifest import Artifact
from exporter.pipeline.exported import Exported
from exporter.types import Format, Instructions, Tensors

_RUNS, _WARMUP = 3, 1
"""The count repeats to 0.1 %; the first runs fill caches and make plans."""


@dataclass(frozen=True)
class Counting:
    """Everything that a count needs.

    Attributes:
        exported: the output folder.
        bundle: layers of the runtime bundle, `core` and one for each format.
        counter: a qemu that counts.
    """

    exported: Exported
    bundle: Sequence[Layer]
    counter: Counter

    def count(self, artifact: Artifact, cpu: str) -> tuple[Instructions, list[Tensors]]:
        """Instructions of one warm inference on one thread, and the outputs on that CPU.

        Args:
            artifact: one with a file.
            cpu: as qemu names it.

        Returns:
            The count, and the outputs of each golden sample.

        Raises:
            FormatError: the artifact does not run there.
        """
        layer = {layer.name: layer.folder for layer in self.bundle}
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for path in files(self.exported, artifact):
                (folder / path.name).symlink_to(path.resolve())
            job = job_for(self.exported, artifact, runs=_RUNS, warmup=_WARMUP, marks=True)
            (folder / JOB_FILE).write_text(to_json(job), encoding="utf-8")
            agent = write_agent(folder)
            samples = self.counter.run(cpu, layer["core"], layer[artifact.format], agent, folder)
            outputs = read_outputs(folder, job)
        return Instructions(cpu, round(statistics.median(samples)), samples), outputs


def files(exported: Exported, artifact: Artifact) -> tuple[Path, ...]:
    """What a job needs: the artifact's file, what belongs to it, and the samples."""
    names = (artifact.file, *artifact.sidecars) if artifact.file else ()
    return (*(exported.folder / name for name in names), exported.golden_path)


def job_for(
    exported: Exported,
    artifact: Artifact,
    *,
    runs: int,
    warmup: int,
    threads: int = 1,
    cpus: tuple[int, ...] = (),
    marks: bool = False,
) -> Job:
    """What the agent is asked to do with an artifact, its files lying beside the job."""
    if artifact.file is None:
        raise ValueError("an artifact that was not made cannot run")
    signature = exported.manifest.signature
    return Job(
        format=Format(artifact.format),
        model=artifact.file,
        samples=exported.golden_path.name,
        inputs=signature.inputs,
        outputs=signature.outputs,
        threads=threads,
        warmup=warmup,
        runs=runs,
        cpus=cpus,
        marks=marks,
    )
