"""Each runtime's engine stands alone, as it is taken to devices, and has what the agent calls."""

from __future__ import annotations

import ast
import inspect
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import exporter.runtimes
from exporter.device.agent.engine import Engine
from exporter.types import Format

FOLDERS = {format: Path(str(exporter.runtimes.__file__)).parent / format.value for format in Format}


def foreign(path: Path) -> set[str]:
    """What a file imports besides the standard library, numpy and engine files beside it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + str(node.module))
    beside = {f".{file.stem}" for file in path.parent.glob("engine*.py")}
    allowed = sys.stdlib_module_names | {"numpy"}
    return {name for name in found - beside if name.split(".")[0] not in allowed}


@pytest.mark.parametrize("format", Format)
def test_it_imports_nothing_of_the_exporter(format: Format) -> None:
    for path in FOLDERS[format].glob("engine*.py"):
        assert foreign(path) == set()


def test_a_wrong_import_is_noticed(tmp_path: Path) -> None:
    wrong = (
        "import json, torch\nfrom .run import x\ndef f():\n    from exporter.types import Format\n"
    )
    (tmp_path / "engine.py").write_text(wrong + "from .engine_more import y\n")
    (tmp_path / "engine_more.py").touch()
    assert foreign(tmp_path / "engine.py") == {"torch", ".run", "exporter.types"}


@pytest.mark.parametrize("format", Format)
def test_it_loads_where_only_numpy_is(format: Format, tmp_path: Path) -> None:
    """As on a device, but for the runtime, which it imports when it is made."""
    package = tmp_path / "engines"
    package.mkdir()
    (package / "__init__.py").touch()
    for path in FOLDERS[format].glob("engine*.py"):
        shutil.copy(path, package)
    home = Path(str(np.__file__)).parent
    for folder in (home, *home.parent.glob("numpy.libs")):
        (tmp_path / folder.name).symlink_to(folder)
    code = "from engines.engine import Engine; import sys; print('exporter' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", code],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr


@pytest.mark.parametrize("format", Format)
def test_it_has_what_the_agent_calls(format: Format) -> None:
    made = import_module(f"exporter.runtimes.{format}.engine").Engine
    for name, method in inspect.getmembers(Engine, inspect.isfunction):
        if name == "__init__" or not name.startswith("_"):
            wanted = list(inspect.signature(method).parameters)
            given = list(inspect.signature(getattr(made, name)).parameters)
            assert given[: len(wanted)] == wanted, name
