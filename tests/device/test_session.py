"""A run's time on a device: its lock, its folder, its jobs; however it ends, nothing stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporter.device import session as station
from exporter.device.adb import Device, quote
from exporter.device.bundle import layers
from exporter.device.install import install
from exporter.device.job import Job
from exporter.device.session import Session
from exporter.errors import DeviceError, FormatError
from exporter.types import Array, Format, TensorSpec
from tests.device.conftest import FreshPhone
from tests.device.processes import adbd_of
from tests.device.traces import until

HOME = "/data/local/tmp/it's $(a) session"
OTHER = "/data/local/tmp/other session"
NASTY = 'it\'s; $(touch gone) `x` -n "q".onnx'
SAMPLES = 3


def quiet(line: str) -> None:
    """Takes progress that a test does not look at."""


def network(path: Path, external: bool = False) -> Path:
    """relu(x @ w), with w of 64 x 32, which may lie in a file of its own."""
    rng = np.random.default_rng(0)
    weights = numpy_helper.from_array(rng.standard_normal((64, 32), np.float32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Relu", ["m"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 32])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    where = {"location": f"{path.name}.data", "size_threshold": 0} if external else {}
    onnx.save_model(model, path, save_as_external_data=external, **where)
    return path


def samples(folder: Path) -> tuple[Path, Array]:
    x = np.random.default_rng(1).standard_normal((SAMPLES, 4, 64), np.float32)
    path = folder / "the samples.npz"
    np.savez(path, **{"input/x": x})
    return path, x


def job(model: str, **more: int) -> Job:
    takes, gives = TensorSpec("x", (4, 64), "float32"), TensorSpec("y", (4, 32), "float32")
    return Job(Format.ONNX, model, "the samples.npz", (takes,), (gives,), warmup=0, **more)


def left(phone: Device, home: str = HOME) -> list[str]:
    """What lies in our folder beside the runtime, and which of our processes still run."""
    # The emulated device's first process is Python as well, of this machine.
    ours = "ps -A -o ARGS | grep [p]ython3 | grep -v emulator.launcher"
    done = phone.run(f"ls -A {quote(home)}; {ours}")
    return [line for line in done.text.splitlines() if line not in ("runtime", "lock")]


@pytest.fixture(scope="module")
def runtime(phone: Device) -> Iterator[dict[str, str]]:
    """The real runtime on the shared device, in a folder whose name needs quoting."""
    yield install(phone, HOME, layers([Format.ONNX], quiet), quiet)
    phone.shell(f"rm -rf {quote(HOME)}")


@pytest.fixture(scope="module")
def scripts(
    phone: Device, runtime: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., object]]:
    """Runs Python in place of artifacts, by an agent that does nothing else."""
    folder = tmp_path_factory.mktemp("scripts")
    agent, script = folder / "agent.py", folder / "script"
    agent.write_text(
        "import faulthandler, json, os, sys\nfaulthandler.enable()\nos.chdir(sys.argv[1])\n"
        "exec(open(json.load(open('job.json'))['model']).read())\n"
    )
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(station, "write_agent", lambda folder: agent)
            session = stack.enter_context(Session(phone, OTHER, quiet))
        session.put(samples(folder)[0])

        def run(
            text: str, deadline: float = 60, on_line: Callable[[str], None] | None = None
        ) -> object:
            script.write_text(text)
            session.put(script)
            return session.execute(job("script"), runtime, deadline, on_line)

        yield run
    assert left(phone, OTHER) == []
    phone.shell(f"rm -rf {quote(OTHER)}")


# Running


def test_outputs_are_the_hosts(phone: Device, runtime: dict[str, str], tmp_path: Path) -> None:
    model = network(tmp_path / NASTY)
    data, x = samples(tmp_path)
    here = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with Session(phone, HOME, quiet) as session:
        for path in (model, data):
            session.put(path)
        result, outputs = session.execute(job(model.name, runs=5), runtime, 60)
    assert result.runtime.startswith("onnxruntime ")
    assert len(result.samples_ms) == 5
    assert len(outputs) == SAMPLES
    for sample, (y,) in zip(x, outputs, strict=True):
        np.testing.assert_allclose(y, here.run(None, {"x": sample})[0], rtol=1e-4, atol=1e-4)
    assert left(phone) == []


def test_damaged_artifact_does_not_cost_the_next(
    phone: Device, runtime: dict[str, str], tmp_path: Path
) -> None:
    whole = network(tmp_path / "whole.onnx", external=True)
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(whole.read_bytes()[:50])
    with Session(phone, HOME, quiet) as session:
        for path in (whole, tmp_path / "whole.onnx.data", damaged, samples(tmp_path)[0]):
            session.put(path)
        with pytest.raises(FormatError, match=r"^damaged.onnx does not load in onnxruntime"):
            session.execute(job("damaged.onnx", runs=0), runtime, 60)
        _, outputs = session.execute(job("whole.onnx", runs=0), runtime, 60)
    assert len(outputs) == SAMPLES


def test_file_is_sent_once(phone: Device, runtime: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / NASTY
    told: list[str] = []
    with Session(phone, HOME, told.append) as session:
        file.write_bytes(b"1")
        remote = session.put(file)
        assert session.put(file) == remote
        assert len(told) == 1
        file.write_bytes(b"2")
        assert session.put(file) == remote
        assert phone.shell(f"cat {quote(remote)}") == "2"
    assert phone.run(f"[ -e {quote(remote)} ]").code == 1


# What goes wrong in a job


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "os.kill(os.getpid(), 4)",
            r"^the runtime was killed by SIGILL \(the CPU lacks an instruction that it uses\)$",
        ),
        ("os.kill(os.getpid(), 11)", r"^the runtime was killed by SIGSEGV$"),
        ("os.kill(os.getpid(), 9)", r"^the runtime was killed by SIGKILL \(out of memory\?\)$"),
        (
            "print('terminate called: bad_alloc', file=sys.stderr, flush=True); os.abort()",
            r"^the runtime was killed by SIGABRT: terminate called: bad_alloc$",
        ),
        ("raise MemoryError", r"^the runtime failed: MemoryError$"),
        ("sys.exit(5)", r"^the runtime failed: exit code 5, it gave no reason$"),
        ("import numpy.gone", r"^the runtime failed: ModuleNotFoundError: .*numpy.gone"),
    ],
)
def test_death_of_the_agent(scripts: Callable[..., object], script: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        scripts(script)


def test_agent_killed_from_elsewhere(phone: Device, scripts: Callable[..., object]) -> None:
    def kill(line: str) -> None:
        phone.shell(f"kill -9 {int(line)}")

    with pytest.raises(FormatError, match="killed by SIGKILL"):
        scripts("print(os.getpid(), flush=True); import time; time.sleep(60)", on_line=kill)


def test_deadline_ends_the_process(phone: Device, scripts: Callable[..., object]) -> None:
    started = time.monotonic()
    # Its child is to end as well, and what it leaves is to go.
    script = "open('much', 'w').write('x'); os.fork(); import time; time.sleep(60)"
    with pytest.raises(FormatError, match=r"^did not finish within 4 s$"):
        scripts(script, deadline=4)
    assert time.monotonic() - started < 20
    assert [line for line in left(phone, OTHER) if "work-" not in line] == []
    assert phone.shell(f"ls {quote(OTHER)}/work-*").split() == ["agent.pyz", "files"]


def test_agent_that_leaves_nothing(scripts: Callable[..., object]) -> None:
    with pytest.raises(DeviceError, match=r"result\.json"):
        scripts("")


def test_job_of_files_that_were_not_put(phone: Device, runtime: dict[str, str]) -> None:
    with Session(phone, HOME, quiet) as session, pytest.raises(ValueError, match="not put"):
        session.execute(job("nothing"), runtime, 5)


def stand_in(phone: Device, script: str) -> dict[str, str]:
    """A runtime that does something else, with the job's folder as $3."""
    phone.shell(f"echo {quote(script)} >/data/local/tmp/run.sh")
    return {"core": "/data/local/tmp", "onnx": "/data/local/tmp"}


