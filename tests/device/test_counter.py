"""The instruction counter: exact where the count is known, repeatable, and never silent zeros."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporter.device import cache
from exporter.device.bundle import Layer, layers
from exporter.device.debian import KEYRING
from exporter.device.emulator import counter as package
from exporter.device.emulator.counter import Counter, build, source, tools
from exporter.device.emulator.counter.count import LOG_FILE, PLUGIN, QEMU
from exporter.device.job import JOB_FILE, Job, read_outputs, read_result, to_json
from exporter.device.pack import write_agent
from exporter.errors import FormatError, UserError
from exporter.types import Format, TensorSpec
from tests.device import arm64
from tests.device.conftest import missing

END_AFTER_LOOP = 2 + 5
"""Instructions between the marks besides a loop's own: setting it up, and up to the end mark."""


Count = Callable[..., tuple[int, ...]]


@pytest.fixture
def count(counter: Counter, tmp_path: Path) -> Count:
    """Counts a program that stands where the bundle has its loader."""

    def run(
        code: Sequence[int], cpu: str = "cortex-a76", runs: int = 1, **options: float
    ) -> tuple[int, ...]:
        core, folder = tmp_path / "core", work_folder(tmp_path, runs)
        (core / "lib").mkdir(parents=True, exist_ok=True)
        arm64.write_program(core / "lib" / "ld-linux-aarch64.so.1", code)
        return counter.run(cpu, core, tmp_path, tmp_path / "agent.py", folder, **options)

    return run


def work_folder(place: Path, runs: int, marks: bool = True) -> Path:
    folder = place / "work"
    folder.mkdir(exist_ok=True)
    job = Job(Format.ONNX, "m.onnx", "s.npz", (), (), runs=runs, marks=marks)
    (folder / JOB_FILE).write_text(to_json(job))
    return folder


def inference(body: Sequence[int]) -> list[int]:
    return [*arm64.mark(arm64.BEGIN), *body, *arm64.mark(arm64.END)]


def test_the_count_is_exact(count: Count) -> None:
    code = [
        *arm64.loop(5000),  # outside of the marks
        *inference(arm64.loop(100_000)),
        *inference(arm64.loop(200_000)),
        *arm64.exit_with(0),
    ]
    assert count(code, runs=2) == (200_000 + END_AFTER_LOOP, 400_000 + END_AFTER_LOOP)


def test_all_threads_are_counted(count: Count) -> None:
    body = arm64.in_another_thread(arm64.loop(1_000_000))
    (found,) = count([*inference(body), *arm64.exit_with(0)])
    assert 2_000_000 < found < 2_000_100


def test_places_with_odd_names(counter: Counter, tmp_path: Path) -> None:
    """qemu's options end at a comma; and the files work from wherever they are put."""
    place = tmp_path / "it's, file=a b"
    shutil.copytree(counter.place, place)
    core, folder = place / "core", work_folder(place, 1)
    (core / "lib").mkdir(parents=True)
    code = [*inference(arm64.loop(10)), *arm64.exit_with(0)]
    arm64.write_program(core / "lib" / "ld-linux-aarch64.so.1", code)
    assert Counter(place).run("max", core, core, core, folder) == (20 + END_AFTER_LOOP,)


@pytest.mark.parametrize(
    ("code", "runs"),
    [
        ([], 1),
        (arm64.mark(arm64.BEGIN), 1),
        (arm64.mark(arm64.END), 1),
        (inference([]), 2),
        ([*inference([]), *inference([])], 1),
        ([*inference([]), *arm64.mark(arm64.END)], 2),
    ],
    ids=["no marks", "no end", "no begin", "too few", "too many", "two ends"],
)
def test_marks_that_do_not_fit_the_job_are_an_error(
    count: Count, code: list[int], runs: int
) -> None:
    with pytest.raises(FormatError, match=f"the plugin saw .* where {runs} were timed"):
        count([*code, *arm64.exit_with(0)], runs=runs)


