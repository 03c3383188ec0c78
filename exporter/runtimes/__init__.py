"""The runtimes, one folder each. Adding one is adding a folder, and a line in `types.Format`.

A folder has a record in its `__init__.py`, light enough for `--help`, the packages for devices in
`requirements.txt`, and modules that are imported only when they are needed:

- `convert.py`: `convert(job: ConvertJob, check: CheckFn) -> Conversion` writes `job.target`.
- `engine.py`: `Engine`, which runs an artifact, on this machine and on a device; imports nothing of
  this package.
- `run.py`: `Runner(path: Path, threads: int)`, a `RunnerApi`.
- `describe.py`: `describe(path: Path) -> Description`, which reads the file and runs nothing.

`libraries/` is no runtime: it knows what the libraries that Android apps ship can run.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from exporter.runtimes.record import Runtime
from exporter.types import Format


@cache
def runtime(format: Format) -> Runtime:
    """The record of one runtime."""
    record = import_module(f"exporter.runtimes.{format.value}").RUNTIME
    assert isinstance(record, Runtime)
    return record


def runtimes() -> tuple[Runtime, ...]:
    """All records, in the order of the formats."""
    return tuple(map(runtime, Format))
