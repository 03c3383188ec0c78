"""Runs one artifact on a device: `python3 agent.py FOLDER` does what FOLDER/job.json says.

This file is pushed to the device by itself, so it imports nothing of this package: only the
standard library, numpy, and the runtime of its job. `exporter.device.job` describes job.json and
what is written beside it, result.json and outputs.npz.

Exit codes: 0 done; 1 the artifact or its inputs do not work, result.json says why in one sentence;
3 a bug, with its traceback on standard error.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import json
import math
import os
import re
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

BEGIN, END = 0x45580001, 0x45580002
"""What a counting emulator looks for as the argument of the system call sched_get_priority_max."""

Array = np.ndarray[Any, np.dtype[Any]]


class JobError(Exception):
    """The artifact or its inputs do not work; reads as one sentence."""


# --- The job -------------------------------------------------------------------------------------


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


def read_job(folder: Path) -> Job:
    """Reads and checks job.json."""
    try:
        fields = json.loads((folder / "job.json").read_bytes())
    except OSError as error:
        raise JobError(f"job.json cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise JobError(f"job.json is no JSON: {error}") from error
    kind = _field(fields, "format", str)
    if kind not in ENGINES:
        raise JobError(f"job.json: format {kind!r} is none of {', '.join(ENGINES)}")
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


# --- The samples ---------------------------------------------------------------------------------


class Samples:
    """The inputs of each call, read one call at a time: they may be large.

    Args:
        path: an .npz with `input/<name>` for each input, stacked on a first axis.
        specs: of the inputs, in call order.

    Raises:
        JobError: the file is damaged, or does not hold these inputs.
    """

    def __init__(self, path: Path, specs: Sequence[Spec]) -> None:
        self._name, self._specs = path.name, specs
        with self._reading():
            archive = zipfile.ZipFile(path)
            names = set(archive.namelist())
            for spec in specs:
                if f"input/{spec.name}.npy" not in names:
                    raise JobError(f"{path.name} holds no input {spec.name}")
            self._streams = [archive.open(f"input/{spec.name}.npy") for spec in specs]
            counts = {self._header(s, spec) for s, spec in zip(self._streams, specs, strict=True)}
        if len(counts) != 1 or counts == {0}:
            raise JobError(f"{path.name} holds {sorted(counts)} samples of the inputs")
        self.count = counts.pop()

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        for number in range(self.count):
            sample = []
            for stream, spec in zip(self._streams, self._specs, strict=True):
                with self._reading():
                    array = _read_array(stream, spec)
                if array.dtype.kind == "f" and not np.isfinite(array).all():
                    raise JobError(f"input {spec.name} of sample {number} is not finite")
                sample.append(array)
            yield tuple(sample)

    def _header(self, stream: Any, spec: Spec) -> int:
        """Checks what the stream holds; the number of samples."""
        if np.lib.format.read_magic(stream) != (1, 0):
            raise JobError(f"input {spec.name} in {self._name} is of another version of .npy")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        if dtype != np.dtype(spec.dtype) or shape[1:] != spec.shape or not shape or fortran:
            given = f"{dtype} {list(shape[1:])}"
            raise JobError(f"input {spec.name} in {self._name} is {given}, the model takes {spec}")
        return int(shape[0])

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise JobError(f"{self._name} cannot be read: {error.strerror or error}") from error
        except (zipfile.BadZipFile, zlib.error, ValueError, EOFError) as error:
            raise JobError(f"{self._name} is damaged: {error}") from error


def _read_array(stream: Any, spec: Spec) -> Array:
    dtype = np.dtype(spec.dtype)
    content = np.empty(math.prod(spec.shape) * dtype.itemsize, np.uint8)
    filled = 0
    while filled < len(content):  # in pieces, as each is held twice for a moment
        read = stream.readinto(content.data[filled : filled + (1 << 20)])
        if not read:
            raise EOFError(f"input {spec.name} is cut short")
        filled += read
    return content.view(dtype).reshape(spec.shape)


# --- The runtimes --------------------------------------------------------------------------------


class Engine(Protocol):
    """A runtime, imported when it is made. Only `invoke` is timed.

    Attributes:
        name: with version.
        failures: what it raises when it does not like an artifact or its inputs.
    """

    name: str
    failures: tuple[type[Exception], ...]

    def __init__(self, job: Job) -> None: ...

    def load(self) -> None:
        """Reads the artifact, until it is ready to run."""

    def feed(self, sample: tuple[Array, ...]) -> Any:
        """The inputs as the runtime takes them."""

    def invoke(self, inputs: Any) -> Any:
        """One inference."""

    def collect(self, outputs: Any) -> list[Array]:
        """What `invoke` gave as arrays of the caller's own, in the order of the signature."""


