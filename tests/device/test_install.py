"""The runtime on a device: sent once, checked each time, repaired; what fails leaves nothing."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import signal
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.device import install as station
from exporter.device.adb import Device, quote
from exporter.device.archive import streamed
from exporter.device.bundle import Layer, layers
from exporter.device.install import install
from exporter.errors import DeviceError
from exporter.types import Format
from tests.device.conftest import FreshPhone
from tests.device.processes import adbd_of
from tests.device.traces import until

HOME = "/data/local/tmp/it's $(a) test"


def quiet(line: str) -> None:
    """Takes progress that a test does not look at."""


def layer(folder: Path, name: str, **content: bytes) -> Layer:
    """A layer of small files in `folder/<name>/site`."""
    place = folder / name
    (place / "site" / "deep").mkdir(parents=True)
    for file, data in content.items():
        (place / "site" / "deep" / file).write_bytes(data)
    return sealed(place)


def sealed(place: Path) -> Layer:
    lines = [f"{sha256(p)}  {p.relative_to(place).as_posix()}\n" for p in files_of(place)]
    size = sum(p.stat().st_size for p in files_of(place))
    (place / "files.sha256").write_text("".join(lines))
    return Layer(place.name, sha256(place / "files.sha256"), place, size, {})


def files_of(place: Path) -> list[Path]:
    return sorted(p for p in place.rglob("*") if p.is_file())


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def large(folder: Path) -> Layer:
    """A core that takes a second or two to send, and cannot run."""
    place = folder / "core"
    place.mkdir()
    with (place / "zeros").open("wb") as file:
        file.truncate(400_000_000)
    return sealed(place)


def listing(phone: Device, folder: str = f"{HOME}/runtime") -> list[str]:
    return sorted(phone.shell(f"ls -A {quote(folder)}").split())


@pytest.fixture(scope="module")
def core(emulated: None) -> Layer:
    return layers([], quiet)[0]


@pytest.fixture(scope="module")
def ours(phone: Device) -> Iterator[str]:
    """Our folder on the shared device; its name needs quoting."""
    yield HOME
    phone.shell(f"rm -rf {quote(HOME)}")


@pytest.fixture
def tiny(tmp_path: Path) -> Layer:
    return layer(tmp_path, "tiny", one=b"1" * 5000, two=b"2")


class At:
    """Takes progress; at the first line with some words in it, something happens soon after."""

    def __init__(self, words: str, action: Callable[[], object], seconds: float = 0.3) -> None:
        self.lines: list[str] = []
        self._words, self._action, self._seconds = words, action, seconds

    def __call__(self, line: str) -> None:
        if self._words in line and not any(self._words in before for before in self.lines):
            threading.Timer(self._seconds, self._action).start()
        self.lines.append(line)


def test_second_install_sends_nothing(
    phone: Device, ours: str, core: Layer, tmp_path: Path
) -> None:
    told: list[str] = []
    bundle = (core, *layers([Format.ONNX], quiet)[1:], layer(tmp_path, "tiny", one=b"1"))
    places = install(phone, ours, bundle, told.append)
    assert places == {x.name: f"{HOME}/runtime/{x.name}-{x.digest[:16]}" for x in bundle}
    assert [line for line in told if "tiny: sending" in line]
    look = f"ls -lid {' '.join(map(quote, places.values()))}"
    before = phone.shell(look)
    told.clear()
    assert install(phone, ours, bundle, told.append) == places
    assert told == []
    assert phone.shell(look) == before


DAMAGES = {
    "byte": "printf x >n; tail -c 4999 site/deep/one >>n; touch -r site/deep/one n; "
    "cat n >site/deep/one; touch -r n site/deep/one; rm n",  # size and time stay
    "cut": "head -c 70 files.sha256 >n; mv n files.sha256",
    "lost": "rm -r site",
    "more": "echo 'import os' >site/sitecustomize.py",
    "locked": "chmod 0 site/deep/two",
    "nofolder": 'cd ..; rm -r "$1"; echo >"$1"',
}


def test_damage_is_noticed_and_repaired(
    phone: Device, ours: str, core: Layer, tmp_path: Path
) -> None:
    content = {"one": b"1" * 5000, "two": b"2"}
    bundle = (core, *(layer(tmp_path, name, **content) for name in ("whole", *DAMAGES)))
    places = install(phone, ours, bundle, quiet)
    for name, damage in DAMAGES.items():
        phone.shell(f"set -- {places[name].split('/')[-1]}; cd {quote(places[name])} && {damage}")
    told: list[str] = []
    install(phone, ours, bundle, told.append)
    assert [line.split()[1] for line in told if "sending" in line] == [f"{x}:" for x in DAMAGES]
    mended = " ".join(places[name].split("/")[-1] + "/site/deep/*" for name in DAMAGES)
    hashes = phone.shell(f"cd {quote(ours)}/runtime && sha256sum {mended}")
    right = {sha256(path) for path in (tmp_path / "whole").rglob("deep/*")}
    assert {line.split()[0] for line in hashes.splitlines()} == right
    told.clear()
    install(phone, ours, bundle, told.append)
    assert told == []


def test_damaged_core_is_repaired(phone: Device, ours: str, core: Layer, tiny: Layer) -> None:
    """It is the one that takes the hashes; here it cannot even be started."""
    places = install(phone, ours, (core, tiny), quiet)
    loader = quote(f"{places['core']}/lib/ld-linux-aarch64.so.1")
    phone.shell(f"size=$(wc -c <{loader}); head -c $size /dev/zero >{loader}")
    told: list[str] = []
    install(phone, ours, (core, tiny), told.append)
    assert "core: damaged" in told[0]
    assert not [line for line in told if "tiny" in line]
    assert phone.run(f"sh {quote(places['core'] + '/run.sh')} / -c 'import numpy'").code == 0


def test_only_what_is_of_use_stays(
    phone: Device, ours: str, core: Layer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (layer(tmp_path / n, "tiny", one=n.encode()) for n in ("old", "new"))
    runtime = f"{quote(HOME)}/runtime"
    left = f".core.1.part other-1 tiny-{old.digest[:16]}"
    phone.shell(f"mkdir -p {runtime} && cd {runtime} && mkdir {left} && echo >.core.1.part/x")
    monkeypatch.setattr(station, "_NEAR", re.compile("nowhere"))  # packed, as for a cable
    place = install(phone, ours, (core, new), quiet)["tiny"]
    assert phone.shell(f"cat {quote(place)}/site/deep/one") == "new"
    found = listing(phone)
    assert "other-1" in found  # of use to another run
    assert [name for name in found if name.startswith("tiny")] == [f"tiny-{new.digest[:16]}"]
    assert not [name for name in found if name.startswith(".")]


def test_what_arrives_changed_is_refused(
    phone: Device, ours: str, core: Layer, tiny: Layer
) -> None:
    (tiny.folder / "site" / "deep" / "two").write_bytes(b"3")
    with pytest.raises(DeviceError, match=r"tiny does not work .* site/deep/two is not what") as e:
        install(phone, ours, (core, tiny), quiet)
    assert phone.serial in e.value.message
    assert not [name for name in listing(phone) if "tiny" in name]


def test_no_permission(phone: Device, core: Layer) -> None:
    with pytest.raises(DeviceError, match=r"refused it: (permission denied|.*read-only).*/system"):
        install(phone, "/system/ours", (core,), quiet)


def test_too_little_space_is_said_before(fresh_phone: FreshPhone, core: Layer) -> None:
    _, phone = fresh_phone(storage="55m")
    told: list[str] = []
    with pytest.raises(DeviceError, match=r"it takes \d\d MB, and \d\d MB are free in") as error:
        install(phone, HOME, (core,), told.append)
    assert phone.serial in error.value.message
    assert f"export-mobile devices clean {phone.serial}" in error.value.hint
    assert not error.value.lost
    assert told == []
    assert listing(phone) == []


def test_disk_that_fills_up_meanwhile(
    fresh_phone: FreshPhone, core: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, phone = fresh_phone(storage="55m")
    monkeypatch.setattr(station, "_require_space", lambda *_: None)
    with pytest.raises(DeviceError, match=r"it takes \d\d MB, and \d\d MB are free in") as error:
        install(phone, HOME, (core,), quiet)
    assert not error.value.lost
    assert listing(phone) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_adbd_that_dies_or_hangs_meanwhile(
    fresh_phone: FreshPhone, tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(station, "_SILENCE_S", 5.0)
    running, phone = fresh_phone()
    adbd = adbd_of(running)
    tell = At("sending", lambda: os.kill(adbd, number))
    started = time.monotonic()
    with pytest.raises(DeviceError) as error:
        install(phone, HOME, (large(tmp_path),), tell)
    assert error.value.lost
    assert phone.serial in error.value.message
    assert time.monotonic() - started < 30


def test_ctrl_c_leaves_nothing(phone: Device, ours: str, tmp_path: Path) -> None:
    threads = set(threading.enumerate())
    tell = At("sending", lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        install(phone, ours, (large(tmp_path),), tell)
    assert not [name for name in listing(phone) if name.endswith(".part")]
    assert until(lambda: set(threading.enumerate()) <= threads)  # the timer's is about to end


# The archive


@pytest.mark.parametrize("compress", [False, True])
def test_archive_holds_the_folder(tmp_path: Path, tiny: Layer, compress: bool) -> None:
    with streamed(tiny.folder, compress, lambda _: None) as archive:
        data = archive.read()
    copy = tmp_path / "copy.tar"
    copy.write_bytes(gzip.decompress(data) if compress else data)
    with tarfile.open(copy) as read:
        names = ["files.sha256", "site", "site/deep", "site/deep/one", "site/deep/two"]
        assert read.getnames() == names
        assert {entry.uid for entry in read} == {0}
        one = read.extractfile("site/deep/one")
        assert one
        assert one.read() == b"1" * 5000


def test_archive_ends_with_its_reader(tmp_path: Path) -> None:
    threads = set(threading.enumerate())
    with streamed(large(tmp_path).folder, False, lambda _: None) as archive:
        archive.read(10)
    assert set(threading.enumerate()) <= threads


def test_folder_that_changes_meanwhile(tmp_path: Path) -> None:
    folder = large(tmp_path).folder
    with (
        pytest.raises(OSError, match="unexpected end of data"),
        streamed(folder, False, lambda _: None) as archive,
    ):
        archive.read(10)
        os.truncate(folder / "zeros", 1000)
        archive.read()
