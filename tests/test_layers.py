"""Imports point one way: errors/types <- stations (never each other) <- pipeline <- report/cli."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "exporter"
BASE = {"errors", "types", "manifest"}
STATIONS = {"loading", "data", "passes", "quantize", "runtimes", "parity", "device"}
ALLOWED = {
    "errors": set(),
    "types": set(),
    "manifest": {"errors", "types"},
    **{station: BASE - {"manifest"} for station in STATIONS},
    "pipeline": BASE | STATIONS | {"report"},
    "report": BASE,
    # Words for --help come from the station that means them.
    "cli": BASE | STATIONS | {"pipeline", "report"},
}


def imported_layers(source: str) -> set[str]:
    """The top-level parts of exporter that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("exporter"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("exporter.")}
    return found - {"__version__"}


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_point_one_way(path: Path) -> None:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    layer = parts[0]
    if layer == "__init__":
        return
    reached = imported_layers(path.read_text()) - {layer}
    assert reached <= ALLOWED[layer], f"{layer} may not import {sorted(reached - ALLOWED[layer])}"


def test_runtimes_do_not_import_each_other() -> None:
    for path in (PACKAGE / "runtimes").glob("*/*.py"):
        own = path.parent.name
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "exporter.runtimes."
            ):
                part = (node.module or "").split(".")[2]
                assert part in {own, "api", "locate"}, f"{path.name} of {own} imports {part}"


def test_a_wrong_import_is_noticed() -> None:
    assert imported_layers("def f():\n    from exporter.passes import apply") == {"passes"}
    assert imported_layers("from exporter import data") == {"data"}


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