class ExecuTorch:
    """A .pte: XNNPACK with the portable, optimized and quantized kernels."""

    METHOD = "forward"

    def __init__(self, job: Job) -> None:
        self._package = import_module("executorch_numpy_runtime")
        self._job = job
        self.name = f"executorch {self._package.__et_version__}"
        self.failures: tuple[type[Exception], ...] = (self._package.ExecuTorchError,)

    def load(self) -> None:
        self._set_threads(self._job.threads)
        # `Method` would turn a scalar into a vector, so the object below it is used.
        self._program = self._package.Runtime.get().load_program(str(self._job.model))._rt
        takes = self._program.method_meta(self.METHOD)["num_inputs"]
        if takes != len(self._job.inputs):
            raise JobError(f"the artifact takes {takes} inputs, not {len(self._job.inputs)}")
        # A method is loaded by its first call. This one goes no further, for want of inputs; if
        # it is the loading that fails, the first real call says so.
        with suppress(*self.failures):
            self._program.run_method(self.METHOD, [])

    def feed(self, sample: tuple[Array, ...]) -> list[Array]:
        return list(sample)

    def invoke(self, inputs: list[Array]) -> list[Any]:
        return self._program.run_method(self.METHOD, inputs)

    def collect(self, outputs: list[Any]) -> list[Array]:
        return [self._array(value) for value in outputs]

    @staticmethod
    def _array(value: Any) -> Array:
        # Numbers that are no tensors: as PyTorch makes tensors of them.
        dtypes = {bool: np.bool_, int: np.int64, float: np.float32}
        return np.asarray(value, dtypes.get(type(value)))

    @staticmethod
    def _set_threads(count: int) -> None:
        """The package has no setting, but it exports ExecuTorch's own; all programs share a pool.

        The names are those that GCC gives to `get_threadpool()` and to members of `ThreadPool`.
        """
        library = ctypes.CDLL(import_module("executorch_numpy_runtime._core").__file__)
        prefix = "_ZN10executorch9extension10threadpool"
        get = library[f"{prefix}14get_threadpoolEv"]
        get.restype = ctypes.c_void_p
        reset = library[f"{prefix}10ThreadPool24_unsafe_reset_threadpoolEj"]
        reset.argtypes, reset.restype = (ctypes.c_void_p, ctypes.c_uint32), ctypes.c_bool
        if not reset(get(), count):
            raise JobError(f"ExecuTorch refuses {count} threads")


class OnnxRuntime:
    """An .onnx on the CPU; external data lies beside it."""

    def __init__(self, job: Job) -> None:
        self._package = import_module("onnxruntime")
        self._job = job
        self.name = f"onnxruntime {self._package.__version__}"
        state = vars(import_module("onnxruntime.capi.onnxruntime_pybind11_state")).values()
        own = (e for e in state if isinstance(e, type) and issubclass(e, Exception))
        self.failures = (*own, RuntimeError, ValueError)  # they share no base class

    def load(self) -> None:
        options = self._package.SessionOptions()
        options.intra_op_num_threads = self._job.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # fatal ones only: the others are raised as well
        self._session = self._package.InferenceSession(
            str(self._job.model), options, providers=["CPUExecutionProvider"]
        )
        self._names = [i.name for i in self._session.get_inputs()]
        if len(self._names) != len(self._job.inputs):
            takes, given = len(self._names), len(self._job.inputs)
            raise JobError(f"the artifact takes {takes} inputs, not {given}")

    def feed(self, sample: tuple[Array, ...]) -> dict[str, Array]:
        return dict(zip(self._names, sample, strict=True))

    def invoke(self, inputs: dict[str, Array]) -> list[Array]:
        return self._session.run(None, inputs)

    def collect(self, outputs: list[Array]) -> list[Array]:
        return [np.asarray(value) for value in outputs]


