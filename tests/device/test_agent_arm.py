"""The on-device agent as ARM code: the runtime bundle on an emulated cortex-a76."""

from __future__ import annotations

import itertools
import re
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest

from exporter.device import emulator
from exporter.device.bundle import layers
from exporter.device.job import read_outputs, read_result
from exporter.errors import DeviceError, FormatError, UserError
from exporter.types import Format
from tests.device.agents import AGENT, Artifact, assert_same, changed, int8, mixed, ran, written
from tests.device.conftest import missing

pytestmark = pytest.mark.filterwarnings("ignore")

Command = Callable[..., list[object]]


@pytest.fixture(scope="module")
def arm(emulated: None) -> Command:
    """`arm(format, *options of qemu)` is the command that runs the agent of the bundle."""
    qemu = emulator.prepare(print).qemu

    def command(format: Format, *options: object) -> list[object]:
        try:
            core, runtime = (layer.folder for layer in layers([format], print))
        except UserError as error:
            missing(error)
            raise
        paths = f"PYTHONPATH={core / 'site'}:{runtime / 'site'}"
        loader = [core / "lib/ld-linux-aarch64.so.1", "--library-path", core / "lib"]
        python = ["--argv0", core / "bin/python3", core / "bin/python3"]
        environment = ["-E", f"PYTHONHOME={core / 'py'}", "-E", paths, "-E", "PYTHONUTF8=1"]
        cpu = ["-cpu", "cortex-a76", "-E", "OPENBLAS_NUM_THREADS=1"]
        return [qemu, *cpu, *environment, *options, *loader, *python, "-B", AGENT]

    return command


@pytest.fixture(scope="module")
def pte(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return mixed(Format.PTE, tmp_path_factory.mktemp("pte"))


@pytest.mark.parametrize("format", Format)
def test_outputs_are_the_hosts(arm, tmp_path, format):
    """Integers, booleans and scalars, several inputs and outputs, in every runtime."""
    one = mixed(format, tmp_path)
    job = one.job(tmp_path / "job", runs=1)
    assert ran(tmp_path / "job", arm(format)) == 0
    assert_same(read_outputs(tmp_path / "job", job), one.on_host(), tolerance=1e-5)
    assert len(read_result(tmp_path / "job").samples_ms) == 1


def test_int8_is_exact_and_each_timed_inference_is_marked(arm, tmp_path):
    """A counting emulator sees where each begins and ends, with no system call between."""
    one = int8(Format.PTE, tmp_path)
    job = written(
        replace(one.job(tmp_path / "job", runs=3, warmup=2), marks=True), tmp_path / "job"
    )
    trace = tmp_path / "trace"
    assert ran(tmp_path / "job", arm(Format.PTE, "-strace", "-D", trace)) == 0
    assert_same(read_outputs(tmp_path / "job", job), one.on_host())
    calls = re.findall(r"^\d+ (\w+\(\d*)", trace.read_text(errors="replace"), re.MULTILINE)
    begin, end = (f"sched_get_priority_max({mark}" for mark in (0x45580001, 0x45580002))
    marked = [(call, after) for call, after in itertools.pairwise(calls) if call == begin]
    assert marked == [(begin, end)] * 3
    assert calls.count(end) == 3


@pytest.mark.parametrize("threads", [1, 5])
def test_executorch_has_the_threads_it_was_given(arm, tmp_path, pte, threads):
    """Its package has no setting for them, so this reaches below it."""
    pte.job(tmp_path, threads=threads)
    trace = tmp_path / "trace"
    assert ran(tmp_path, arm(Format.PTE, "-strace", "-D", trace)) == 0
    text = trace.read_text(errors="replace")
    started, ended = text.count(" clone("), len(re.findall(r"^\d+ exit\(", text, re.MULTILINE))
    assert started - ended == threads - 1


def test_a_damaged_pte_is_refused(arm, tmp_path, pte):
    content = pte.path.read_bytes()
    changed(pte, content[: len(content) // 2], tmp_path / "cut").job(tmp_path / "job")
    assert ran(tmp_path / "job", arm(Format.PTE)) == 1
    with pytest.raises(FormatError, match=r"^m\.pte does not load in executorch .* too small"):
        read_result(tmp_path / "job")


def test_a_crash_of_the_runtime_shows_and_leaves_no_result(arm, tmp_path, pte, capfd):
    """ExecuTorch believes what a .pte says: here, that a table is described 2 GB away."""
    content = bytearray(pte.path.read_bytes())
    root = int.from_bytes(content[:4], "little")
    content[root : root + 4] = b"\x00\x00\x00\x80"
    changed(pte, bytes(content), tmp_path / "cut").job(tmp_path / "job")
    assert ran(tmp_path / "job", arm(Format.PTE)) == -signal.SIGSEGV
    assert "Segmentation fault" in capfd.readouterr().out
    with pytest.raises(DeviceError, match="left no result"):
        read_result(tmp_path / "job")


def test_inputs_that_do_not_fit_the_pte_are_refused(arm, tmp_path, pte):
    inputs = pte.signature.inputs
    swapped = replace(pte.signature, inputs=(inputs[1], inputs[0], inputs[2]))
    samples = tuple((mask, ids, scale) for ids, mask, scale in pte.samples)
    replace(pte, signature=swapped, samples=samples).job(tmp_path)
    assert ran(tmp_path, arm(Format.PTE)) == 1
    with pytest.raises(FormatError, match=r"^m\.pte does not run in executorch .*: .*[Ii]nput"):
        read_result(tmp_path)