def test_full_disk(fresh_phone: FreshPhone, tmp_path: Path) -> None:
    _, phone = fresh_phone(storage="20m")
    runtime = stand_in(phone, 'cat /dev/zero >"$3/outputs.npz"')
    model = network(tmp_path / "a.onnx")
    fill = f"cat /dev/zero >>{quote(HOME)}/fill"
    with Session(phone, HOME, quiet) as session:
        for path in (model, samples(tmp_path)[0]):
            session.put(path)
        with pytest.raises(DeviceError, match=r"has no space left while a\.onnx ran") as error:
            session.execute(job("a.onnx"), runtime, 60)
        assert phone.serial in error.value.message
        assert not error.value.lost
        phone.run(fill)
        with pytest.raises(DeviceError, match="has no space left"):
            session.execute(job("a.onnx"), runtime, 60)
    assert left(phone) == ["fill"]
    phone.run(fill)
    with pytest.raises(DeviceError, match="has no space left"), Session(phone, HOME, quiet):
        pass
    assert left(phone) == ["fill"]


def test_adbd_killed_while_it_runs(fresh_phone: FreshPhone, tmp_path: Path) -> None:
    running, phone = fresh_phone()
    runtime = stand_in(phone, "echo runs; sleep 60")
    adbd = adbd_of(running)
    session = Session(phone, HOME, quiet)
    started = time.monotonic()
    with pytest.raises(DeviceError, match=r"[cC]onnect") as error, session:
        for path in (network(tmp_path / "a.onnx"), samples(tmp_path)[0]):
            session.put(path)
        session.execute(job("a.onnx"), runtime, 60, lambda line: os.kill(adbd, signal.SIGKILL))
    assert error.value.lost
    assert time.monotonic() - started < 30