class LiteRT:
    """A .tflite; XNNPACK where it can. Takes and gives the model's own types, not the file's."""

    def __init__(self, job: Job) -> None:
        self._package = import_module("ai_edge_litert.interpreter")
        self._job = job
        self.name = f"ai-edge-litert {import_module('ai_edge_litert').__version__}"
        self.failures: tuple[type[Exception], ...] = (RuntimeError, ValueError)

    def load(self) -> None:
        self._interpreter = self._package.Interpreter(
            model_path=str(self._job.model), num_threads=self._job.threads
        )
        self._interpreter.allocate_tensors()
        inputs = {d["name"]: d for d in self._interpreter.get_input_details()}
        outputs = {d["name"]: d for d in self._interpreter.get_output_details()}
        if self._interpreter.get_signature_list():
            runner = self._interpreter.get_signature_runner()
            inputs, outputs = runner.get_input_details(), runner.get_output_details()
        self._inputs = self._in_order(inputs, self._job.inputs)
        self._outputs = self._in_order(outputs, self._job.outputs)

    @staticmethod
    def _in_order(details: dict[str, Any], specs: Sequence[Spec]) -> list[dict[str, Any]]:
        if details.keys() != {spec.name for spec in specs}:
            raise JobError(f"the artifact's signature has other names: {', '.join(details)}")
        return [details[spec.name] for spec in specs]

    def feed(self, sample: tuple[Array, ...]) -> None:
        for detail, value in zip(self._inputs, sample, strict=True):
            self._interpreter.set_tensor(detail["index"], self._to_file(value, detail))

    def invoke(self, inputs: None) -> None:  # noqa: ARG002 (they are in the interpreter)
        self._interpreter.invoke()

    def collect(self, outputs: None) -> list[Array]:  # noqa: ARG002 (likewise)
        return [
            self._to_model(self._interpreter.get_tensor(detail["index"]), detail, spec.dtype)
            for detail, spec in zip(self._outputs, self._job.outputs, strict=True)
        ]

    @classmethod
    def _to_file(cls, value: Array, detail: dict[str, Any]) -> Array:
        """q = round(x / scale) + zero_point; 64-bit values narrowed to 32."""
        dtype = np.dtype(detail["dtype"])
        if value.dtype == dtype:
            return value
        if value.dtype == np.float32 and (found := cls._scale_and_zero(detail)):
            scale, zero = found
            limits = np.iinfo(dtype)
            return np.clip(np.round(value / scale) + zero, limits.min, limits.max).astype(dtype)
        if (dtype.name, value.dtype.name) not in cls.NARROWED:
            raise JobError(f"input {detail['name']} is {dtype} in the file, not {value.dtype}")
        narrow = value.astype(dtype)
        if dtype == np.int32 and not np.array_equal(narrow, value):
            raise JobError(f"input {detail['name']} holds a value beyond 32 bits")
        return narrow

    @classmethod
    def _to_model(cls, value: Array, detail: dict[str, Any], dtype: str) -> Array:
        """x = scale * (q - zero_point); 32-bit values widened to the 64 bits that the model has."""
        if value.dtype.name == dtype:
            return value
        if dtype == "float32" and (found := cls._scale_and_zero(detail)):
            scale, zero = found
            return (scale * (value.astype(np.float32) - zero)).astype(np.float32)
        return value.astype(dtype) if (value.dtype.name, dtype) in cls.NARROWED else value

    NARROWED = frozenset({("int32", "int64"), ("float32", "float64")})
    """(in the file, in the model): the converter stores 64-bit tensors in 32 bits."""

    @staticmethod
    def _scale_and_zero(detail: dict[str, Any]) -> tuple[float, int] | None:
        found = detail["quantization_parameters"]
        if not len(found["scales"]):
            return None
        return float(found["scales"][0]), int(found["zero_points"][0])


class LiteInterpreter:
    """A .ptl in torch's Lite Interpreter, int8 by QNNPACK as on phones."""

    def __init__(self, job: Job) -> None:
        self._torch = import_module("torch")
        self._open = import_module("torch.jit.mobile")._load_for_lite_interpreter
        self._job = job
        self.name = f"torch {self._torch.__version__}"
        self.failures: tuple[type[Exception], ...] = (RuntimeError, ValueError)

    def load(self) -> None:
        self._torch.backends.quantized.engine = "qnnpack"
        self._torch.set_num_threads(self._job.threads)
        self._module = self._open(str(self._job.model))

    def feed(self, sample: tuple[Array, ...]) -> list[Any]:
        return [self._torch.from_numpy(np.array(x)) for x in sample]  # it may change its inputs

    def invoke(self, inputs: list[Any]) -> Any:
        with self._torch.inference_mode():
            return self._module(*inputs)

    def collect(self, outputs: Any) -> list[Array]:
        return list(self._flat(outputs))

    def _flat(self, value: Any) -> Iterator[Array]:
        if isinstance(value, self._torch.Tensor):
            yield value.detach().numpy().copy()
        elif isinstance(value, dict | list | tuple):
            for part in value.values() if isinstance(value, dict) else value:
                yield from self._flat(part)


