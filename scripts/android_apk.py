"""What stands in an APK: its entries, manifest, native libraries and signature."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import xml.etree.ElementTree as ET
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import lief

from exporter.errors import UserError
from scripts.android_java import DEMO, java

AAPT2 = DEMO / "app/target/tools/prebuilt/linux/aapt2"
PACKAGING = DEMO / "packaging/target"
ANDROID = "{http://schemas.android.com/apk/res/android}"

_LOCAL_HEADER = struct.Struct("<26xHH")
_ELEMENT = re.compile(r"( *)E: ([\w.-]+)")
_ATTRIBUTE = re.compile(r' *A: (?:http\S+:)?(\w+)(?:\(\w+\))?=(?:"(.*?)"(?: \(Raw.*)?|(\S+))$')


@dataclass(frozen=True)
class Entry:
    """A file of the archive; sizes and offsets in bytes."""

    name: str
    stored: bool
    offset: int
    size: int


@dataclass(frozen=True)
class Manifest:
    """What the system reads from the final manifest, or Gradle from a library's own.

    Attributes:
        profileable: by the shell, for simpleperf and Perfetto.
    """

    package: str
    min_sdk: int = 0
    target_sdk: int = 0
    debuggable: bool = False
    profileable: bool = False
    permissions: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Library:
    """A native library; `alignment` is the largest page, in bytes, that it can be loaded with."""

    name: str
    abi: str
    size: int
    alignment: int
    needed: tuple[str, ...]
    binary: lief.ELF.Binary = field(repr=False)


@dataclass(frozen=True)
class Apk:
    """An APK as a whole.

    Attributes:
        views: classes that layouts name.
        dex: each dex file by name.
    """

    path: Path
    entries: tuple[Entry, ...]
    manifest: Manifest
    views: tuple[str, ...]
    libraries: tuple[Library, ...]
    dex: dict[str, bytes] = field(repr=False)


def read_apk(path: Path) -> Apk:
    """Reads all of it.

    Raises:
        UserError: there is no such file, or it is no APK.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = tuple(_entry(archive, info) for info in archive.infolist())
            libraries = tuple(_library(archive, one) for one in entries if one.name.endswith(".so"))
            names = (one.name for one in entries if re.fullmatch(r"classes\d*\.dex", one.name))
            dex = {name: archive.read(name) for name in names}
    except FileNotFoundError as error:
        raise UserError(f"There is no {path}.") from error
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{path} is no APK: {error}.") from error
    if "AndroidManifest.xml" not in {one.name for one in entries}:
        raise UserError(f"{path} is no APK: it has no AndroidManifest.xml.")
    manifest = _parsed(_xml(path, "AndroidManifest.xml"))
    return Apk(path, entries, manifest, _views(path, entries), libraries, dex)


def library_manifest(aar: Path) -> Manifest:
    """What an Android library's own manifest says, which Gradle would merge into the app's."""
    with zipfile.ZipFile(aar) as archive:
        return _parsed(ET.fromstring(archive.read("AndroidManifest.xml")))


def signature_schemes(apk: Path) -> tuple[str, ...]:
    """By which schemes it is signed, such as `v2`, as Google's apksig verifies; none if it is not.

    Raises:
        UserError: the packaging tool is not built.
    """
    listed = PACKAGING / "classpath.txt"
    if not listed.exists():
        raise UserError("The packaging tool is not built here; run scripts/android.sh first.")
    class_path = f"{PACKAGING / 'classes'}:{listed.read_text().strip()}"
    verify = ("org.exportmobile.packaging.MainKt", "verify", apk)
    command = [str(word) for word in (java(), "-cp", class_path, *verify)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return tuple(done.stdout.split()) if done.returncode == 0 else ()


def _entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    # The extra field of the local header differs from the directory's: padding is in it.
    with Path(str(archive.filename)).open("rb") as file:
        file.seek(info.header_offset)
        lengths = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    offset = info.header_offset + _LOCAL_HEADER.size + sum(lengths)
    return Entry(info.filename, info.compress_type == zipfile.ZIP_STORED, offset, info.file_size)


def _library(archive: zipfile.ZipFile, entry: Entry) -> Library:
    binary = lief.ELF.parse(io.BytesIO(archive.read(entry.name)))
    if binary is None:
        raise UserError(f"{entry.name} of {archive.filename} is no ELF file.")
    loads = (part for part in binary.segments if part.type == lief.ELF.Segment.TYPE.LOAD)
    return Library(
        name=Path(entry.name).name,
        abi=Path(entry.name).parent.name,
        size=entry.size,
        alignment=min(part.alignment for part in loads),
        needed=tuple(str(name) for name in binary.libraries),
        binary=binary,
    )


def _views(apk: Path, entries: tuple[Entry, ...]) -> tuple[str, ...]:
    layouts = (one.name for one in entries if re.fullmatch(r"res/layout[^/]*/.+\.xml", one.name))
    tags = {element.tag for layout in layouts for element in _xml(apk, layout).iter()}
    return tuple(sorted(tag for tag in tags if "." in tag))


def _xml(apk: Path, name: str) -> ET.Element:
    if not AAPT2.exists():
        raise UserError("aapt2 is not here; run scripts/android.sh first.")
    command = [str(AAPT2), "dump", "xmltree", "--file", name, str(apk)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"{name} of {apk} cannot be read: {done.stderr.strip()}")
    return _tree(done.stdout)


def _tree(dump: str) -> ET.Element:
    """The XML again, of what `aapt2 dump xmltree` prints of its binary form."""
    root = ET.Element("none")
    path = [(-1, root)]
    for line in dump.splitlines():
        if element := _ELEMENT.match(line):
            depth = len(element[1])
            while path[-1][0] >= depth:
                path.pop()
            path.append((depth, ET.SubElement(path[-1][1], element[2])))
        elif attribute := _ATTRIBUTE.match(line):
            name = attribute[1] if attribute[1] == "package" else ANDROID + attribute[1]
            path[-1][1].set(name, attribute[2] if attribute[2] is not None else attribute[3])
    return root[0]


def _parsed(root: ET.Element) -> Manifest:
    def names(tag: str) -> tuple[str, ...]:
        return tuple(one.get(f"{ANDROID}name", "") for one in root.iter(tag))

    def sdk(which: str) -> int:
        return max(
            (int(one.get(f"{ANDROID}{which}SdkVersion", "0")) for one in root.iter("uses-sdk")),
            default=0,
        )

    return Manifest(
        package=root.get("package", ""),
        min_sdk=sdk("min"),
        target_sdk=sdk("target"),
        debuggable=any(
            one.get(f"{ANDROID}debuggable") == "true" for one in root.iter("application")
        ),
        profileable=any(one.get(f"{ANDROID}shell") == "true" for one in root.iter("profileable")),
        permissions=names("uses-permission")
        + names("uses-permission-sdk-23")
        + names("permission"),
        providers=names("provider"),
    )
