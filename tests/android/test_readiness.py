"""scripts/android_readiness.py holds for what scripts/android.sh builds, and can fail."""

import subprocess
import sys
from pathlib import Path

import pytest

from exporter.errors import UserError
from tests.android import apks
from tests.android.conftest import missing

LIBRARY = "lib/arm64-v8a/libexecutorch.so"


def readiness(*paths: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.android_readiness", *map(str, paths)]
    return subprocess.run(command, cwd=apks.ROOT, capture_output=True, text=True, check=False)


def complaints(apk: Path) -> str:
    done = readiness(apk)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def apk() -> Path:
    try:
        return apks.current()
    except UserError as error:
        missing(error)
        raise


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "changed.apk"


def test_what_is_built_is_ready_and_small(apk: Path) -> None:
    done = readiness(apk, apks.legacy(apk))
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("4 KB: the app refuses") == 4
    assert apk.stat().st_size <= 65e6
    assert apks.legacy(apk).stat().st_size <= 60e6


def test_a_copy_is_wrong_in_its_signature_only(apk: Path, target: Path) -> None:
    found = complaints(apks.changed(apk, target))
    assert found.count(f"{target.name}: It ") == found.count(f"\n{target.name}: ") == 2
    assert "It has no valid signature v2." in found
    assert "It has no valid signature v3." in found


def test_an_entry_at_4_kb(apk: Path, target: Path) -> None:
    found = complaints(apks.changed(apk, target, shifted=LIBRARY))
    assert f"{LIBRARY} is stored at " in found
    assert found.count("no multiple of 16384") == 1


@pytest.mark.parametrize("name", [LIBRARY, "assets/models/digits-deit-mobile/golden.npz"])
def test_a_compressed_entry(apk: Path, target: Path, name: str) -> None:
    assert f"{name} is compressed" in complaints(apks.changed(apk, target, compressed=name))


@pytest.mark.parametrize(
    ("pattern", "text", "complaint"),
    [
        (
            "<application",
            '<uses-permission android:name="android.permission.INTERNET" /><application',
            "It has the permission android.permission.INTERNET",
        ),
        (
            "<activity",
            '<provider android:name="a.B" android:authorities="a" android:exported="false" />'
            "<activity",
            "It has the provider a.B",
        ),
        ("<application", '<application android:debuggable="true"', "It is debuggable"),
        ("<profileable.*/>", "", "It is not profileable"),
    ],
)
def test_a_manifest(apk: Path, target: Path, pattern: str, text: str, complaint: str) -> None:
    edited = apks.manifest(target.parent, (pattern, text))
    assert complaint in complaints(apks.changed(apk, target, {"AndroidManifest.xml": edited}))


def test_another_target_sdk(apk: Path, target: Path) -> None:
    edited = apks.manifest(target.parent, target_sdk=35)
    found = complaints(apks.changed(apk, target, {"AndroidManifest.xml": edited}))
    assert "Its targetSdk is 35, not 36." in found


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            b"Lai/onnxruntime/TensorInfo;",
            b"Lai/onnxruntime/TensorInfX;",
            "looks up ai.onnxruntime.TensorInfo,",
        ),
        (b"dtypeJniCode\0", b"dtypeJniCodX\0", "org.pytorch.executorch.Tensor.dtypeJniCode()I"),
        (b"mHybridData\0", b"mHybridDatX\0", "org.pytorch.executorch.Module.mHybridData:"),
        (b"demo/DrawView;", b"demo/DrawVieX;", "A layout names org.exportmobile.demo.DrawView"),
        (b"executeNative\0", b"executeNativX\0", "No library of the app has the native method"),
    ],
)
def test_a_class_or_member_that_is_gone(
    apk: Path, target: Path, old: bytes, new: bytes, complaint: str
) -> None:
    changes = {"classes.dex": apks.replaced(old, new)}
    assert complaint in complaints(apks.changed(apk, target, changes))


def test_a_library_for_small_pages(apk: Path, target: Path) -> None:
    found = complaints(apks.changed(apk, target, {LIBRARY: apks.small_pages}))
    assert "libexecutorch.so loads only where pages have 4096 bytes or less." in found


def test_a_library_that_is_missing(apk: Path, target: Path) -> None:
    changes = {LIBRARY: apks.replaced(b"libfbjni.so\0", b"libfbjnX.so\0")}
    found = complaints(apks.changed(apk, target, changes))
    assert "libexecutorch.so needs libfbjnX.so" in found


def test_no_apk(tmp_path: Path) -> None:
    (tmp_path / "text.apk").write_text("no zip")
    for path in (tmp_path / "none.apk", tmp_path / "text.apk"):
        done = readiness(path)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert str(path) in done.stderr
