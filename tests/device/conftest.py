"""Emulated devices for the tests: real adb, real adbd, with ports and keys of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial

import pytest

from exporter.device import emulator
from exporter.device.adb import Adb, Device
from exporter.device.cache import cache_root
from exporter.device.emulator import Running
from exporter.device.emulator.counter import Counter, available
from exporter.device.emulator.counter import prepare as prepare_counter
from exporter.errors import UserError
from tests import command

FreshPhone = Callable[..., tuple[Running, Device]]
REQUIRED = "EXPORT_MOBILE_REQUIRE_DEVICE"
missing = partial(command.missing, variable=REQUIRED)
COUNTER_REQUIRED = "EXPORT_MOBILE_REQUIRE_COUNTER"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The counter's tests come last: where it is not cached, it is being built meanwhile."""
    items.sort(key=lambda item: item.path.name in ("test_counter.py", "test_sweep.py"))


@pytest.fixture(scope="session")
def counter() -> Counter:
    """Built already; where the environment promises it, it is built for the test."""
    if os.environ.get(COUNTER_REQUIRED) == "1":
        return prepare_counter(print)
    if (built := available()) is None:
        pytest.skip("no counter is built: export-mobile emulator setup --counter")
    return built


@pytest.fixture(scope="session")
def emulated() -> None:
    """All that an emulated device needs is on this machine; skips with the remedy if not."""
    try:
        if shutil.which("adb") is None:
            raise UserError("adb is missing.", "apt-get install adb")
        emulator.prepare(print)
    except UserError as error:
        missing(error)


@pytest.fixture(scope="session")
def adb(emulated: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adb]:
    """A client of an adb server of this test run's own: its own port, and its own key.

    `ANDROID_ADB_SERVER_PORT` is set to it, so that commands run by tests use it as well.
    """
    home, port = tmp_path_factory.mktemp("adb-home"), free_port()
    mine = {"HOME": str(home), "ANDROID_USER_HOME": str(home), "ANDROID_ADB_SERVER_PORT": str(port)}
    server = subprocess.Popen(
        # A killed test run leaves no server behind.
        ["setpriv", "--pdeathsig", "KILL", "adb", "-P", str(port), "nodaemon", "server"],
        env={**os.environ, **mine},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        try:
            _await_server(port)
            yield Adb(port=port)
        finally:
            server.kill()
            server.wait()


def _await_server(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("adb's server does not start")


@pytest.fixture(scope="session")
def phone(adb: Adb) -> Iterator[Device]:
    """A connected emulated device, cortex-a76, that all tests of this run share: leave it clean."""
    with emulator.running("cortex-a76", "2g", print) as device:
        adb.connect(device.serial)
        yield adb.device(device.serial)
        adb.disconnect(device.serial)


@pytest.fixture
def uncounted(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """For commands, a cache without the instruction counter, which takes longer than the rest."""
    cache, whole = tmp_path_factory.mktemp("cache"), cache_root()
    (cache / "export-mobile").mkdir()
    for kind in ("runtime", "debian-python", "phone", "qemu"):
        (whole / kind).mkdir(parents=True, exist_ok=True)
        (cache / "export-mobile" / kind).symlink_to(whole / kind)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture
def fresh_phone(adb: Adb) -> Iterator[FreshPhone]:
    """Starts another device, for a test that kills it or fills it; stopped after the test.

    `fresh_phone(cpu=..., storage=..., env=...)` returns it twice: as what runs, and as adb sees it.
    """
    with ExitStack() as stack:

        def start(
            cpu: str = "cortex-a76", storage: str = "2g", env: Mapping[str, str] | None = None
        ) -> tuple[Running, Device]:
            device = stack.enter_context(emulator.running(cpu, storage, print, variables=env))
            adb.connect(device.serial)
            stack.callback(adb.disconnect, device.serial)
            return device, adb.device(device.serial)

        yield start