# The lock and the folder


def test_two_sessions_at_once(phone: Device, runtime: dict[str, str]) -> None:
    with Session(phone, HOME, quiet):
        before = left(phone)
        with pytest.raises(DeviceError, match="is being used by another run") as error:
            Session(phone, HOME, quiet).__enter__()
        assert phone.serial in error.value.message
        assert not error.value.lost
        assert left(phone) == before
    with Session(phone, HOME, quiet):
        pass
    assert left(phone) == []


def test_two_sessions_at_once_without_flock(
    phone: Device, runtime: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = "/data/local/tmp/few"
    tools = "mkdir rmdir rm cat sleep"
    phone.shell(f"mkdir {few}; for x in {tools}; do ln -s /system/bin/$x {few}/$x; done")
    monkeypatch.setattr(station, "_OPEN", f"PATH={few}\n{station._OPEN}")
    try:
        with Session(phone, HOME, quiet):
            with pytest.raises(DeviceError, match="is being used by another run") as error:
                Session(phone, HOME, quiet).__enter__()
            assert f"export-mobile devices clean {phone.serial}" in error.value.hint
        assert left(phone) == []
    finally:
        phone.shell(f"rm -r {few}")


def test_exception_leaves_nothing(phone: Device, runtime: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Session(phone, HOME, quiet) as session:
        session.put(samples(tmp_path)[0])
        raise ZeroDivisionError
    assert left(phone) == []


def test_what_a_dead_device_left_goes(phone: Device, runtime: dict[str, str]) -> None:
    phone.shell(f"mkdir {quote(HOME)}/work-0 && echo >{quote(HOME)}/work-0/x")
    with Session(phone, HOME, quiet):
        assert "work-0" not in left(phone)


def test_no_permission(phone: Device) -> None:
    with (
        pytest.raises(DeviceError, match=r"refused it: (permission denied|.*read-only).*/system/o"),
        Session(phone, "/system/ours", quiet),
    ):
        pass


def test_a_link_in_the_place_of_our_folder_is_not_followed(phone: Device) -> None:
    target, link = "/data/local/tmp/target", "/data/local/tmp/link"
    phone.shell(f"mkdir -p {target}/work-1 && ln -s {target} {link}")
    try:
        with (
            pytest.raises(DeviceError, match="refused it: permission denied: /data/local/tmp/link"),
            Session(phone, link, quiet),
        ):
            pass
        assert left(phone, target) == ["work-1"]
    finally:
        phone.shell(f"rm -r {target} {link}")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_run_leaves_nothing(
    phone: Device, runtime: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    """In a process of its own, in the middle of a job."""
    (tmp_path / "agent.py").write_text("print('runs', flush=True)\nwhile True: pass\n")
    (tmp_path / "model").touch()
    program = f"""
from pathlib import Path
from exporter.device import session as station
from exporter.device.adb import Adb
from exporter.device.job import Job
from exporter.types import Format
station.write_agent = lambda folder: Path("agent.py").absolute()
tell = lambda line: print(line, flush=True)
with station.Session(Adb().device({phone.serial!r}), {HOME!r}, lambda line: None) as session:
    session.put(Path("model"))
    session.execute(Job(Format.ONNX, "model", "model", (), ()), {runtime!r}, 120, tell)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        try:
            assert process.stdout.readline() == "runs\n", process.stderr.read()
            assert len(left(phone)) == 2  # the folder and the process
            process.send_signal(number)
            process.wait(20)
        finally:
            process.kill()
    if number == signal.SIGINT:
        assert left(phone) == []
    assert until(lambda: left(phone) == [], 10), left(phone)
    with Session(phone, HOME, quiet):
        pass
