"""What the emulated device is made of: fetched, built, and checked before each use."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.device import elf, emulator
from exporter.device.cache import cache_root, provenance
from exporter.device.emulator.parts import require_host
from exporter.device.emulator.root import _replace
from exporter.errors import UserError
from tests.command import export_mobile


def test_what_was_fetched_is_recorded(emulated: None) -> None:
    parts = emulator.prepare(print)
    fetched = {**provenance(parts.root.parent), **provenance(parts.qemu.parent)}
    assert {"adbd", "mksh", "toybox", "libc6", "qemu-user"} <= set(fetched)
    assert fetched["qemu-user"].startswith("1:10.")
    assert all(len(version.split()[-1]) == 64 for version in fetched.values())


def test_a_second_setup_has_nothing_to_do(emulated: None) -> None:
    lines: list[str] = []
    emulator.prepare(lines.append)
    assert lines == []
    done = export_mobile("emulator", "setup")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Ready")


def test_the_image_belongs_to_nobody_in_particular(emulated: None) -> None:
    """Its modes do not depend on the umask, and nothing in it can be written by others."""
    root = emulator.prepare(print).root
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode == (0o755 if path.is_dir() or path.parent.name == "bin" else 0o644), path


def test_programs_find_all_their_libraries_in_the_image(emulated: None) -> None:
    root = emulator.prepare(print).root
    assert elf.read(root / "system/bin/sh").needed == ()
    assert "libc.so.6" in elf.read(root / "system/bin/toybox").needed
    for path in (root / "apex/runtime/lib").iterdir():
        for name in elf.read(path).needed:
            assert name.startswith("ld-linux") or (path.parent / name).is_file(), (path, name)


@pytest.mark.parametrize("damage", ["changed", "lost", "added", "mode"])
def test_a_damaged_image_is_built_again(
    emulated: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    shared = cache_root()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache_root().mkdir()
    for kind in ("phone", "qemu"):
        shutil.copytree(shared / kind, cache_root() / kind, symlinks=True)
    sh = emulator.prepare(pytest.fail).root / "system/bin/sh"
    if damage == "changed":
        data = bytearray(sh.read_bytes())
        data[len(data) // 2] ^= 1
        sh.write_bytes(data)
    elif damage == "lost":
        sh.unlink()
    elif damage == "added":
        (sh.parent / "more").touch()
    else:
        sh.chmod(0o777)
    lines: list[str] = []
    with monkeypatch.context() as patch:
        if damage != "changed":  # one real download will do
            patch.setenv("PATH", "")
            with pytest.raises(UserError, match="mmdebstrap is missing"):
                emulator.prepare(lines.append)
        else:
            emulator.prepare(lines.append)
            assert sh.read_bytes() != bytes(data)
            emulator.prepare(pytest.fail)
    assert "Fetching adbd, mksh and toybox (arm64) from Debian trixie" in lines


def test_a_cache_where_no_program_may_run_is_refused(tmp_path: Path) -> None:
    script = (
        'mount -t tmpfs -o noexec none "$1" && exec env XDG_CACHE_HOME="$1" "$2" -m exporter.cli '
        "emulator setup"
    )
    done = subprocess.run(
        ["unshare", "-r", "-m", "sh", "-c", script, "sh", str(tmp_path), sys.executable],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "mounted noexec" in done.stderr


@pytest.mark.parametrize(
    ("system", "machine", "said"),
    [
        ("darwin", "arm64", "needs Linux"),
        ("linux", "aarch64", "x86-64 only"),
        ("win32", "AMD64", "needs Linux"),
    ],
)
def test_other_machines_are_refused(system: str, machine: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        require_host(system, machine)
    assert "--device SERIAL" in refused.value.hint


def test_programs_built_otherwise_are_refused(tmp_path: Path) -> None:
    program = tmp_path / "toybox"
    program.write_bytes(b"without a loader")
    with pytest.raises(UserError, match="Debian's toybox is not built as this version expects"):
        _replace(program, b"/lib/ld", b"/apex/x")
