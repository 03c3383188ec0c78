"""Says whether APKs of the demo are fit to be installed, and prints what is in them.

    python -m scripts.android_readiness android_demo/target/export-mobile-demo.apk ...

Exit code 1: something does not hold; each thing is a sentence. 2: an APK cannot be read.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from exporter.errors import UserError
from scripts.android_apk import Apk, Library, library_manifest, read_apk, signature_schemes
from scripts.android_classes import JavaClass, Member, class_files, dex_classes
from scripts.android_java import DEMO
from scripts.android_lookups import lost, native_names, unbound

PAGE = 16384
"""Bytes: the largest page of an Android device."""
MIN_SDK, TARGET_SDK = 26, 36
DEX_LIMIT = 500_000
"""Bytes."""
MODELS = (".npz", ".onnx", ".pte", ".ptl", ".tflite")

ORIGINS: dict[str, dict[str, tuple[str, str]]] = {
    "current": {
        "libexecutorch.so": ("ExecuTorch, react-native-executorch", "executorch.npm.version"),
        "libfbjni.so": ("fbjni", "fbjni.version"),
        "libc++_shared.so": ("fbjni", "fbjni.version"),
        "libonnxruntime.so": ("ONNX Runtime", "onnxruntime.version"),
        "libonnxruntime4j_jni.so": ("ONNX Runtime", "onnxruntime.version"),
        "libtensorflowlite_jni.so": ("TensorFlow Lite", "tflite.version"),
    },
    "legacy": {
        "libpytorch_jni_lite.so": ("PyTorch Lite", "pytorch.version"),
        "libfbjni.so": ("PyTorch Lite", "pytorch.version"),
        "libc++_shared.so": ("PyTorch Lite", "pytorch.version"),
    },
}
"""Which library brings a file, and the property of pom.xml with its version, by flavour."""

VIEW_ARGUMENTS = "(Landroid/content/Context;Landroid/util/AttributeSet;)V"
"""Of the constructor that Android calls for a view of a layout."""

SMALL_PAGES = {("TensorFlow Lite", "2.16.1"), ("PyTorch Lite", "1.12.2")}
"""Released for pages of 4 KB only; the app refuses to load them where pages are larger."""

SYSTEM = frozenset(
    f"lib{name}.so"
    for name in (
        *("aaudio", "amidi", "android", "binder_ndk", "c", "camera2ndk", "dl", "EGL", "GLESv1_CM"),
        *("GLESv2", "GLESv3", "icu", "jnigraphics", "log", "m", "mediandk", "nativehelper"),
        *("nativewindow", "neuralnetworks", "OpenMAXAL", "OpenSLES", "stdc++", "sync", "vulkan"),
        "z",
    )
)
"""What an app may link of Android itself: the NDK's stable libraries."""


def flavour(apk: Apk) -> str:
    """Which app it is."""
    return "legacy" if apk.manifest.package.endswith(".legacy") else "current"


def origin(apk: Apk, library: Library) -> tuple[str, str]:
    """Name and version of what brings the library; empty for none that is known."""
    name, version = ORIGINS[flavour(apk)].get(library.name, ("", ""))
    root = ET.parse(DEMO / "pom.xml").getroot()
    return name, root.findtext(f"{{*}}properties/{{*}}{version}", "") if version else ""


def archive_problems(apk: Apk) -> Iterator[str]:
    """Entries that the system cannot map straight from the file."""
    for entry in apk.entries:
        if not entry.stored and entry.name.endswith((".so", *MODELS)):
            yield f"{entry.name} is compressed, so that it cannot be mapped."
        if entry.stored and entry.size and entry.offset % PAGE:
            yield f"{entry.name} is stored at {entry.offset}, which is no multiple of {PAGE}."


def manifest_problems(apk: Apk) -> Iterator[str]:
    """What the final manifest has that it must not, or lacks."""
    manifest = apk.manifest
    for name in manifest.permissions:
        yield f"It has the permission {name}; it needs none."
    for name in manifest.providers:
        yield f"It has the provider {name}; it needs none."
    if manifest.debuggable:
        yield "It is debuggable, and therefore slower than what users get."
    if not manifest.profileable:
        yield "It is not profileable by the shell, so that nobody can measure it on a phone."
    for title, value, wanted in (
        ("minSdk", manifest.min_sdk, MIN_SDK),
        ("targetSdk", manifest.target_sdk, TARGET_SDK),
    ):
        if value != wanted:
            yield f"Its {title} is {value}, not {wanted}."


def library_problems(apk: Apk) -> Iterator[str]:
    """Native libraries that some device cannot load."""
    present = {library.name for library in apk.libraries}
    for name in ORIGINS[flavour(apk)].keys() - present:
        yield f"{name} is missing."
    for library in apk.libraries:
        source = origin(apk, library)
        if not source[0]:
            yield f"{library.name} is of no library that belongs into this app."
        if library.alignment < PAGE and source not in SMALL_PAGES:
            yield f"{library.name} loads only where pages have {library.alignment} bytes or less."
        for name in library.needed:
            if name not in present and name not in SYSTEM:
                yield f"{library.name} needs {name}, which is neither in the app nor in Android."