ENGINES: dict[str, type[Engine]] = {
    "pte": ExecuTorch,
    "onnx": OnnxRuntime,
    "tflite": LiteRT,
    "ptl": LiteInterpreter,
}


class NativeLog:
    """What the runtime's C++ writes to standard error, where ExecuTorch alone gives its reasons."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (as long as the process)

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Standard error goes here; out to where it belongs after all if there is an error."""
        terminal = os.dup(2)
        os.dup2(self._file.fileno(), 2)
        try:
            yield
        except BaseException:
            os.write(terminal, self.text().encode())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)

    def text(self) -> str:
        """All of it."""
        self._file.seek(0)
        return self._file.read().decode(errors="replace")


# --- The run -------------------------------------------------------------------------------------


def run(folder: Path) -> dict[str, object]:
    """Does the job in `folder`; writes the outputs, and returns what belongs into result.json."""
    job = read_job(folder)
    cpus = _pin(job.cpus)  # threads that the runtime starts inherit it
    samples = Samples(job.samples, job.inputs)
    if not job.model.is_file():
        raise JobError(f"there is no file {job.model.name}")
    log = NativeLog(folder)
    with log.capturing():
        engine = ENGINES[job.format](job)
        with _refusing(engine, job, log, "does not load"):
            start = time.perf_counter_ns()
            engine.load()
            load_ms = _milliseconds_since(start)
        with _refusing(engine, job, log, "does not run"):
            outputs, cold_ms, first = _every_sample(engine, job, samples)
            samples_ms = _timed(engine, job, first) if job.runs else []
    peak = _peak_rss()
    _write_aside(folder / "outputs.npz", lambda file: np.savez(file, allow_pickle=False, **outputs))
    return {
        "runtime": engine.name,
        "load_ms": load_ms,
        "cold_ms": cold_ms,
        "samples_ms": samples_ms,
        "peak_rss": peak,
        "cpus": cpus,
    }


def _pin(cpus: tuple[int, ...]) -> list[int]:
    """Keeps this process to some cores; those that it got."""
    if cpus:
        try:
            os.sched_setaffinity(0, cpus)
        except OSError as error:
            wanted = ", ".join(map(str, cpus))
            raise JobError(f"the device gives no core of {wanted}: {error.strerror}") from error
    return sorted(os.sched_getaffinity(0))


def _every_sample(
    engine: Engine, job: Job, samples: Samples
) -> tuple[dict[str, Array], float, tuple[Array, ...]]:
    """Outputs stacked over all samples, milliseconds of the first run, and the first sample."""
    progress = Progress("sample", samples.count, job.marks)
    stacks = [np.empty((samples.count, *s.shape), s.dtype) for s in job.outputs]
    first, cold_ms = None, 0.0
    for number, sample in enumerate(samples):
        inputs = engine.feed(sample)
        start = time.perf_counter_ns()
        raw = engine.invoke(inputs)
        if first is None:
            first, cold_ms = sample, _milliseconds_since(start)
        outputs = engine.collect(raw)
        _check(outputs, job.outputs)
        for stack, array in zip(stacks, outputs, strict=True):
            stack[number] = array
        progress.tell(number + 1)
    if first is None:
        raise ValueError("Samples lets no file without samples pass")
    return {f"output/{i}": stack for i, stack in enumerate(stacks)}, cold_ms, first


def _check(outputs: Sequence[Array], specs: Sequence[Spec]) -> None:
    if len(outputs) != len(specs):
        raise JobError(f"the artifact gives {len(outputs)} outputs, the model {len(specs)}")
    for array, spec in zip(outputs, specs, strict=True):
        if array.dtype.name != spec.dtype or array.shape != spec.shape:
            found = f"{array.dtype} {list(array.shape)}"
            raise JobError(f"output {spec.name} of the artifact is {found}, the model's is {spec}")


