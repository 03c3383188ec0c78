"""Runs the installed command as a user would, and says what a test cannot run without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from exporter.errors import UserError

ROOT = Path(__file__).parent.parent
EXPORT_MOBILE = Path(sys.executable).with_name("export-mobile")


def export_mobile(
    *arguments: object, cwd: Path | None = None, timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """Runs `export-mobile` with `arguments`; its modules are found in `cwd` too."""
    return subprocess.run(
        [str(EXPORT_MOBILE), *map(str, arguments)],
        cwd=cwd or ROOT,
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def missing(what: UserError, variable: str) -> NoReturn:
    """Skips for want of a tool; fails where `variable` promises that everything is there."""
    if os.environ.get(variable) == "1":
        pytest.fail(f"{variable}=1, but: {what}")
    pytest.skip(str(what))
