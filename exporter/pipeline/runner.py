"""An artifact in its real runtime, in a process of its own."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from exporter.pipeline.latency import stopwatch
from exporter.pipeline.workers import Worker
from exporter.runtimes.load import load_runner
from exporter.types import Format, Sample, Tensors


class IsolatedRunner:
    """Runs an artifact in a worker process, so that a crash is a `FormatError` and not the end.

    Args:
        format: which runtime.
        path: the artifact.
        log: file for what the runtime prints.
        threads: threads of the runtime.

    Raises:
        FormatError: on entering, when the artifact does not load; on `run` and `time`, when the
            runtime refuses the sample or crashes.
    """

    def __init__(self, format: Format, path: Path, log: Path, threads: int = 1) -> None:
        self._args = (format, path, threads)
        self._log = log
        self._threads = threads

    def __enter__(self) -> Self:
        self._worker = Worker.start(self._args, _serve, self._args, self._log, self._threads)
        try:
            self._worker.receive()
        except BaseException:
            self._worker.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._worker.finish()

    def run(self, sample: Sample) -> Tensors:
        """Outputs for one sample."""
        outputs: Tensors = self._worker.ask("run", sample)
        return outputs

    def time(self, sample: Sample, runs: int) -> list[float]:
        """Wall milliseconds of each of `runs` inferences, monotonic clock, in the worker."""
        milliseconds: list[float] = self._worker.ask("time", sample, runs)
        return milliseconds


def _serve(connection: Connection, format: Format, path: Path, threads: int) -> None:
    with load_runner(format)(path, threads) as runner:
        connection.send("ready")
        while True:
            request = connection.recv()
            if request[0] == "run":
                connection.send(runner.run(request[1]))
            else:
                _, sample, runs = request
                connection.send(stopwatch(runner.run)(sample, runs))
