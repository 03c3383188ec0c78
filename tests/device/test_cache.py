"""The cache: whole entries or none, however a build ends; and Debian packages, checked."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from exporter.device import cache, debian
from exporter.errors import UserError
from tests.device.conftest import missing

SLOW_BUILD = """
    import sys, time
    from pathlib import Path
    from exporter.device import cache

    def build(scratch):
        (scratch / "half").write_text("half")
        with open(sys.argv[1], "a") as log:
            log.write("built\\n")
        time.sleep(float(sys.argv[2]))
        return {"made of": "1.0"}

    print(cache.entry("thing", "key", build))
"""


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    return tmp_path / "c" / "export-mobile"


def slow_build(log: Path, seconds: float) -> subprocess.Popen[str]:
    """Another process that builds an entry and notes each build in `log`."""
    command = [sys.executable, "-c", textwrap.dedent(SLOW_BUILD), str(log), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def await_line(log: Path) -> None:
    for _ in range(1200):
        if log.exists():
            return
        time.sleep(0.05)
    pytest.fail("the other process does not build")


def fill(scratch: Path) -> dict[str, str]:
    (scratch / "file").write_text("content")
    return {"thing": "1.0 abc"}


def fail(scratch: Path) -> None:
    fill(scratch)
    raise UserError("It cannot be built.")


def unused(scratch: Path) -> None:
    pytest.fail("was there already")


def test_what_is_there_is_not_built_again(cache_folder: Path) -> None:
    place = cache.entry("thing", "key", fill)
    assert place == cache_folder / "thing" / "key"
    assert (place / "file").read_text() == "content"
    assert cache.provenance(place) == {"thing": "1.0 abc"}
    assert cache.entry("thing", "key", unused) == place
    assert [(e.kind, e.key) for e in cache.entries()] == [("thing", "key")]


def test_a_failed_build_leaves_nothing(cache_folder: Path) -> None:
    with pytest.raises(UserError, match="cannot be built"):
        cache.entry("thing", "key", fail)
    assert [p.name for p in (cache_folder / "thing").iterdir()] == [".key.lock"]
    assert cache.entries() == ()
    assert (cache.entry("thing", "key", fill) / "file").is_file()


def test_a_damaged_entry_is_built_again() -> None:
    place = cache.entry("thing", "key", fill)
    (place / "file").write_text("damaged")

    def sound(place: Path) -> bool:
        return (place / "file").read_text() == "content"

    assert cache.entry("thing", "key", fill, sound) == place
    assert sound(place)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_build_is_never_taken_for_whole(
    how: signal.Signals, cache_folder: Path, tmp_path: Path
) -> None:
    process = slow_build(tmp_path / "log", 60)
    await_line(tmp_path / "log")
    assert cache.entries() == ()
    process.send_signal(how)
    process.communicate(timeout=60)
    assert (cache_folder / "thing" / ".key.part").exists() == (how == signal.SIGKILL)
    cache.entry("thing", "another key", fill)  # sweeps
    assert not (cache_folder / "thing" / ".key.part").exists()
    assert sorted(p.name for p in cache.entry("thing", "key", fill).iterdir()) == [
        "file",
        "provenance.json",
    ]


def test_two_processes_build_once(tmp_path: Path) -> None:
    processes = [slow_build(tmp_path / "log", 0.5) for _ in range(2)]
    places = {process.communicate(timeout=60)[0] for process in processes}
    assert len(places) == 1
    assert (tmp_path / "log").read_text() == "built\n"


def test_the_build_of_another_process_is_not_swept(tmp_path: Path) -> None:
    process = slow_build(tmp_path / "log", 1)
    await_line(tmp_path / "log")
    cache.entry("thing", "another key", fill)
    out, _ = process.communicate(timeout=60)
    assert (Path(out.strip()) / "half").is_file()


def test_waiting_for_another_process_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = slow_build(tmp_path / "log", 60)
    await_line(tmp_path / "log")
    monkeypatch.setattr(cache, "PATIENCE_S", 0.3)
    with pytest.raises(UserError, match="still building"):
        cache.entry("thing", "key", unused)
    process.kill()
    process.communicate()


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    code = """
        import errno
        from exporter.device import cache

        def build(scratch):
            (scratch / "large").write_bytes(bytes(4_000_000))

        try:
            cache.entry("thing", "key", build)
        except OSError as error:
            assert error.errno == errno.ENOSPC
        print([p.name for p in (cache.cache_root() / "thing").iterdir()])
    """
    script = f'mount -t tmpfs -o size=1m none "{tmp_path}" && XDG_CACHE_HOME="{tmp_path}" "$@"'
    isolated = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    command = [*isolated, sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 and "unshare" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr.strip()}")
    assert done.stdout.strip() == "['.key.lock']", done.stderr


def test_a_relative_cache_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.cache_root() == Path.home() / ".cache" / "export-mobile"


def test_a_key_depends_on_every_part(tmp_path: Path) -> None:
    (tmp_path / "recipe").write_text("1")
    before = cache.digest("ab", "c", tmp_path / "recipe")
    assert before == cache.digest("ab", "c", tmp_path / "recipe")
    assert before != cache.digest("a", "bc", tmp_path / "recipe")
    (tmp_path / "recipe").write_text("2")
    assert before != cache.digest("ab", "c", tmp_path / "recipe")


@pytest.fixture
def mmdebstrap() -> None:
    if shutil.which("mmdebstrap") is None or not debian.KEYRING.is_file():
        missing(UserError("No mmdebstrap.", "apt-get install mmdebstrap debian-archive-keyring"))


def test_packages_are_unpacked_without_root(mmdebstrap: None) -> None:
    """As another user where the tests run as root."""
    code = """
        import os, sys
        from pathlib import Path
        from exporter.device import debian

        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(12345, 12345, 12345)
            os.setresuid(12345, 12345, 12345)
        Path(sys.argv[1]).mkdir()
        print(debian.extract("arm64", ["mksh"], Path(sys.argv[1]))["mksh"])
    """
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own is closed to others
        Path(folder).chmod(0o777)
        tree = Path(folder) / "tree"
        command = [sys.executable, "-c", textwrap.dedent(code), str(tree)]
        environment = {**os.environ, "TMPDIR": folder}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=120, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r"\d\S* [0-9a-f]{64}", done.stdout.strip())
        assert (tree / "bin/mksh").is_file()
        assert {p.name for p in tree.iterdir()} <= {"bin", "lib", "sbin", "usr", "etc"}
        assert not (tree / "etc" / "resolv.conf").exists()  # the host's


def test_an_archive_signed_by_others_is_refused(mmdebstrap: None, tmp_path: Path) -> None:
    (tmp_path / "keys.gpg").touch()
    (tmp_path / "tree").mkdir()
    with pytest.raises(UserError, match=r"signature .* could not be verified") as refused:
        debian.extract("arm64", ["mksh"], tmp_path / "tree", tmp_path / "keys.gpg")
    assert "apt-get install debian-archive-keyring" in refused.value.hint
    assert not (tmp_path / "tree" / "usr").exists()


def test_no_network_is_said(
    mmdebstrap: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="could not be fetched over the network"):
        debian.extract("arm64", ["mksh"], tmp_path)


def test_an_unknown_package_is_named(mmdebstrap: None, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no package no-such-package for arm64"):
        debian.extract("arm64", ["no-such-package"], tmp_path)


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("mmdebstrap"):
        with pytest.raises(UserError) as refused:
            debian.extract("arm64", ["mksh"], tmp_path, tmp_path / "none.gpg")
        assert refused.value.hint == "apt-get install debian-archive-keyring"
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(UserError) as refused:
        debian.extract("arm64", ["mksh"], tmp_path)
    assert refused.value.hint == "apt-get install mmdebstrap"
