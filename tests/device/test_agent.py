"""The on-device agent, here in this machine's runtimes: it gives what the host's runners give,
measures, and refuses in one sentence. `test_agent_arm.py` runs it as ARM code."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from ai_edge_quantizer import quantizer, recipe
from torch import nn

import exporter.runtimes
from exporter.device import pack
from exporter.device.job import JOB_FILE, OUTPUTS_FILE, RESULT_FILE, Job, read_outputs, read_result
from exporter.errors import FormatError
from exporter.runtimes.onnx.convert import convert as to_onnx
from exporter.runtimes.tflite.convert import float_file
from exporter.runtimes.tflite.signature import sign
from exporter.types import Format, TensorSpec
from tests.device.agents import AGENT, Artifact, assert_same, changed, int8, made, mixed, ran
from tests.device.agents import written as write
from tests.support import Recorder, job_for, samples_like
from tests.tflite import models as tflite_models

pytestmark = pytest.mark.filterwarnings("ignore")

HERE = [Format.ONNX, Format.TFLITE, Format.PTL]
"""Formats whose runtime on the device is the one on this machine."""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Artifact]:
    """`artifact(format, make)`, made once."""
    kept: dict[object, Artifact] = {}

    def get(format: Format, make: Callable[[Format, Path], Artifact] = mixed) -> Artifact:
        if (format, make) not in kept:
            kept[format, make] = make(format, tmp_path_factory.mktemp(f"{format}-{make.__name__}"))
        return kept[format, make]

    return get


@pytest.mark.parametrize("make", [mixed, int8])
@pytest.mark.parametrize("format", HERE)
def test_outputs_are_the_runners(artifact, tmp_path, format, make):
    one = artifact(format, make)
    job = one.job(tmp_path, threads=2)
    assert ran(tmp_path) == 0
    assert_same(read_outputs(tmp_path, job), one.on_host())


def test_integer_inputs_and_outputs_of_the_file_are_quantized(tmp_path):
    """A .tflite of full integer quantization, as other tools write it."""
    _, inputs = tflite_models.cnn()
    job = tflite_models.job_of(tflite_models.cnn, tmp_path / "m.tflite")
    samples = samples_like(4, *inputs)
    worker = quantizer.Quantizer(float_file(job), recipe.static_wi8_ai8())
    calibration = [{"args_0": sample[0]} for sample in samples]
    ranges = worker.calibrate({"serving_default": calibration}, num_threads=1)
    quantized = bytes(worker.quantize(ranges).quantized_model)
    job.target.write_bytes(sign(quantized, job.signature))
    one = Artifact(Format.TFLITE, job.target, job.signature, samples)
    asked = one.job(tmp_path / "job")
    assert ran(tmp_path / "job") == 0
    assert_same(read_outputs(tmp_path / "job", asked), one.on_host())


def test_external_data_is_found(tmp_path):
    job = job_for(nn.Linear(64, 64), torch.randn(1, 64), target=tmp_path / "m.onnx")
    to_onnx(job, Recorder(), single_file_limit=100)
    samples = samples_like(2, torch.zeros(1, 64))
    one = Artifact(Format.ONNX, job.target, job.signature, samples)
    asked = one.job(tmp_path / "job")
    assert ran(tmp_path / "job") == 0
    assert_same(read_outputs(tmp_path / "job", asked), one.on_host())


class Logarithm(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.log(x)


def test_outputs_that_are_not_finite_are_left_to_the_host(tmp_path):
    sample = (np.asarray([[1, 0, -1]], np.float32),)
    one = made(Format.ONNX, tmp_path, Logarithm(), (sample,))
    job = one.job(tmp_path / "job")
    assert ran(tmp_path / "job") == 0
    ((found,),) = read_outputs(tmp_path / "job", job)
    np.testing.assert_array_equal(found, [[0, -np.inf, np.nan]])


@pytest.mark.parametrize("format", HERE)
def test_what_is_measured(artifact, tmp_path, format):
    artifact(format).job(tmp_path, runs=5, warmup=1)
    assert ran(tmp_path) == 0
    result = read_result(tmp_path)
    assert len(result.samples_ms) == 5
    assert min(result.load_ms, result.cold_ms, *result.samples_ms) > 0
    assert 20e6 < result.peak_rss < 4e9
    assert result.cpus == tuple(sorted(os.sched_getaffinity(0)))
    assert result.runtime.startswith(("onnxruntime 1.", "ai-edge-litert 2.", "torch 2."))


def test_it_is_pinned_to_a_core(artifact, tmp_path):
    job = artifact(Format.ONNX).job(tmp_path)
    core = max(os.sched_getaffinity(0))
    write(replace(job, cpus=(core,)), tmp_path)
    assert ran(tmp_path) == 0
    assert read_result(tmp_path).cpus == (core,)
    write(replace(job, cpus=(1000, 1001)), tmp_path)
    assert refusal(tmp_path).startswith("the device gives no core of 1000, 1001: ")


def refusal(folder: Path) -> str:
    """Why the agent refuses the job; it leaves no outputs."""
    assert ran(folder) == 1
    assert {p.name for p in folder.iterdir()} & {OUTPUTS_FILE, f"{OUTPUTS_FILE}.part"} == set()
    with pytest.raises(FormatError) as caught:
        read_result(folder)
    assert "\n" not in caught.value.reason
    return caught.value.reason


@pytest.mark.parametrize("keep", [0.5, 0.0])
@pytest.mark.parametrize("format", HERE)
def test_a_damaged_artifact_is_refused(artifact, tmp_path, format, keep):
    one = artifact(format)
    content = one.path.read_bytes()
    changed(one, content[: int(keep * len(content))], tmp_path / "cut").job(tmp_path / "job")
    reason = refusal(tmp_path / "job")
    assert reason.startswith(f"m.{format} does not load in ")
    assert str(tmp_path) not in reason


def tokens(**changes: object) -> Callable[[Job], Job]:
    """A job whose first input is declared otherwise."""
    return lambda job: replace(job, inputs=(replace(job.inputs[0], **changes), *job.inputs[1:]))


def first_output(**changes: object) -> Callable[[Job], Job]:
    return lambda job: replace(job, outputs=(replace(job.outputs[0], **changes), *job.outputs[1:]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (tokens(name="none"), "golden.npz holds no input none"),
        (tokens(dtype="int32"), r"input_0 in golden.npz is int64 \[1, 6\], the model takes int32"),
        (tokens(shape=(1, 7)), r"is int64 \[1, 6\], the model takes int64 \[1, 7\]"),
        (first_output(dtype="float64"), r"output_0 of the artifact is float32 .* float64 \[1, 4\]"),
        (first_output(shape=(4,)), r"is float32 \[1, 4\], the model's is float32 \[4\]"),
        (lambda job: replace(job, outputs=job.outputs[:2]), "gives 4 outputs, the model 2"),
        (lambda job: replace(job, inputs=job.inputs[:2]), "takes 3 inputs, not 2"),
        (lambda job: replace(job, model="none.onnx"), "there is no file none.onnx"),
        (lambda job: replace(job, samples="none.npz"), "none.npz cannot be read"),
        (lambda job: replace(job, samples="m.onnx"), "m.onnx is damaged"),
        (tokens(dtype="float33"), "dtype 'float33' is none of"),
        (lambda job: replace(job, threads=0), "0 should be a whole number of at least 1"),
        (lambda job: replace(job, runs=True), "runs is True, which is no int"),
        (lambda job: replace(job, cpus=(-1,)), "-1 should be"),
    ],
)
def test_a_job_that_does_not_fit_is_refused(artifact, tmp_path, change, words):
    write(change(artifact(Format.ONNX).job(tmp_path)), tmp_path)
    assert re.search(words, refusal(tmp_path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "job.json is no JSON"),
        ("[1]", "job.json lacks format"),
        ('{"format": 3}', "format is 3, which is no str"),
        ('{"format": "exe"}', "format 'exe' is none of onnx, pte, ptl, tflite"),
        ('{"format": "pte"}', "job.json lacks model"),
        (b"\xff\xfe{", "job.json is no JSON"),
    ],
)
def test_a_job_that_is_damaged_is_refused(tmp_path, text, words):
    (tmp_path / JOB_FILE).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert words in refusal(tmp_path)


def stored(**arrays: np.ndarray) -> Callable[[Path], None]:
    """Writes other samples than the job's."""
    return lambda path: np.savez(path, **{f"input/{k}": v for k, v in arrays.items()})


