"""The real APK, and copies of it in which one thing is wrong."""

import re
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

from exporter.errors import UserError

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "android_demo"
TOOLS = DEMO / "app/target/tools/prebuilt"
PAGE = 16384
Change = Callable[[bytes], bytes]


def current() -> Path:
    """The APK that `scripts/android.sh` makes.

    Raises:
        UserError: it was not made.
    """
    apk = DEMO / "target/export-mobile-demo.apk"
    if not apk.is_file():
        raise UserError("The Android app is not built.", "Run: bash scripts/android.sh")
    return apk


def legacy(apk: Path) -> Path:
    return apk.with_name("export-mobile-demo-legacy.apk")


def changed(
    apk: Path,
    target: Path,
    changes: dict[str, Change] | None = None,
    compressed: str = "",
    shifted: str = "",
) -> Path:
    """A copy whose entries are aligned as the original's are.

    Args:
        changes: what becomes of the bytes of some entries.
        compressed: a stored entry to compress.
        shifted: a stored entry to put at a boundary of 4 KB that is none of 16 KB.
    """
    with zipfile.ZipFile(apk) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = (changes or {}).get(info.filename, bytes)(old.read(info))
            copy = zipfile.ZipInfo(info.filename)
            copy.compress_type = info.compress_type
            if info.filename == compressed:
                copy.compress_type = zipfile.ZIP_DEFLATED
            elif info.compress_type == zipfile.ZIP_STORED:
                start = new.start_dir + 30 + len(info.filename) + 4
                want = PAGE // 4 if info.filename == shifted else 0
                padding = (want - start) % PAGE
                copy.extra = struct.pack("<HH", 0xD935, padding) + bytes(padding)
            new.writestr(copy, data)
    return target


def manifest(folder: Path, edit: tuple[str, str] = ("", ""), target_sdk: int = 36) -> Change:
    """The binary manifest with some of its source replaced."""
    source = (DEMO / "app/src/main/AndroidManifest.xml").read_text()
    pattern, replacement = edit
    text = re.sub(pattern, replacement, source, count=1) if pattern else source
    assert not pattern or text != source
    (folder / "AndroidManifest.xml").write_text(text)
    command = [str(TOOLS / "linux/aapt2"), "link", "-I", str(TOOLS / "android-framework.jar")]
    command += ["--manifest", str(folder / "AndroidManifest.xml"), "-o", str(folder / "linked.apk")]
    command += ["--min-sdk-version", "26", "--target-sdk-version", str(target_sdk)]
    subprocess.run([*command, str(DEMO / "app/target/linked/res.zip")], check=True)
    binary = zipfile.ZipFile(folder / "linked.apk").read("AndroidManifest.xml")
    return lambda _: binary


def replaced(old: bytes, new: bytes) -> Change:
    """Every `old` becomes `new`, of the same length."""

    def change(data: bytes) -> bytes:
        assert old in data
        assert len(old) == len(new)
        return data.replace(old, new)

    return change


def small_pages(data: bytes) -> bytes:
    """The ELF file with its loaded segments aligned to 4 KB."""
    elf = bytearray(data)
    (table,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    for place in range(table, table + size * count, size):
        if struct.unpack_from("<I", elf, place)[0] == 1:
            struct.pack_into("<Q", elf, place + 48, 4096)
    return bytes(elf)