def _timed(engine: Engine, job: Job, sample: tuple[Array, ...]) -> list[float]:
    """Milliseconds of each timed run, after the warm-up."""
    invoke = _marked(engine.invoke) if job.marks else engine.invoke
    progress = Progress("run", job.runs, job.marks)
    gc.disable()
    for _ in range(job.warmup):
        engine.invoke(engine.feed(sample))
    samples_ms = []
    for number in range(job.runs):
        inputs = engine.feed(sample)
        start = time.perf_counter_ns()
        outputs = invoke(inputs)
        samples_ms.append(_milliseconds_since(start))
        del outputs  # before the next ones are made
        progress.tell(number + 1)
    return samples_ms


def _marked(invoke: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def marked(inputs: Any) -> Any:
        _mark(BEGIN)
        outputs = invoke(inputs)
        _mark(END)
        return outputs

    return marked


def _mark(number: int) -> None:
    """A system call that changes nothing: there is no such scheduling policy."""
    try:  # noqa: SIM105 (`suppress` would be counted with the inference)
        os.sched_get_priority_max(number)
    except OSError:
        pass


def _milliseconds_since(start: int) -> float:
    return (time.perf_counter_ns() - start) / 1e6


class Progress:
    """Says how far it is, about once a second; never where instructions are counted, as lines that
    come by the clock would disturb the allocator, and so the count.
    """

    def __init__(self, what: str, total: int, silent: bool) -> None:
        self._what, self._total = what, total
        self._next = math.inf if silent else time.monotonic() + 1

    def tell(self, number: int) -> None:
        """`run 10/50`, if it is time."""
        if time.monotonic() >= self._next:
            print(f"{self._what} {number}/{self._total}", flush=True)
            self._next = time.monotonic() + 1


@contextmanager
def _refusing(engine: Engine, job: Job, log: NativeLog, what: str) -> Iterator[None]:
    """Makes what a runtime raises a `JobError` that names artifact, runtime and cause."""
    try:
        yield
    except MemoryError as error:
        raise JobError(f"{job.model.name} {what} in {engine.name}: no memory left") from error
    except engine.failures as error:
        cause = _cause(str(error), log.text())
        cause = cause.replace(str(job.model), job.model.name)
        raise JobError(f"{job.model.name} {what} in {engine.name}: {cause}") from error


_NOISE = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : |\. (An older version|This is an internal).*"
)
_LOGGED = re.compile(r"^E \S+ executorch:\S+\] (?!Input \d+ has not been set)(.*)$", re.MULTILINE)


def _cause(raised: str, logged: str) -> str:
    """The sentence that says most, of an exception's text and the runtime's log."""
    lines = [line.strip() for line in raised.splitlines() if line.strip()]
    # ExecuTorch explains itself in its log alone; in torch, what goes wrong inside a graph comes
    # last, after a traceback of TorchScript.
    inner = [line for line in lines if line.startswith(("RuntimeError: ", "Error: "))]
    found = (*_LOGGED.findall(logged), *inner, *lines, "it does not say why")
    return _NOISE.sub("", found[0])[:300]


def _peak_rss() -> int:
    """Bytes; `getrusage` would count what the process was before it became this program."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _write_aside(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file whole or not at all."""
    aside = path.with_name(path.name + ".part")
    try:
        with aside.open("wb") as file:
            write(file)
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)  # on a full disk, result.json needs the room
        raise JobError(f"{path.name} cannot be written: {error.strerror}") from error


def main(arguments: Sequence[str]) -> int:
    """Runs the job in the folder that is named; the exit code."""
    if len(arguments) != 1:
        print("usage: agent.py FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    for name in ("result.json", "outputs.npz"):
        (folder / name).unlink(missing_ok=True)  # so that none of an earlier job is left
    code, result = 0, {}
    try:
        result = run(folder)
    except JobError as error:
        print(error, file=sys.stderr)
        code, result = 1, {"error": " ".join(str(error).split())}
    content = json.dumps(result).encode()
    _write_aside(folder / "result.json", lambda file: file.write(content))
    return code


if __name__ == "__main__":
    # A file of its own: standard error is taken away while the runtime works.
    faulthandler.enable(os.fdopen(os.dup(2), "w"))
    status = 3
    try:
        status = main(sys.argv[1:])
    except Exception:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # runtimes' threads and destructors have crashed processes that were done