IDS, MASKS = np.zeros((2, 1, 6), np.int64), np.ones((2, 1, 6), np.bool_)
SCALES = np.ones(2, np.float32)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            stored(input_0=IDS, input_1=MASKS, input_2=np.float32([1, np.nan])),
            "input input_2 of sample 1 is not finite",
        ),
        (
            stored(input_0=IDS, input_1=MASKS, input_2=SCALES[:1]),
            r"golden.npz holds \[1, 2\] samples",
        ),
        (stored(input_0=IDS[:0], input_1=MASKS[:0], input_2=SCALES[:0]), r"holds \[0\] samples"),
        (stored(input_0=IDS, input_1=MASKS), "holds no input input_2"),
        (stored(input_0=IDS.astype(">i8"), input_1=MASKS, input_2=SCALES), "is >i8"),
        (stored(input_0=IDS, input_1=MASKS, input_2=np.asarray([{}, {}])), "input_2 .* is object"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "golden.npz is damaged"),
        (lambda path: path.write_bytes(flipped(path.read_bytes())), "golden.npz is damaged"),
    ],
)
def test_samples_that_do_not_fit_are_refused(artifact, tmp_path, spoil, words):
    artifact(Format.ONNX).job(tmp_path)
    spoil(tmp_path / "golden.npz")
    assert re.search(words, refusal(tmp_path))