def test_a_job_without_marks_is_not_run(counter: Counter, tmp_path: Path) -> None:
    folder = work_folder(tmp_path, 1, marks=False)
    with pytest.raises(ValueError, match="by its marks"):
        counter.run("max", tmp_path, tmp_path, tmp_path, folder)


def test_an_instruction_that_the_cpu_lacks_is_named_as_the_cause(count: Count) -> None:
    code = [*inference([arm64.SDOT]), *arm64.exit_with(0)]
    assert count(code, "cortex-a55") == (6,)
    with pytest.raises(FormatError, match=r"crashed on cortex-a53 .* SIGILL: .* this CPU lacks"):
        count(code, "cortex-a53")


def test_a_crash_is_named(count: Count, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="crashed on max under qemu with SIGSEGV"):
        count([*inference(arm64.LOAD_FROM_0)], "max")
    assert {p.name for p in (tmp_path / "work").iterdir()} == {JOB_FILE, LOG_FILE}  # no core dump


def test_an_end_without_a_reason_is_an_error(count: Count) -> None:
    with pytest.raises(FormatError, match="does not run on max under qemu: exit code 7"):
        count([*inference([]), *arm64.exit_with(7)], "max")


def test_unknown_cpu(count: Count) -> None:
    with pytest.raises(UserError, match="qemu has no CPU 'cortex-a1, x'"):
        count(arm64.exit_with(0), "cortex-a1, x")


def test_a_plugin_that_does_not_load_is_an_error(counter: Counter, tmp_path: Path) -> None:
    place = tmp_path / "counter"
    shutil.copytree(counter.place, place)
    (place / PLUGIN).write_bytes(b"not a library")
    core, folder = tmp_path / "core", work_folder(tmp_path, 1)
    (core / "lib").mkdir(parents=True)
    code = [*inference([]), *arm64.exit_with(0)]
    arm64.write_program(core / "lib" / "ld-linux-aarch64.so.1", code)
    with pytest.raises(FormatError, match=r"does not run on max under qemu: .*count\.so"):
        Counter(place).run("max", core, core, core, folder)


def test_time_out_leaves_no_process(count: Count, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(FormatError, match="longer than 1 s"):
        count([arm64.LOOP_FOREVER], timeout=1.0)
    assert time.monotonic() - start < 20
    assert processes_in(tmp_path / "work") == []


def test_it_dies_with_its_parent(counter: Counter, tmp_path: Path) -> None:
    folder = work_folder(tmp_path, 1)
    (tmp_path / "lib").mkdir()
    arm64.write_program(tmp_path / "lib" / "ld-linux-aarch64.so.1", [arm64.LOOP_FOREVER])
    code = (
        "import sys; from pathlib import Path; from exporter.device.emulator.counter import Counter"
        "; place, core, folder = map(Path, sys.argv[1:])"
        "; Counter(place).run('max', core, core, core, folder)"
    )
    command = [sys.executable, "-c", code, *map(str, (counter.place, tmp_path, folder))]
    with subprocess.Popen(command) as parent:
        wait_until(lambda: processes_in(folder) != [])
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: processes_in(folder) == [])


def processes_in(folder: Path) -> list[int]:
    """Processes whose working directory is `folder`."""

    def is_in(process: Path) -> bool:
        try:
            return (process / "cwd").readlink() == folder
        except OSError:  # it has ended, or is another user's
            return False

    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdecimal() and is_in(p)]


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- With the real agent -------------------------------------------------------------------------

BATCH, WIDTH = 32, 768


