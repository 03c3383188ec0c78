"""What the on-device agent is asked to do, and what it answers: one artifact a job, as JSON."""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from pathlib import Path

from exporter.device.refusals import one_line
from exporter.errors import DeviceError, FormatError
from exporter.types import Array, Format, Tensors, TensorSpec

JOB_FILE = "job.json"
RESULT_FILE = "result.json"
OUTPUTS_FILE = "outputs.npz"
"""Written beside the job, in the same folder: arrays `output/<position>`, one row a sample."""


@dataclass(frozen=True)
class Job:
    """One artifact to run. Paths are relative to the folder that the job lies in.

    Attributes:
        format: which runtime.
        model: the artifact's path.
        samples: path of an .npz with `input/<name>` for each input, stacked on a sample axis.
        inputs: of the model, in call order.
        outputs: of the model, in order.
        threads: of the runtime.
        warmup: runs before those that are timed, after the cold one.
        runs: timed runs on the first sample, after each sample was run once; 0 for outputs alone.
        cpus: numbers of the cores to run on; empty for all.
        marks: whether to tell a counting emulator where each inference starts and ends.
    """

    format: Format
    model: str
    samples: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    threads: int = 1
    warmup: int = 3
    runs: int = 50
    cpus: tuple[int, ...] = ()
    marks: bool = False


@dataclass(frozen=True)
class Result:
    """What the agent measured. Times are of the monotonic clock.

    Attributes:
        runtime: name and version, such as `onnxruntime 1.31.1`.
        load_ms: from opening the file to being ready to run, imports not included.
        cold_ms: the first run after loading.
        samples_ms: each timed run.
        peak_rss: of the process, in bytes.
        cpus: cores it was allowed to run on.
    """

    runtime: str
    load_ms: float
    cold_ms: float
    samples_ms: tuple[float, ...]
    peak_rss: int
    cpus: tuple[int, ...] = ()


def to_json(job: Job) -> str:
    """The job as the agent reads it."""
    return json.dumps(asdict(job), indent=2, ensure_ascii=False, allow_nan=False)


def read_result(folder: Path) -> Result:
    """What the agent measured.

    Args:
        folder: holds `result.json`, which comes from outside and is believed in nothing.

    Raises:
        FormatError: the agent could not run the artifact, and says why.
        DeviceError: there is no such file, or it is damaged.
    """
    path = folder / RESULT_FILE
    try:
        if path.stat().st_size > _LARGEST_RESULT:
            raise _damaged(RESULT_FILE, "is too large")
        fields = json.loads(path.read_bytes(), parse_constant=_no_number)
    except OSError as error:
        raise DeviceError(f"The agent left no {RESULT_FILE}: {error.strerror}.", _MEND) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(RESULT_FILE, "is no JSON") from error
    if not isinstance(fields, dict):
        raise _damaged(RESULT_FILE, "holds no fields")
    if "error" in fields:
        raise FormatError(_text(fields["error"]))
    if missing := [f.name for f in dataclass_fields(Result) if f.name not in fields]:
        raise _damaged(RESULT_FILE, f"lacks {missing[0]}")
    return Result(
        runtime=_text(fields["runtime"]),
        load_ms=_milliseconds("load_ms", fields["load_ms"]),
        cold_ms=_milliseconds("cold_ms", fields["cold_ms"]),
        samples_ms=tuple(
            _milliseconds("samples_ms", value) for value in _list("samples_ms", fields)
        ),
        peak_rss=_count("peak_rss", fields["peak_rss"]),
        cpus=tuple(_count("cpus", value) for value in _list("cpus", fields)),
    )


def read_outputs(folder: Path, job: Job) -> list[Tensors]:
    """The artifact's outputs for each sample, NaN and infinities as they came.

    Args:
        folder: holds `outputs.npz`, which is read only as far as it is what `job` expects.
        job: says how many outputs there are, with shapes and dtypes.

    Raises:
        DeviceError: there is no such file, it is damaged, or it holds something else.
    """
    path = folder / OUTPUTS_FILE
    try:
        with zipfile.ZipFile(path) as archive:
            wanted = {f"output/{i}.npy": spec for i, spec in enumerate(job.outputs)}
            if archive.namelist() != list(wanted):
                raise _damaged(OUTPUTS_FILE, f"does not hold {len(wanted)} outputs")
            if sum(e.file_size for e in archive.infolist()) > path.stat().st_size:
                raise _damaged(OUTPUTS_FILE, "would unpack to more than was sent")
            stacks = [_stack(archive, name, spec) for name, spec in wanted.items()]
    except OSError as error:
        raise DeviceError(f"The agent left no {OUTPUTS_FILE}: {error.strerror}.", _MEND) from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise _damaged(OUTPUTS_FILE, f"cannot be read ({error})") from error
    if len({len(stack) for stack in stacks}) != 1:
        raise _damaged(OUTPUTS_FILE, "holds outputs of different numbers of samples")
    # With `...` a row of scalars stays an array.
    return [tuple(stack[i, ...] for stack in stacks) for i in range(len(stacks[0]))]


_LARGEST_RESULT = 16 << 20
"""Bytes; a million timed runs are less."""

_LONGEST_TEXT = 600

_MEND = "Run it again; if it happens again, restart the device."


def _damaged(name: str, how: str) -> DeviceError:
    return DeviceError(f"The device's {name} {how}.", _MEND)


def _no_number(text: str) -> float:
    raise ValueError(text)


def _text(value: object) -> str:
    """Text of a device for a sentence."""
    if not isinstance(value, str) or not value.strip():
        raise _damaged(RESULT_FILE, "holds no text where there should be some")
    return one_line(value, _LONGEST_TEXT)


def _list(name: str, fields: dict[str, object]) -> list[object]:
    value = fields[name]
    if not isinstance(value, list):
        raise _damaged(RESULT_FILE, f"has {name} that are no list")
    return value


def _milliseconds(name: str, value: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < _DAY_MS:  # type: ignore[operator]  # it is a number
        raise _damaged(RESULT_FILE, f"has {name} that are no time")
    return float(value)  # type: ignore[arg-type]


_DAY_MS = 86_400_000.0


def _count(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise _damaged(RESULT_FILE, f"has {name} that are no whole number")
    return value


def _stack(archive: zipfile.ZipFile, name: str, spec: TensorSpec) -> Array:
    """One output of all samples, stacked; `ValueError` if it is not what `spec` says."""
    import numpy as np

    with archive.open(name) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"{name} is of another version")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        if fortran or dtype != np.dtype(spec.dtype) or shape[1:] != spec.shape or not shape:
            raise ValueError(f"{name} is {dtype} {list(shape)}")
        content = bytearray(stream.read())
    if not shape[0] or len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} is cut short")
    return np.frombuffer(content, dtype).reshape(shape)
