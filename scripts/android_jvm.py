"""The Android app's engines in a JVM on this machine: the Android libraries through their own Java.

with EngineProcess("onnx") as engine:
    engine.load("digits", file, signature)
    (outputs,) = engine.run("digits", [sample])
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from exporter.types import Sample, Signature, Tensors
from scripts.android_java import command

ABIS = ("x86_64", "arm64-v8a")


class EngineError(Exception):
    """What the app would tell its user: one sentence."""


class EngineCrashError(Exception):
    """What the app would not survive: a killed process, one that hangs, an exception it lacks."""


@dataclass(frozen=True)
class Timing:
    """Wall times of one inference in milliseconds, taken in the engine's process.

    Attributes:
        cold: of the first run after loading.
        samples: of each warm run.
    """

    cold: float
    samples: tuple[float, ...]


class EngineProcess:
    """A JVM with one Android library; a context manager, within which models are loaded and run.

    Args:
        fmt: `pte`, `onnx`, `tflite` or `ptl`.
        abi: `x86_64` runs here, `arm64-v8a` under emulation.
        cpu: of emulated arm64, as qemu names it.
        deadline_s: how long it may take to start, and each request; the process is killed then.

    Raises:
        UserError: on entering: the app is not built, or a tool is missing; with the remedy.
        EngineError: on entering: the library does not load.
        EngineCrashError: the process died or took too long, here as in all methods.
    """

    library: str
    """Name and version, such as `ONNX Runtime 1.29.0`."""

    def __init__(
        self, fmt: str, abi: str = "x86_64", cpu: str | None = None, deadline_s: float = 60.0
    ) -> None:
        self._fmt = fmt
        self._abi = abi
        self._cpu = cpu
        self._deadline_s = deadline_s
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._unread = b""

    def __enter__(self) -> Self:
        words, variables = command(self._fmt, self._abi, self._cpu)
        self._folder = tempfile.TemporaryDirectory(prefix="export-mobile-engine-")
        self._place = Path(self._folder.name)
        with (self._place / "stderr").open("wb") as said:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                cwd=self._place,  # where a JVM leaves its account of a crash
                env={**os.environ, **variables},
            )
        try:
            self.library = str(self._answer("start")["library"])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        if self._folder is not None:
            self._folder.cleanup()

    def load(self, name: str, file: Path, signature: Signature, threads: int = 1) -> float:
        """Loads an artifact; several may be loaded under different names.

        Returns:
            How long it took, in milliseconds.

        Raises:
            EngineError: the file does not load, or the library cannot take such tensors.
        """
        stated = {
            side: [{"name": s.name, "shape": s.shape, "dtype": s.dtype} for s in specs]
            for side, specs in (("inputs", signature.inputs), ("outputs", signature.outputs))
        }
        answer = self._ask(
            "load", id=name, file=str(file.resolve()), signature=stated, threads=threads
        )
        return float(answer["load_ms"])

    def run(self, name: str, samples: Sequence[Sample]) -> list[Tensors]:
        """The outputs of each sample.

        Raises:
            EngineError: a sample does not fit, or the engine fails.
        """
        # A crash leaves the answer to an earlier request behind.
        (self._place / "outputs.npz").unlink(missing_ok=True)
        inputs = self._write(samples)
        self._ask("run", id=name, inputs=inputs, outputs=str(self._place / "outputs.npz"))
        with np.load(self._place / "outputs.npz") as stored:
            columns = [stored[f"output/{i}"] for i in range(len(stored.files))]
        return [tuple(column[row] for column in columns) for row in range(len(samples))]

    def time(self, name: str, sample: Sample, runs: int = 50, warmup: int = 5) -> Timing:
        """How long one inference takes.

        Raises:
            EngineError: the sample does not fit, or the engine fails.
        """
        inputs = self._write([sample])
        answer = self._ask("time", id=name, inputs=inputs, runs=runs, warmup=warmup)
        return Timing(float(answer["cold_ms"]), tuple(map(float, answer["samples_ms"])))

    def close(self, name: str) -> None:
        """Closes a model; closing it again does nothing."""
        self._ask("close", id=name)

    def features(self) -> tuple[str, ...]:
        """What the CPU has, in the words of arm64's /proc/cpuinfo; none on other machines."""
        return tuple(self._ask("features")["features"].split())

    def refusal(
        self, page_size: int = 4096, atomics: bool = True, avx512: bool = False
    ) -> str | None:
        """Why the app would not load the library on such a device; None where it would."""
        answer = self._ask("refusal", page_size=page_size, atomics=atomics, avx512=avx512)
        return None if answer["refusal"] is None else str(answer["refusal"])

    def _write(self, samples: Sequence[Sample]) -> str:
        columns = {
            f"input/{i}": np.stack(column) for i, column in enumerate(zip(*samples, strict=True))
        }
        np.savez(self._place / "inputs.npz", **columns)  # type: ignore[arg-type]
        return str(self._place / "inputs.npz")

    def _ask(self, op: str, **fields: object) -> dict[str, Any]:
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps({"op": op, **fields}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died(op) from None
        return self._answer(op)

    def _answer(self, op: str) -> dict[str, Any]:
        line = self._line(op)
        while not line.startswith(b"{"):  # native code that printed something
            line = self._line(op)
        answer: dict[str, Any] = json.loads(line)
        if "crash" in answer:
            raise EngineCrashError(f"{op}: {answer['crash']}")
        if "error" in answer:
            raise EngineError(answer["error"])
        return answer

    def _line(self, op: str) -> bytes:
        assert self._process.stdout
        until = time.monotonic() + self._deadline_s
        while b"\n" not in self._unread:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                self._process.kill()
                raise EngineCrashError(
                    f"{op} took longer than {self._deadline_s:.0f} s\n{self._said()}"
                )
            part = os.read(self._process.stdout.fileno(), 1 << 16)
            if not part:
                raise self._died(op)
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _died(self, op: str) -> EngineCrashError:
        code = self._process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return EngineCrashError(f"{op}: the engine's process ended ({how})\n{self._said()}")

    def _said(self) -> str:
        """The end of what it wrote on stderr, and the beginning of the JVM's account of a crash."""
        said = (self._place / "stderr").read_bytes()[-2000:]
        accounts = [path.read_bytes()[:1000] for path in self._place.glob("hs_err_pid*.log")]
        return b"\n".join((said, *accounts)).decode(errors="replace")
