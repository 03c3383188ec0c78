"""The runtime bundle: checked, self-contained, relocatable, and the same each time it is built."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.device import bundle, cache, elf, emulator
from exporter.device.bundle import Layer, build, layers, seal, wheels
from exporter.errors import UserError
from exporter.types import Format
from tests.device.conftest import missing

PAGE = 16384
"""Of phones with large pages, in bytes: the more common 4096 divides it."""

IMPORTS = {
    Format.PTE: "import executorch_numpy_runtime as x; x.Runtime.get()",
    Format.ONNX: "import onnxruntime as x; x.SessionOptions()",
    Format.TFLITE: "from ai_edge_litert.interpreter import Interpreter",
    Format.PTL: "import torch\nassert 'qnnpack' in torch.backends.quantized.supported_engines",
}
SHELLS = [
    shell
    for shell in (["sh"], ["dash"], ["bash", "--posix"], ["busybox", "sh"], ["mksh"])
    if shutil.which(shell[0])
]


def _link(source: str, target: str) -> None:
    """A second name where that can be had: 400 MB need not be copied."""
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def parts() -> dict[str, Layer]:
    """All layers by name."""
    try:
        return {layer.name: layer for layer in layers(Format, print)}
    except UserError as error:
        missing(error)
        raise


@pytest.fixture(scope="module")
def moved(
    emulated: None, parts: dict[str, Layer], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with all layers, away from where they were built, its name with blanks.

    On a device the loader runs by itself; here something in its place calls qemu with it.
    """
    folder = tmp_path_factory.mktemp("else where") / "it's $HOME here"
    for layer in parts.values():
        shutil.copytree(layer.folder, folder / layer.name, copy_function=_link)
    loader = folder / "core" / "lib" / "ld-linux-aarch64.so.1"
    loader.rename(loader.with_suffix(".real"))
    qemu = emulator.prepare(print).qemu
    loader.write_text(f'#!/bin/sh\nexec "{qemu}" -cpu cortex-a76 "${{0%.1}}.real" "$@"\n')
    loader.chmod(0o755)
    return folder


def command(folder: Path, overlay: str, script: Path, *arguments: str) -> list[str]:
    return ["sh", str(folder / "core/run.sh"), str(folder / overlay), str(script), *arguments]


def elf_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and elf.is_elf(path))


def complaints(path: Path, core: Path) -> list[str]:
    """What would keep a file from being loaded on some phone by the core's loader."""
    read = elf.read(path)
    found = []
    if read.machine != elf.AARCH64:
        found.append(f"{path.name} is for machine {read.machine}")
    if read.alignment % PAGE:
        found.append(f"{path.name} is aligned to {read.alignment} bytes")
    places = [Path(where.replace("$ORIGIN", str(path.parent))) for where in read.search]
    places.append(core / "lib")
    missing = [n for n in read.needed if not any((place / n).is_file() for place in places)]
    return found + [f"{path.name} needs {name}" for name in missing]


@pytest.mark.parametrize("name", ["core", *Format])
def test_all_it_loads_is_inside_and_fits_large_pages(parts: dict[str, Layer], name: str) -> None:
    folder = parts[name].folder
    files = list(elf_files(folder))
    assert files
    assert [c for path in files for c in complaints(path, parts["core"].folder)] == []
    text = b"/lib/ld-linux-aarch64.so.1\0"
    starts = [p.name for p in files if text in p.read_bytes()[:4096] and p.parent.name == "bin"]
    assert starts == (["python3"] if name == "core" else [])


def test_a_library_that_does_not_fit_is_noticed(parts: dict[str, Layer], tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    python = parts["core"].folder / "bin" / "python3"
    assert "python3 needs libz.so.1" in complaints(python, tmp_path)
    data = bytearray(python.read_bytes())
    small = (4096).to_bytes(8, "little")
    at = next(64 + 56 * i for i, s in enumerate(elf.read(python).segments) if s.type == 1)
    data[at + 48 : at + 56] = small
    data[18] = 62  # x86-64
    (tmp_path / "python3").write_bytes(data)
    found = complaints(tmp_path / "python3", parts["core"].folder)
    assert found == ["python3 is for machine 62", "python3 is aligned to 4096 bytes"]


def test_stripping_keeps_what_is_loaded(tmp_path: Path) -> None:
    """On a program of this machine, which then still runs."""
    original = Path(shutil.which("true") or "/bin/true")
    data = original.read_bytes()
    small = elf.stripped(data)
    (tmp_path / "true").write_bytes(small)
    (tmp_path / "true").chmod(0o755)
    assert subprocess.run([tmp_path / "true"], check=False).returncode == 0
    before, after = elf.read(original), elf.read(tmp_path / "true")
    assert after.needed == before.needed
    for old, new in zip(before.segments, after.segments, strict=True):
        assert (old.type, old.address, old.memory_size) == (new.type, new.address, new.memory_size)
        if old.type == 1 and old.offset:  # the first holds the header, which changes
            content = data[old.offset :][: old.file_size]
            assert small[new.offset :][: new.file_size] == content
    assert elf.stripped(small) == small


@pytest.mark.parametrize("name", ["core", *Format])
def test_the_list_of_hashes_is_what_sha256sum_reads(parts: dict[str, Layer], name: str) -> None:
    layer = parts[name]
    assert layer.folder.name == name
    check = ["sha256sum", "--check", "--strict", "--quiet", seal.LIST_FILE]
    subprocess.run(check, cwd=layer.folder, check=True)
    listed = len((layer.folder / seal.LIST_FILE).read_text().splitlines())
    assert listed == sum(p.is_file() for p in layer.folder.rglob("*")) - 1
    assert layer.size == cache.size(layer.folder)
    assert re.fullmatch("[0-9a-f]{64}", layer.digest)
    pinned = wheels.pinned(build.requirements(name))
    assert pinned
    assert pinned.items() <= layer.versions.items()


def test_every_requirement_is_pinned_by_hash() -> None:
    for name in ("core", *Format):
        path = build.requirements(name)
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        assert len(lines) == len(wheels.pinned(path)), path.name


@pytest.fixture
def other_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: dict[str, Layer]) -> Path:
    """A cache with nothing but Debian's Python in it."""
    root = tmp_path / "o t h e r" / "export-mobile"
    root.mkdir(parents=True)
    (root / "debian-python").symlink_to(cache.cache_root() / "debian-python")
    monkeypatch.setenv("XDG_CACHE_HOME", str(root.parent))
    return root