def flipped(content: bytes) -> bytes:
    """One byte of the first array is another."""
    return content[:90] + bytes([content[90] ^ 255]) + content[91:]


def test_a_value_beyond_32_bits_is_refused(artifact, tmp_path):
    one = artifact(Format.TFLITE)
    wide = (np.full((1, 6), 2**40), *one.samples[0][1:])
    replace(one, samples=(wide,)).job(tmp_path)
    assert "holds a value beyond 32 bits" in refusal(tmp_path)


def test_a_full_disk_is_named(artifact, tmp_path):
    artifact(Format.ONNX).job(tmp_path)
    limit = 400  # bytes a file: result.json fits, outputs.npz does not
    done = subprocess.run(
        [sys.executable, AGENT, tmp_path],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        check=False,
    )
    assert done.returncode == 1
    with pytest.raises(FormatError, match=r"^outputs.npz cannot be written: File too large$"):
        read_result(tmp_path)
    assert not list(tmp_path.glob("outputs*"))


def test_a_crash_shows_and_leaves_no_result(artifact, tmp_path):
    artifact(Format.ONNX).job(tmp_path, runs=10_000_000)
    with subprocess.Popen(
        [sys.executable, AGENT, tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert re.fullmatch(r"run \d+/10000000\n", process.stdout.readline())
        process.send_signal(signal.SIGSEGV)
        assert "Fatal Python error: Segmentation fault" in process.stderr.read()
        assert process.wait(30) == -signal.SIGSEGV
    assert not (tmp_path / RESULT_FILE).exists()


def test_a_bug_keeps_its_traceback_and_no_earlier_result(artifact, tmp_path, monkeypatch):
    artifact(Format.ONNX).job(tmp_path / "job")
    assert ran(tmp_path / "job") == 0
    (tmp_path / "onnxruntime.py").write_text("print(1 / 0)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = subprocess.run(
        [sys.executable, AGENT, tmp_path / "job"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "ZeroDivisionError" in done.stderr
    assert not (tmp_path / "job" / RESULT_FILE).exists()
    assert not (tmp_path / "job" / OUTPUTS_FILE).exists()


def test_it_stands_alone(artifact, tmp_path):
    """The device's Python has no package of ours, and no others than numpy and one runtime."""
    job = artifact(Format.ONNX).job(tmp_path / "job")
    (tmp_path / "site").mkdir()
    for package in (np, onnxruntime):
        home = Path(str(package.__file__)).parent
        for folder in (home, *home.parent.glob(f"{home.name}.libs")):
            (tmp_path / "site" / folder.name).symlink_to(folder)
    started = subprocess.run(
        [sys.executable, "-S", "-P", AGENT, tmp_path / "job"],
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 0, started.stderr
    assert_same(read_outputs(tmp_path / "job", job), artifact(Format.ONNX).on_host())


FIFTH = """
class Engine:
    name, failures = "mirror 1.0", ()

    def __init__(self, model, threads, refusal):
        self._model = model

    def load(self):
        assert self._model.read_text() == "turn"

    def bind(self, inputs, outputs):
        assert (inputs, outputs) == ([("x", "float32")], [("y", "float32")])

    def feed(self, sample):
        return sample[0]

    def invoke(self, inputs):
        return turned(inputs)

    def collect(self, outputs):
        return [outputs]
"""


def test_a_runtime_that_it_never_heard_of_runs(tmp_path, monkeypatch):
    """By its folder alone, with what it brings beside its engine."""
    folder = tmp_path / "runtimes" / "mirror"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "engine.py").write_text("from .engine_turns import turned\n" + FIFTH)
    (folder / "engine_turns.py").write_text("def turned(x):\n    return x[..., ::-1]\n")
    (folder / "convert.py").write_text("import exporter\n")
    places = [*exporter.runtimes.__path__, str(folder.parent)]
    monkeypatch.setattr(exporter.runtimes, "__path__", places)
    fifth = SimpleNamespace(format="mirror")
    monkeypatch.setattr(pack, "runtimes", lambda: (*exporter.runtimes.runtimes(), fifth))
    agent = pack.write_agent(tmp_path)
    with zipfile.ZipFile(agent) as archive:
        names = [n for n in archive.namelist() if "mirror" in n]
    assert [Path(name).name for name in names] == ["__init__.py", "engine.py", "engine_turns.py"]

    (tmp_path / "m.mirror").write_text("turn")
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.savez(tmp_path / "x.npz", **{"input/x": x})
    takes, gives = TensorSpec("x", (3,), "float32"), TensorSpec("y", (3,), "float32")
    job = write(Job("mirror", "m.mirror", "x.npz", (takes,), (gives,), runs=2), tmp_path)
    assert ran(tmp_path, (sys.executable, agent)) == 0
    assert read_result(tmp_path).runtime == "mirror 1.0"
    assert_same(read_outputs(tmp_path, job), [(row[::-1],) for row in x])
