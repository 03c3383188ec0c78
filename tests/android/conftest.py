"""What the engines' tests run on: the app's built classes, a JVM, and the digits DeiT."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from exporter.data.golden import Golden, read_golden
from exporter.errors import UserError
from exporter.manifest import Manifest
from exporter.types import Format
from scripts import android_java
from tests import command
from tests.command import ROOT, export_mobile

REQUIRED = "EXPORT_MOBILE_REQUIRE_ANDROID"
QUICKSTART = ROOT / "digits-deit-mobile"
missing = partial(command.missing, variable=REQUIRED)


def _require(abi: str) -> None:
    try:
        for fmt in android_java.FLAVOURS:
            android_java.command(fmt, abi, None)
    except UserError as error:
        missing(error)


@pytest.fixture(scope="session")
def android_x86() -> None:
    """The Android libraries for x86-64 can be run; skips with the remedy if not."""
    _require("x86_64")


@pytest.fixture(scope="session")
def android_arm64() -> None:
    """Those for arm64 can be run under emulation; skips with the remedy if not."""
    _require("arm64-v8a")


@dataclass(frozen=True)
class Digits:
    """The digits DeiT in int8, in all formats."""

    folder: Path
    manifest: Manifest
    golden: Golden

    def path(self, fmt: str) -> Path:
        (name,) = (a.file for a in self.manifest.artifacts if a.format is Format(fmt))
        assert name
        return self.folder / name


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    """What the quickstart makes, made first if it is not there."""
    folder = QUICKSTART
    if not (folder / "manifest.json").is_file():
        folder = tmp_path_factory.mktemp("digits") / "out"
        data = ROOT / "models/digits_calibration.npz"
        few = ("--int8", "--calibration", data, "--limit", 64, "--runs", 5, "--quiet")
        done = export_mobile(ROOT / "models/digits_deit_traced.pt", *few, "--output", folder)
        assert done.returncode == 0, done.stderr
    return Digits(
        folder, Manifest.read(folder / "manifest.json"), read_golden(folder / "golden.npz")
    )
