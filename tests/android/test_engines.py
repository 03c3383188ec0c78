"""Each engine of the app through the unmodified Android library, in a JVM over the bionic shim."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from exporter.types import Signature, TensorSpec
from scripts.android_jvm import EngineError, EngineProcess
from tests.android.agreement import assert_agrees, column, on_host
from tests.android.conftest import Digits
from tests.android.models import MASK, MIXED, ChannelsLast, Image, Mask, Mixed, exported
from tests.command import ROOT

FORMATS = ("pte", "onnx", "tflite", "ptl")
LOADED = "digits"


@pytest.fixture(scope="module", params=FORMATS)
def fmt(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def engine(fmt: str, android_x86: None, digits: Digits) -> Iterator[EngineProcess]:
    """One process for all tests of a format, with the digits loaded: a crash fails them all."""
    with EngineProcess(fmt, deadline_s=120.0) as process:
        process.load(LOADED, digits.path(fmt), digits.manifest.signature)
        yield process


def test_digits_as_on_the_host(
    fmt: str, engine: EngineProcess, digits: Digits, tmp_path: Path
) -> None:
    samples = digits.golden.samples
    host = on_host(fmt, digits.path(fmt), samples, tmp_path)
    got = engine.run(LOADED, samples)
    assert_agrees(fmt, host, got)
    original = column(digits.golden.outputs).argmax(-1)
    np.testing.assert_array_equal(column(got).argmax(-1), original)


def test_two_models_and_threads_at_once(engine: EngineProcess, fmt: str, digits: Digits) -> None:
    sample = digits.golden.samples[0]
    (before,) = engine.run(LOADED, [sample])
    engine.load("second", digits.path(fmt), digits.manifest.signature, threads=2)
    (second,) = engine.run("second", [digits.golden.samples[1]])
    (after,) = engine.run(LOADED, [sample])
    np.testing.assert_array_equal(before[0], after[0])
    assert not np.array_equal(second[0], after[0])
    engine.close("second")
    engine.close("second")
    with pytest.raises(EngineError, match="closed"):
        engine.run("second", [sample])
    np.testing.assert_array_equal(engine.run(LOADED, [sample])[0][0], before[0])


def test_times_are_of_every_run(engine: EngineProcess, digits: Digits) -> None:
    timing = engine.time(LOADED, digits.golden.samples[0], runs=7, warmup=2)
    assert len(timing.samples) == 7
    assert all(sample > 0 for sample in (timing.cold, *timing.samples))


@pytest.mark.parametrize("content", ["garbage", "empty", "missing"])
def test_no_model_file(
    engine: EngineProcess, fmt: str, digits: Digits, tmp_path: Path, content: str
) -> None:
    path = tmp_path / f"bad.{fmt}"
    if content != "missing":
        path.write_bytes(b"garbage" * 1000 if content == "garbage" else b"")
    with pytest.raises(EngineError, match=re.escape(path.name)) as refusal:
        engine.load("bad", path, digits.manifest.signature)
    assert_sentence(str(refusal.value))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_truncated(
    engine: EngineProcess, fmt: str, digits: Digits, tmp_path: Path, share: float
) -> None:
    whole = digits.path(fmt).read_bytes()
    path = tmp_path / f"cut.{fmt}"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(EngineError, match=re.escape(path.name)) as refusal:
        engine.load("bad", path, digits.manifest.signature)
    assert_sentence(str(refusal.value))


def test_inputs_that_do_not_fit(engine: EngineProcess, digits: Digits) -> None:
    (pixels,) = digits.golden.samples[0]
    for given, what in (
        ((pixels[:, :, 1:],), "1x1x27x28"),
        ((pixels[0],), "1x28x28"),
        ((pixels.astype(np.float64),), "float64"),
        ((pixels, pixels), "1 input, not 2"),
    ):
        with pytest.raises(EngineError, match=what) as refusal:
            engine.run(LOADED, [given])
        assert_sentence(str(refusal.value))


def test_a_signature_of_another_model(engine: EngineProcess, fmt: str, digits: Digits) -> None:
    own = digits.manifest.signature
    two = replace(own, inputs=(*own.inputs, TensorSpec("more", (1,), "float32")))
    with pytest.raises(EngineError) as refusal:
        engine.load("bad", digits.path(fmt), two)
        engine.run("bad", [(*digits.golden.samples[0], np.zeros(1, np.float32))])
    assert_sentence(str(refusal.value))
    more = replace(own, outputs=(*own.outputs, TensorSpec("more", (1,), "float32")))
    with pytest.raises(EngineError) as refusal:
        engine.load("bad", digits.path(fmt), more)
        engine.run("bad", digits.golden.samples[:1])
    assert_sentence(str(refusal.value))


def test_several_inputs_and_outputs(engine: EngineProcess, fmt: str, tmp_path: Path) -> None:
    path, signature = exported(fmt, Mixed(), MIXED, tmp_path)
    engine.load("mixed", path, signature)
    first = tuple(x.numpy() for x in MIXED)
    second = (first[0] + 1, first[1] - 7, np.float32(3) + 0 * first[2])
    got = engine.run("mixed", [first, second])
    for sample, outputs in zip((first, second), got, strict=True):
        wanted = Mixed()(*map(torch.as_tensor, sample))
        assert [o.dtype.name for o in outputs] == ["float32", "int64", "float32"]
        for a, b in zip(wanted, outputs, strict=True):
            np.testing.assert_allclose(b, a.numpy(), rtol=1e-6, strict=True)


def test_int64_beyond_what_the_file_stores(engine: EngineProcess, fmt: str, tmp_path: Path) -> None:
    path, signature = exported(fmt, Mixed(), MIXED, tmp_path)
    engine.load("mixed", path, signature)
    x, tokens, scale = (x.numpy() for x in MIXED)
    large = np.full_like(tokens, 1 << 40)
    if fmt == "tflite":
        with pytest.raises(EngineError, match=f"{1 << 40}, and the file stores 32 bits"):
            engine.run("mixed", [(x, large, scale)])
    else:
        (outputs,) = engine.run("mixed", [(x, large, scale)])
        np.testing.assert_array_equal(outputs[1], 2 * large)


def test_bool_in_and_out(engine: EngineProcess, fmt: str, tmp_path: Path) -> None:
    path, signature = exported(fmt, Mask(), MASK, tmp_path)
    if fmt in ("pte", "ptl"):
        with pytest.raises(EngineError, match="takes no bool input"):
            engine.load("mask", path, signature)
        return
    engine.load("mask", path, signature)
    (outputs,) = engine.run("mask", [tuple(x.numpy() for x in MASK)])
    for a, b in zip(Mask()(*MASK), outputs, strict=True):
        np.testing.assert_array_equal(b, a.numpy(), strict=True)


def test_a_picture_keeps_its_order(engine: EngineProcess, fmt: str, tmp_path: Path) -> None:
    # Only in .ptl may a tensor leave the model with its channels last.
    for module in (Image(), ChannelsLast()) if fmt == "ptl" else (Image(),):
        x = torch.rand(2, 3, 8, 8)
        path, signature = exported(fmt, module, (x,), tmp_path)
        engine.load("image", path, signature)
        ((got,),) = engine.run("image", [(x.numpy(),)])
        with torch.no_grad():
            np.testing.assert_allclose(got, module(x).numpy(), atol=1e-5)


def test_types_that_no_library_has_in_java(engine: EngineProcess, fmt: str, digits: Digits) -> None:
    for dtype in ("float16", "int16"):
        spec = replace(digits.manifest.signature.inputs[0], dtype=dtype)
        changed = Signature((spec,), digits.manifest.signature.outputs)
        with pytest.raises(EngineError) as refusal:
            engine.load("bad", digits.path(fmt), changed)
            pixels = digits.golden.samples[0][0]
            engine.run("bad", [(pixels.astype(dtype),)])
        assert_sentence(str(refusal.value))


def test_who_may_load_the_library(engine: EngineProcess, fmt: str) -> None:
    assert engine.refusal() is None
    large = engine.refusal(page_size=16384)
    old = engine.refusal(atomics=False)
    wide = engine.refusal(avx512=True)
    assert (large is None) == (fmt in ("pte", "onnx"))
    assert (old is None) == (fmt != "pte")
    assert (wide is None) == (fmt != "tflite")
    for said in (large, old, wide):
        assert said is None or assert_sentence(said)


def test_the_version_is_the_poms(engine: EngineProcess, fmt: str) -> None:
    pom = (ROOT / "android_demo/pom.xml").read_text()
    names = {
        "pte": "executorch.npm",
        "onnx": "onnxruntime",
        "tflite": "tflite",
        "ptl": "pytorch",
    }
    (version,) = re.findall(f"<{names[fmt]}.version>(.*)</", pom)
    assert engine.library.endswith(f" {version}")


def assert_sentence(said: str) -> bool:
    """It is one line, ends as a sentence, and names no folder or Java class."""
    assert re.fullmatch(r"[^\n]{10,400}\.", said), said
    assert "/" not in said, said
    assert "Exception" not in said, said
    return True