def test_built_again_it_is_the_same(parts: dict[str, Layer], other_cache: Path) -> None:
    told: list[str] = []
    again = layers([Format.PTE], told.append)
    assert [a.name for a in again] == ["core", "pte"]
    assert len(told) == 2
    for layer in again:
        assert other_cache in layer.folder.parents
        assert layer.digest == parts[layer.name].digest
    assert layers([Format.PTE], pytest.fail) == again

    damaged = again[1].folder / "site/executorch_numpy_runtime/_core.abi3.so"
    with damaged.open("r+b") as file:
        file.seek(5000)
        file.write(b"damaged")
    assert layers([Format.PTE], told.append) == again
    assert len(told) == 3
    damaged.unlink()
    assert layers([Format.PTE], told.append) == again


def test_a_wrong_hash_is_refused(
    other_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = build.requirements("pte").read_text()
    flipped = tmp_path / "pte.txt"
    flipped.write_text(re.sub("sha256:(.)", lambda m: f"sha256:{int(m[1], 16) ^ 1:x}", text))
    for module in (bundle, build):
        monkeypatch.setattr(module, "requirements", lambda name: flipped)
    with pytest.raises(UserError, match=r"SHA-256 differs") as refused:
        layers([Format.PTE], print)
    assert "pip config list" in refused.value.hint
    assert cache.entries() == tuple(e for e in cache.entries() if e.kind == "debian-python")
    assert all(p.suffix == cache.LOCK_SUFFIX for p in (other_cache / "runtime").iterdir())


def test_no_network_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(UserError, match="could not be downloaded over the network"):
        wheels.fetch(build.requirements("pte"), tmp_path)


@pytest.mark.parametrize("format", list(Format))
def test_every_runtime_imports_from_anywhere(moved: Path, tmp_path: Path, format: Format) -> None:
    script = tmp_path / "a script.py"
    (tmp_path / "numpy.py").write_text("raise AssertionError('not the one of the bundle')")
    script.write_text(f"import sys, numpy\n{IMPORTS[format]}\nprint(numpy.arange(3).sum())\n")
    hostile = {**os.environ, "LD_LIBRARY_PATH": "/nowhere", "PYTHONPATH": str(tmp_path)}
    home = tmp_path / "home"  # is the working directory; a runtime may keep things there
    home.mkdir()
    done = subprocess.run(
        command(moved, format, script),
        cwd=home,
        capture_output=True,
        text=True,
        env=hostile,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3\n"
    assert list(tmp_path.rglob("__pycache__")) == []


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_the_start_script_in_many_shells(moved: Path, tmp_path: Path, shell: list[str]) -> None:
    script = tmp_path / "s.py"
    script.write_text(
        "import os, sys\n"
        "print(sys.argv[1:], os.getcwd() == os.environ['HOME'] == os.environ['TMPDIR'])\n"
        "print(sys.stdin.read(), sys.flags.utf8_mode, 'LD_LIBRARY_PATH' in os.environ)\n"
        "sys.exit(7)\n"
    )
    words = ["", "a b", "$(id)", "-x", "ä\n;"]
    done = subprocess.run(
        [*shell, *command(moved, "none", script, *words)[1:]],
        input="given",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout == f"{words!r} True\ngiven 1 False\n"


def test_the_start_script_beside_the_caller(moved: Path, tmp_path: Path) -> None:
    script = tmp_path / "s.py"
    script.write_text("print('up')")
    done = subprocess.run(
        ["sh", "run.sh", "/none", script], cwd=moved / "core", capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"up\n"), done.stderr


def test_a_signal_reaches_the_script_and_its_caller(moved: Path, tmp_path: Path) -> None:
    script = tmp_path / "s.py"
    script.write_text("import time\nprint('up', flush=True)\ntime.sleep(60)\n")
    process = subprocess.Popen(command(moved, "none", script), stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGTERM


def test_a_path_that_no_list_can_hold_is_refused(moved: Path, tmp_path: Path) -> None:
    place = tmp_path / "a:b"
    place.symlink_to(moved)
    done = subprocess.run(
        command(place, "pte", tmp_path / "s.py"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 127
    assert "neither a colon nor a semicolon" in done.stderr
