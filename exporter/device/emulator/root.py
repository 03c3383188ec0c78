"""The device's file system: as bare as an Android phone's, of Debian's arm64 programs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from exporter.device import elf
from exporter.errors import UserError

_LIBRARIES = "usr/lib/aarch64-linux-gnu"
_FOLDERS = (
    *("system/bin", "system/etc", "apex/adbd/bin", "apex/runtime/bin", "apex/runtime/lib"),
    *("data/local/tmp", "dev", "proc", "sdcard", "sys/devices/system/cpu"),
)
SHELL = "/system/bin/sh"
ADBD = "/apex/adbd/bin/adbd"
HOME = "/data/local/tmp"
_PROGRAMS = {
    "usr/lib/aarch64-linux-musl/bin/mksh": SHELL,
    "usr/bin/toybox": "/system/bin/toybox",
    "usr/lib/android-sdk/platform-tools/adbd": ADBD,
}

# adbd and toybox are linked to glibc, and a phone has none where a program would look for it. So
# theirs gets paths of its own, as long as those that are compiled in.
_LOADER, _PRIVATE_LOADER = b"/lib/ld-linux-aarch64.so.1\0", b"/apex/runtime/bin/linker64\0"
_SEARCHED, _PRIVATE_SEARCHED = b"\0/lib/aarch64-linux-gnu/\0", b"\0/apex/runtime/lib//////\0"

_NOT_FOR_PHONES = frozenset(
    ("[", "halt", "httpd", "login", "mount", "oneit", "pivot_root", "poweroff", "reboot", "su")
)

_PROPERTIES = """\
ro.product.model=export-mobile emulated phone
ro.product.name=export_mobile_arm64
ro.product.device=emulated_arm64
ro.product.manufacturer=export-mobile
ro.product.cpu.abi=arm64-v8a
ro.product.cpu.abilist=arm64-v8a
ro.build.version.release=14
ro.build.version.sdk=34
ro.build.fingerprint=export-mobile/emulated_arm64:14/userdebug/test-keys
ro.boot.qemu=1
ro.kernel.qemu=1
ro.hardware=emulated
"""
_GETPROP = """\
#!/system/bin/sh
while IFS='=' read -r key value; do
  if [ $# -eq 0 ]; then echo "[$key]: [$value]"
  elif [ "$key" = "$1" ]; then echo "$value"; exit 0
  fi
done < /system/build.prop
if [ $# -gt 0 ]; then echo "$2"; fi
"""
_TEXTS = {
    "system/build.prop": _PROPERTIES,
    "system/bin/getprop": _GETPROP,
    "system/etc/passwd": f"root:x:0:0::/:{SHELL}\nshell:x:2000:2000::/:{SHELL}\n",
    "system/etc/group": "root:x:0:\ninput:x:1004:\nlog:x:1007:\nadb:x:1011:\nshell:x:2000:\n"
    "inet:x:3003:\n",
}


def build_root(debian: Path, qemu: Path, root: Path) -> None:
    """Fills `root`.

    Args:
        debian: an unpacked arm64 tree with adbd, mksh and toybox.
        qemu: a `qemu-aarch64` that runs here.
        root: an empty folder.

    Raises:
        UserError: the programs are not built as expected.
    """
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for source, target in _PROGRAMS.items():
        _install(debian / source, root / target[1:])
    loader = debian / _LIBRARIES / "ld-linux-aarch64.so.1"
    _install(loader, root / "apex/runtime/bin/linker64")
    _replace(root / "apex/runtime/bin/linker64", _SEARCHED, _PRIVATE_SEARCHED)
    for program in ("system/bin/toybox", ADBD[1:]):
        _install_libraries(root / program, debian / _LIBRARIES, root / "apex/runtime/lib")
        _replace(root / program, _LOADER, _PRIVATE_LOADER)
    for name in _applets(qemu, loader, debian / "usr/bin/toybox"):
        (root / "system/bin" / name).symlink_to("toybox")
    for name, text in _TEXTS.items():
        (root / name).write_text(text)
    for link in ("bin", "etc"):
        (root / link).symlink_to(f"system/{link}")
    _set_modes(root)


def _install(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _install_libraries(program: Path, source: Path, target: Path) -> None:
    """Copies what `program` needs, and what that needs in turn, but the loader."""
    for name in elf.read(program).needed:
        if name == "ld-linux-aarch64.so.1" or (target / name).exists():
            continue
        android = source / "android" / name
        _install(android if android.exists() else source / name, target / name)
        _install_libraries(target / name, source, target)


def _replace(path: Path, old: bytes, new: bytes) -> None:
    """Puts `new` wherever `old` is; both are as long, so that nothing moves."""
    data = path.read_bytes()
    if len(old) != len(new) or old not in data:
        raise UserError(
            f"Debian's {path.name} is not built as this version expects.",
            "Update export-mobile, or report it.",
        )
    path.write_bytes(data.replace(old, new))


def _applets(qemu: Path, loader: Path, toybox: Path) -> list[str]:
    """The commands that toybox offers and a phone's has as well."""
    command = [str(word) for word in (qemu, loader, "--library-path", loader.parent, toybox)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return sorted(set(done.stdout.split()) - _NOT_FOR_PHONES)


def _set_modes(root: Path) -> None:
    """Readable for all, whatever the umask is: the device's shell is another user."""
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            program = path.is_dir() or {"bin"} & set(path.parent.relative_to(root).parts[-1:])
            path.chmod(0o755 if program else 0o644)
