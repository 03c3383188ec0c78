"""The job: one artifact to run, as `exporter.device.job.Job` puts it in words."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class JobError(Exception):
    """The artifact or its inputs do not work; reads as one sentence."""


@dataclass(frozen=True)
class Spec:
    """One input or output: `shape` in elements, `dtype` is numpy's name."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


@dataclass(frozen=True)
class Job:
    """See `exporter.device.job.Job`."""

    format: str
    model: Path
    samples: Path
    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    threads: int
    warmup: int
    runs: int
    cpus: tuple[int, ...]
    marks: bool


def read_job(folder: Path, formats: Collection[str]) -> Job:
    """Reads and checks job.json.

    Args:
        folder: holds it.
        formats: those that an engine is here for.

    Raises:
        JobError: it is damaged, or asks for what cannot be.
    """
    try:
        fields = json.loads((folder / "job.json").read_bytes())
    except OSError as error:
        raise JobError(f"job.json cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise JobError(f"job.json is no JSON: {error}") from error
    kind = _field(fields, "format", str)
    if kind not in formats:
        raise JobError(f"job.json: format {kind!r} is none of {', '.join(formats)}")
    return Job(
        format=kind,
        model=folder / _field(fields, "model", str),
        samples=folder / _field(fields, "samples", str),
        inputs=tuple(_spec(s) for s in _field(fields, "inputs", list)),
        outputs=tuple(_spec(s) for s in _field(fields, "outputs", list)),
        threads=_number(_field(fields, "threads", int), 1),
        warmup=_number(_field(fields, "warmup", int), 0),
        runs=_number(_field(fields, "runs", int), 0),
        cpus=tuple(_number(n, 0) for n in _field(fields, "cpus", list)),
        marks=_field(fields, "marks", bool),
    )


def _field(fields: Any, name: str, kind: type) -> Any:
    if not isinstance(fields, dict) or name not in fields:
        raise JobError(f"job.json lacks {name}")
    if type(fields[name]) is not kind:
        raise JobError(f"job.json: {name} is {fields[name]!r}, which is no {kind.__name__}")
    return fields[name]


def _number(value: Any, low: int) -> int:
    if type(value) is not int or not low <= value < 1 << 31:
        raise JobError(f"job.json: {value!r} should be a whole number of at least {low}")
    return value


def _spec(fields: Any) -> Spec:
    dtype = _field(fields, "dtype", str)
    if dtype not in _DTYPES:
        raise JobError(f"job.json: dtype {dtype!r} is none of {', '.join(sorted(_DTYPES))}")
    shape = tuple(_number(n, 0) for n in _field(fields, "shape", list))
    return Spec(_field(fields, "name", str), shape, dtype)


_DTYPES = frozenset(
    {"bool", "float16", "float32", "float64"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)