def code_problems(apk: Apk) -> Iterator[str]:
    """What R8 should not have taken away, and dex that is too large."""
    for name, data in apk.dex.items():
        if len(data) > DEX_LIMIT:
            yield f"{name} has {len(data)} bytes, more than {DEX_LIMIT}."
    folder = DEMO / "engines" / flavour(apk) / "target/classes"
    reference = class_files(folder)
    if not reference:
        raise UserError(f"There are no class files in {folder}.", "Run scripts/android.sh first.")
    kept: dict[str, JavaClass] = {}
    for data in apk.dex.values():
        kept |= dex_classes(data)
    known = {library.name: native_names(library.binary) for library in apk.libraries}
    for library, names in known.items():
        for one in lost(names, reference, kept):
            yield f"{library} looks up {one}, which is not in the dex."
    for view in apk.views:
        made = Member(view.replace(".", "/"), "<init>", VIEW_ARGUMENTS)
        if made.owner not in kept or made not in kept[made.owner].members:
            yield f"A layout names {view}, whose constructor is not in the dex."
    for native in unbound(known.values(), kept.values()):
        # Of PyTorch's larger library; PyTorch Lite keeps it by annotation and never uses it.
        if not native.startswith("org.pytorch.NativePeer."):
            yield f"No library of the app has the native method {native}."


def signature_problems(apk: Apk) -> Iterator[str]:
    """A signature that some Android does not take."""
    schemes = signature_schemes(apk.path)
    for scheme in ("v2", "v3"):
        if scheme not in schemes:
            yield f"It has no valid signature {scheme}."


CHECKS: dict[str, Callable[[Apk], Iterator[str]]] = {
    "Zip: 16 KB alignment, libraries and models stored": archive_problems,
    "Manifest: permissions, providers, SDK levels, profiling": manifest_problems,
    "Native libraries: pages of 16 KB, all they need is there": library_problems,
    "Dex: size, and all that native code looks up by name": code_problems,
    "Signature: v2 and v3": signature_problems,
}


def libraries_table(apk: Apk) -> Table:
    """A row for every native library."""
    table = Table(
        "Library", "Of", "ABI", "MB", "Pages", "Needs", title=f"Native code of {apk.path.name}"
    )
    for library in apk.libraries:
        name, version = origin(apk, library)
        pages = f"{library.alignment // 1024} KB"
        if (name, version) in SMALL_PAGES and library.alignment < PAGE:
            pages += ": the app refuses it on larger ones"
        size = f"{library.size / 1e6:.2f}"
        needs = " ".join(library.needed)
        table.add_row(library.name, f"{name} {version}", library.abi, size, pages, needs)
    return table


def app_table(apk: Apk, problems: dict[str, list[str]]) -> Table:
    """What the app is, what its libraries would have brought in, and how the checks went."""
    manifest = apk.manifest
    table = Table("", "", title=f"{apk.path.name}: {manifest.package}")
    table.add_row("Size", f"{apk.path.stat().st_size / 1e6:.1f} MB")
    table.add_row(
        "Dex", ", ".join(f"{name} {len(data) / 1e6:.3f} MB" for name, data in apk.dex.items())
    )
    table.add_row("SDK levels", f"min {manifest.min_sdk}, target {manifest.target_sdk}")
    table.add_row("Permissions", ", ".join(manifest.permissions) or "none")
    table.add_row("Providers", ", ".join(manifest.providers) or "none")
    for aar in sorted((DEMO / "engines" / flavour(apk) / "target/aar").glob("*.aar")):
        own = library_manifest(aar)
        brings = ", ".join(own.permissions + own.providers) or "no permission, no provider"
        table.add_row(f"{aar.name} alone", f"{brings}; min {own.min_sdk}")
    table.add_section()
    for title, found in problems.items():
        table.add_row(title, f"[red]{len(found)} wrong[/red]" if found else "[green]holds[/green]")
    return table


def main(paths: list[str]) -> int:
    """Checks every APK; gives the exit code."""
    if not paths or any(path.startswith("-") for path in paths):
        print(__doc__, file=sys.stderr)
        return 2
    console = Console(width=None if sys.stdout.isatty() else 140)
    failed = False
    for path in paths:
        try:
            apk = read_apk(Path(path))
            problems = {title: list(check(apk)) for title, check in CHECKS.items()}
            tables = libraries_table(apk), app_table(apk, problems)
        except UserError as error:
            print(f"android_readiness: {error}", file=sys.stderr)
            return 2
        console.print(*tables, sep="\n")
        for sentence in (one for found in problems.values() for one in found):
            failed = True
            print(f"{apk.path.name}: {sentence}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
