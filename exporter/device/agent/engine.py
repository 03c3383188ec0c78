"""The runtimes, each by the `engine.py` of its folder in `exporter.runtimes`."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from . import ENGINES
from .job import Job, JobError

Array = np.ndarray[Any, np.dtype[Any]]


class Engine(Protocol):
    """A runtime, imported when it is made. Only `invoke` is timed.

    The class of that name in a runtime's `engine.py`, which stands alone: it imports the standard
    library, numpy and, inside, its own runtime; of its own folder only `engine*.py`, relatively, as
    these come to the device with it.

    Attributes:
        name: with version.
        failures: what the runtime raises when it does not like an artifact or its inputs.

    Args:
        model: the artifact's file.
        threads: of one inference.
        refusal: what the engine raises, of one sentence, where it is itself that does not.
    """

    name: str
    failures: tuple[type[Exception], ...]

    def __init__(self, model: Path, threads: int, refusal: type[Exception]) -> None: ...

    def load(self) -> None:
        """Reads the artifact, until it is ready to run."""

    def bind(self, inputs: Sequence[tuple[str, str]], outputs: Sequence[tuple[str, str]]) -> None:
        """Says what the caller gives and takes from now on; the artifact is loaded.

        Args:
            inputs: name and numpy's dtype name of each, in call order.
            outputs: likewise.
        """

    def feed(self, sample: Sequence[Array]) -> Any:
        """The inputs as the runtime takes them."""

    def invoke(self, inputs: Any) -> Any:
        """One inference."""

    def collect(self, outputs: Any) -> list[Array]:
        """What `invoke` gave as arrays of the caller's own, in the order of the signature."""

    def cause(self, error: Exception, log: str = "") -> str:
        """The sentence that says most.

        Args:
            error: one of `failures`.
            log: what the runtime has written to standard error.
        """


def formats() -> tuple[str, ...]:
    """Those that an engine is here for."""
    found = pkgutil.iter_modules(import_module(ENGINES).__path__)
    return tuple(sorted(module.name for module in found))


def make_engine(job: Job) -> Engine:
    """The engine of the job's format; imports the runtime."""
    made: type[Engine] = import_module(f"{ENGINES}.{job.format}.engine").Engine
    return made(job.model, job.threads, JobError)
