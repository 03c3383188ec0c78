"""Imports point one way: errors/types <- base <- stations (never each other) <- pipeline <- cli.

`base` is the ground that stations share: plain functions of the standard library, and of torch's
types where a graph is concerned; it knows no station. `report` is a station that reads manifests
and knows of no other. Two arrows go beside that, each to what is light or made to be shared: every
station may ask the catalogue of runtimes what it must know of them, and a runtime may use what
`quantize` decides.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "exporter"
GROUND = {"errors", "types", "base"}
STATIONS = {"loading", "data", "passes", "quantize", "runtimes", "parity", "device", "report"}
ALLOWED = {
    "errors": set(),
    "types": set(),
    "base": GROUND - {"base"},
    "manifest": GROUND,
    **{station: GROUND | {"runtimes"} for station in STATIONS},
    "quantize": GROUND,
    "runtimes": GROUND | {"quantize"},
    "report": GROUND | {"runtimes", "manifest"},
    "pipeline": GROUND | STATIONS | {"manifest"},
    # Words for --help come from the station that means them.
    "cli": GROUND | STATIONS | {"manifest", "pipeline"},
}
CATALOGUE = {"exporter.runtimes", "exporter.runtimes.record"}
"""What stations may import of `runtimes`: it imports no runtime."""
MOST_LINES = 400

FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    parts = ("exporter", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imported(source: str, package: str = "exporter") -> Iterator[str]:
    """The modules of exporter that a module imports, anywhere in it.

    Args:
        source: of the module.
        package: where it lies, which its relative imports start from.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("exporter."))
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            start = ".".join((*(above if node.level else ()), *filter(None, [node.module])))
            if start.split(".")[0] == "exporter":
                names = (f"{start}.{alias.name}" for alias in node.names)
                yield from (name if name in MODULES else start for name in names)


def imports_of(module: str) -> set[str]:
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return set(imported(path.read_text(), package)) - {"exporter"}


def layer_of(module: str) -> str:
    return module.split(".")[1]


BELOW_THE_TOP = [module for module in MODULES if module != "exporter"]


@pytest.mark.parametrize("module", BELOW_THE_TOP)
def test_imports_point_one_way(module: str) -> None:
    layer = layer_of(module)
    reached = {layer_of(other) for other in imports_of(module)} - {layer}
    assert reached <= ALLOWED[layer], f"{layer} may not import {sorted(reached - ALLOWED[layer])}"


def test_stations_know_runtimes_by_the_catalogue() -> None:
    for module in BELOW_THE_TOP:
        if layer_of(module) in STATIONS - {"runtimes"}:
            reached = {other for other in imports_of(module) if layer_of(other) == "runtimes"}
            assert reached <= CATALOGUE, f"{module} imports {reached}"


def test_runtimes_do_not_import_each_other() -> None:
    for module, path in MODULES.items():
        if path.parent.parent == PACKAGE / "runtimes":
            parts = [other.split(".") for other in imports_of(module)]
            reached = {names[2] for names in parts if names[1] == "runtimes" and len(names) > 2}
            assert reached <= {path.parent.name, "api", "record"}, f"{module} imports {reached}"


def test_there_is_no_circle() -> None:
    """Nor one that an import inside a function, or for annotations only, would break open: such a
    pair of modules can be understood and changed only together. That a package is imported before
    what lies in it is left out, as most packages import their own modules."""
    graph = {module: imports_of(module) - {module} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_files_are_short() -> None:
    lengths = {str(p.relative_to(PACKAGE)): len(p.read_text().splitlines()) for p in FILES}
    assert not {name: lines for name, lines in lengths.items() if lines > MOST_LINES}


def test_a_wrong_import_is_noticed() -> None:
    assert set(imported("def f():\n    from exporter.passes import apply")) == {"exporter.passes"}
    assert set(imported("from exporter import data")) == {"exporter.data"}
    assert set(imported("from . import link", "exporter.device")) == {"exporter.device.link"}
    assert set(imported("from ..data import x", "exporter.device")) == {"exporter.data"}
    assert set(imported("import exporter.data.folder")) == {"exporter.data.folder"}
    assert not set(imported("from torch import exporter"))


@pytest.mark.parametrize("command", [None, "export", "verify", "bench", "devices", "emulator"])
def test_help_imports_nothing_heavy(command: str | None) -> None:
    arguments = [command, "--help"] if command else ["--help"]
    code = (
        "import sys\n"
        f"sys.argv = ['export-mobile', *{arguments!r}]\n"
        "from exporter.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'numpy', 'onnxruntime', 'executorch', 'jinja2', 'exporter.manifest'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