@pytest.fixture(scope="module")
def bundle() -> dict[str, Layer]:
    try:
        return {layer.name: layer for layer in layers([Format.ONNX], print)}
    except UserError as error:
        missing(error)
        raise


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a job: one layer, whose product is 19 million multiplications."""
    folder = tmp_path / "model"
    folder.mkdir()
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((WIDTH, WIDTH), dtype=np.float32)
    shape = (BATCH, WIDTH)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in "xy")
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(weight, "w")])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), folder / "m.onnx")
    sample = rng.standard_normal((1, *shape), dtype=np.float32)
    np.savez(folder / "s.npz", **{"input/x": sample})
    specs = ((TensorSpec("x", shape, "float32"),), (TensorSpec("y", shape, "float32"),))
    job = Job(Format.ONNX, "m.onnx", "s.npz", *specs, warmup=1, runs=3, marks=True)
    (folder / JOB_FILE).write_text(to_json(job))
    np.save(folder / "expected.npy", sample[0] @ weight)
    return folder


def test_counts_of_a_model_repeat(
    counter: Counter, bundle: dict[str, Layer], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing of the caller's environment has a say."""
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    folders = bundle["core"].folder, bundle["onnx"].folder, write_agent(model)
    counts = [sorted(counter.run("cortex-a53", *folders, model))[1] for _ in range(3)]
    assert max(counts) - min(counts) < 0.001 * min(counts)
    # A vector of four at a time, at most, and at least one load for it.
    assert BATCH * WIDTH * WIDTH / 4 < min(counts) < BATCH * WIDTH * WIDTH
    job = Job(Format.ONNX, "", "", (), (TensorSpec("y", (BATCH, WIDTH), "float32"),))
    ((y,),) = read_outputs(model, job)
    np.testing.assert_allclose(y, np.load(model / "expected.npy"), rtol=1e-4, atol=1e-4)
    assert read_result(model).runtime.startswith("onnxruntime ")


def test_what_the_agent_says_is_passed_on(
    counter: Counter, bundle: dict[str, Layer], model: Path
) -> None:
    (model / "m.onnx").write_bytes(b"damaged")
    folders = bundle["core"].folder, bundle["onnx"].folder, write_agent(model)
    with pytest.raises(FormatError, match=r"m\.onnx .* in onnxruntime"):
        counter.run("max", *folders, model)


# --- The build -----------------------------------------------------------------------------------


def test_a_damaged_build_is_noticed(
    counter: Counter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert package.available() is None
    place = cache.cache_root() / counter.place.relative_to(counter.place.parent.parent)
    shutil.copytree(counter.place, place)
    assert package.available() == Counter(place)
    data = bytearray((place / QEMU).read_bytes())
    data[-100] ^= 1
    (place / QEMU).write_bytes(data)
    assert package.available() is None
    (place / QEMU).unlink()
    assert package.available() is None


def test_facts(counter: Counter) -> None:
    assert counter.version.startswith("10.")
    assert len(counter.digest) == 20


def test_all_that_is_missing_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError) as refused:
        tools.require(tmp_path)
    packages = "mmdebstrap util-linux tar xz-utils gcc ninja-build pkg-config libglib2.0-dev zlib1g"
    assert refused.value.hint.startswith(f"apt-get install {packages}-dev")


@pytest.mark.skipif(not KEYRING.is_file() or not shutil.which("mmdebstrap"), reason="no mmdebstrap")
def test_source_signed_by_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys.gpg").touch()
    (tmp_path / "tree").mkdir()
    with pytest.raises(UserError, match="qemu's source package could not be fetched"):
        source.fetch(tmp_path / "tree", tmp_path / "keys.gpg")
    assert list((tmp_path / "tree").iterdir()) == []


def test_a_build_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    log = cache.cache_root() / build.KIND / "build.log"
    log.parent.mkdir(parents=True)
    script = "echo fine; echo 'a.c:1: error: no such thing'; echo stopped; exit 3"
    with pytest.raises(UserError, match=r"qemu could not be built: a\.c:1: error: no such thing"):
        build.run_step(["sh", "-c", script], tmp_path, "built")
    assert "stopped" in log.read_text()
