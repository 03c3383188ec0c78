"""Builds the shim that Android's native libraries run over; see android_demo/jvm/bionic/README.md.

Its sources say by `BIONIC(result, name)` which functions they define. All others that the libraries
import from bionic become trampolines to glibc's functions of the same name.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from exporter.device import cache
from exporter.errors import UserError

SOURCES = Path(__file__).resolve().parent.parent / "android_demo/jvm/bionic"
ABIS: Mapping[str, tuple[str, str]] = {
    "x86_64": ("gcc", "gcc libc6-dev"),
    "arm64-v8a": (
        "aarch64-linux-gnu-gcc",
        "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    ),
}
"""Android's name -> the compiler, and the Debian packages that have it."""

GUARD = "libguard.so"
"""To be preloaded on arm64."""

_COMPANIONS = ("m", "dl", "log", "android")
"""What bionic has in other libraries; ours are empty, for `libc.so` has it all."""

_X86_ONLY = ("quad",)
_PLAIN = ("open", "guard")
"""Sources that stand for nothing of bionic's."""

_COMPILE = (
    *("-O1", "-g0", "-fPIC", "-Wall", "-Wextra", "-fvisibility=hidden"),
    # A function that calls glibc's of its own name must not become a call to itself.
    *("-fno-builtin", "-fno-toplevel-reorder", "-U_FORTIFY_SOURCE"),
)
_DEFINITION = re.compile(r"^BIONIC(?:_DATA)?\([^,]+, (\w+)\)", re.MULTILINE)

Imports: TypeAlias = dict[str, set[str]]
"""Function -> the versions that it is asked for under."""


def prepare(abi: str, libraries: Sequence[Path], java_home: Path) -> Path:
    """The folder with the shim's libraries for an ABI, built once.

    Args:
        abi: as Android names it.
        libraries: Android's, whose imports the shim must give.
        java_home: of a JDK, whose headers are used.

    Raises:
        UserError: a compiler or the headers are missing.
    """
    compiler, packages = ABIS[abi]
    if shutil.which(compiler) is None or shutil.which("readelf") is None:
        raise UserError(f"{compiler} is missing.", f"apt-get install {packages}")
    if not (java_home / "include/jni.h").is_file():
        raise UserError(
            f"The JDK's headers are missing below {java_home}.",
            "apt-get install openjdk-17-jdk-headless",
        )
    imports = imported(libraries)
    asked = sorted(f"{name}@{version}" for name in imports for version in imports[name])
    key = cache.digest(abi, *asked, Path(__file__), *sorted(SOURCES.glob("*.[ch]")))

    def build(folder: Path) -> None:
        _build(abi, imports, java_home, folder)

    return cache.entry("bionic", key, build)


def imported(libraries: Iterable[Path]) -> Imports:
    """What libraries import from bionic."""
    found: Imports = {}
    for library in libraries:
        command = ["readelf", "--dyn-syms", "-W", str(library)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            # number, value, size, type, binding, visibility, section, name
            fields = line.split()
            if len(fields) >= 8 and fields[6] == "UND":
                name, _, version = fields[7].partition("@")
                if version.startswith("LIBC"):
                    found.setdefault(name, set()).add(version)
    return found


def defined(source: Path) -> list[str]:
    """What a source of the shim defines in bionic's stead."""
    return _DEFINITION.findall(source.read_text())


def aliases(names: Iterable[str], imports: Imports) -> str:
    """Gives each definition bionic's name, under every version that is asked for.

    liblog and libandroid are referred to without a version: theirs becomes the default one.
    """
    lines = []
    for name in names:
        at = "@@" if name.startswith(("__android_log", "A")) else "@"
        for version in sorted(imports.get(name, {"LIBC"})):
            # One name of the assembler's own for each version.
            alias = f"b_{name}_{version}"
            for order in (
                f".globl {alias}",
                f".set {alias}, b_{name}",
                f".symver {alias}, {name}{at}{version}",
            ):
                lines.append(f'__asm__("{order}");\n')
    return "".join(lines)


def trampolines(abi: str, imports: Imports, own: set[str]) -> str:
    """Assembler that jumps to glibc for everything that is not defined here."""
    blocks = [".text\n"]
    for name in sorted(imports.keys() - own):
        for version in sorted(imports[name]):
            label = f"t_{name}_{version}"
            blocks.append(
                f".p2align 4\n.globl {label}\n.type {label}, %function\n{label}:\n"
                f"{_jump(abi, name)}"
                f".size {label}, .-{label}\n.symver {label}, {name}@{version}\n"
            )
    blocks.append('.section .note.GNU-stack,"",%progbits\n')
    return "".join(blocks)


def _jump(abi: str, name: str) -> str:
    if abi == "x86_64":
        return f"jmp *{name}@GOTPCREL(%rip)\n"
    # x16 is what a linker's own trampolines may use.
    return f"adrp x16, :got:{name}\nldr x16, [x16, :got_lo12:{name}]\nbr x16\n"


def _version_script(imports: Imports) -> str:
    others = {version for asked in imports.values() for version in asked} - {"LIBC"}
    nodes = [f"{version} {{ }};\n" for version in sorted(others)]
    return "".join(["LIBC { global: Java_*; local: t_*; b_*; };\n", *nodes])


def _build(abi: str, imports: Imports, java_home: Path, folder: Path) -> None:
    left_out = _PLAIN if abi == "x86_64" else (*_PLAIN, *_X86_ONLY)
    sources = [source for source in sorted(SOURCES.glob("*.c")) if source.stem not in left_out]
    own: set[str] = set()
    for source in sources:
        names = defined(source)
        own.update(names)
        (folder / f"aliases_{source.stem}.h").write_text(aliases(names, imports))
    (folder / "trampolines.S").write_text(trampolines(abi, imports, own))
    (folder / "versions.map").write_text(_version_script(imports))
    headers = [f"-I{path}" for path in (folder, java_home / "include", java_home / "include/linux")]
    objects = []
    for source in (*sources, SOURCES / "open.c", folder / "trampolines.S"):
        objects.append(str(folder / f"{source.stem}.o"))
        _compile(abi, *_COMPILE, *headers, "-c", str(source), "-o", objects[-1])
    _link(abi, folder, "c", "-Wl,-z,defs", "-Wl,-z,now", *objects, "-lm", "-ldl", "-lpthread")
    for name in _COMPANIONS:
        _link(abi, folder, name, "-nostdlib", "-x", "c", "/dev/null")
    if abi != "x86_64":
        guard = str(SOURCES / "guard.c")
        _compile(abi, "-shared", "-fPIC", guard, "-o", str(folder / GUARD))


def _link(abi: str, folder: Path, name: str, *inputs: str) -> None:
    file = f"lib{name}.so"
    _compile(
        abi,
        *("-shared", f"-Wl,-soname,{file}", "-Wl,-z,nodelete"),
        f"-Wl,--version-script={folder / 'versions.map'}",
        *("-o", str(folder / file), *inputs),
    )


def _compile(abi: str, *arguments: str) -> None:
    done = subprocess.run([ABIS[abi][0], *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the bionic shim for {abi} does not build:\n{done.stderr}")
