"""The manifest: what is written can be read, and what is damaged is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from exporter.errors import UserError
from exporter.manifest import SCHEMA_REVISION, SCHEMA_VERSION, DeviceResult, Manifest, Needs
from exporter.types import FP32, Format, Parity, Where
from tests.report import sample


def damaged(folder: Path, *steps: str | int, value: Any) -> str:
    """The message about a sample manifest with one field set (or, with `...`, removed)."""
    document = json.loads(sample.manifest().to_json())
    inner = document
    for step in steps[:-1]:
        inner = inner[step]
    if value is ...:
        del inner[steps[-1]]
    else:
        inner[steps[-1]] = value
    path = folder / "manifest.json"
    path.write_text(json.dumps(document))
    with pytest.raises(UserError) as caught:
        Manifest.read(path)
    return caught.value.message


def test_written_and_read_again_is_the_same(tmp_path: Path) -> None:
    before = sample.manifest(sample.passed(Format.PTE), sample.failed(Format.ONNX))
    path = tmp_path / "manifest.json"
    before.write(path)
    assert Manifest.read(path) == before
    assert list(tmp_path.iterdir()) == [path]  # no temporary file stays
    first = path.read_bytes()
    Manifest.read(path).write(path)
    assert path.read_bytes() == first


def test_json_has_what_readers_look_for() -> None:
    document = json.loads(sample.manifest(sample.passed(Format.PTE)).to_json())
    artifact = document["artifacts"][0]
    assert document["schema_version"] == SCHEMA_VERSION
    assert artifact["delegation"]["share"] == pytest.approx(418 / 444, abs=1e-4)
    assert artifact["latency_ms"].keys() >= {"p50", "p90", "min", "runs", "threads", "where"}
    assert artifact["parity"]["reference_accuracy"] == 0.975


def test_needs_are_flat_and_older_manifests_have_none(tmp_path: Path) -> None:
    document = json.loads(sample.manifest(sample.lacking(Format.PTL)).to_json())
    needs = document["artifacts"][0].pop("needs")
    assert needs == {"facts": sample.NEEDS[Format.PTL], "lacking": [sample.LACKING]}
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(document))
    assert Manifest.read(path).artifacts[0].needs == Needs(facts={}, lacking=())


def test_lists_of_numbers_take_one_line() -> None:
    text = sample.manifest().to_json()
    assert '"shape": [1, 3, 224, 224]' in text


@pytest.mark.parametrize(
    ("steps", "value", "said"),
    [
        (("surprise",), 1, "surprise: unknown field"),
        (("artifacts", 0, "parity", "mse"), 0.1, "artifacts[0].parity.mse: unknown field"),
        (("artifacts", 1, "format"), ..., "artifacts[1].format: missing"),
        (("artifacts", 1, "parity", "cosine"), ..., "artifacts[1].parity.cosine: missing"),
        (("artifacts", 0, "needs", "more"), 1, "artifacts[0].needs.more: unknown field"),
        (("artifacts", 0, "needs", "facts"), {"opset": 20}, "artifacts[0].needs.facts.opset"),
        (("artifacts", 0, "format"), "mlmodel", "artifacts[0].format: input should be 'ptl'"),
        (("artifacts", 0, "bytes"), "12", "artifacts[0].bytes: input should be a valid integer"),
        (("artifacts", 0, "bytes"), -1, "artifacts[0].bytes"),
        (("artifacts", 0, "sha256"), "abc", "artifacts[0].sha256"),
        (("artifacts", 0, "file"), "../../elsewhere.ptl", "artifacts[0].file"),
        (("artifacts", 0, "file"), "..", "artifacts[0].file"),
        (("artifacts", 0, "file"), None, "artifacts[0]: verdict is pass, but missing: file"),
        (("artifacts", 0, "parity"), None, "verdict is pass, but missing: parity"),
        (("artifacts", 0, "verdict"), "fail", "verdict is fail, but reason is missing"),
        (("artifacts", 0, "parity", "sqnr_db"), float("nan"), "artifacts[0].parity.sqnr_db"),
        (("artifacts", 0, "latency_ms", "p50"), float("inf"), "artifacts[0].latency_ms.p50"),
        (("artifacts", 0, "tolerance", "atol"), float("nan"), "artifacts[0].tolerance.atol"),
        (("preprocessing", "mean"), [0.5, float("nan")], "preprocessing.mean"),
        (("evaluation", "random"), True, "evidence is evaluation data"),
        (("created",), "yesterday", "created"),
        (("schema_version",), 1, "has schema version 1, this tool reads 2"),
        (("schema_version",), ..., "schema_version: missing"),
    ],
)
def test_damage_is_refused_by_the_name_of_the_field(
    tmp_path: Path, steps: tuple[str | int, ...], value: Any, said: str
) -> None:
    assert said in damaged(tmp_path, *steps, value=value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"schema_version": 2}'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"manifest\.json"):
        Manifest.read(path)


@pytest.mark.parametrize(
    ("steps", "value", "said"),
    [
        (("runs", 0, "latency_ms"), ..., "has wall time of an emulated device"),
        (("runs", 0, "load_ms"), 12.5, "has wall time of an emulated device"),
        (("where",), "host", "where is host, which is no device"),
        (("runs", 0, "verdict"), "fail", "verdict is fail"),
        (("runs", 0, "parity"), None, "verdict is pass, but missing: parity"),
        (("runs", 0, "threads"), 0, "devices[1].runs[0].threads"),
        (("runs", 0, "file"), "../x.pte", "devices[1].runs[0].file"),
        (("runs", 0, "instructions", "median"), 1.5, "devices[1].runs[0].instructions.median"),
        (("name",), "pixel", "devices holds pixel twice"),
    ],
)
def test_damage_to_a_device_is_refused(
    tmp_path: Path, steps: tuple[str | int, ...], value: Any, said: str
) -> None:
    document = json.loads(sample.with_devices().to_json())
    phone, inner = document["devices"]
    for step in steps[:-1]:
        inner = inner[step]
    inner[steps[-1]] = phone["runs"][0]["latency_ms"] if value is ... else value
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(document))
    with pytest.raises(UserError) as caught:
        Manifest.read(path)
    assert said in caught.value.message


def test_a_real_device_has_no_emulated_latency() -> None:
    phone = sample.phone(sample.manifest())
    latency = phone.runs[0].latency_ms
    assert latency
    wrong = phone.runs[0].model_copy(update={"latency_ms": replace(latency, where=Where.EMULATED)})
    with pytest.raises(ValidationError, match="has latency of emulated"):
        DeviceResult.model_validate({**dict(phone), "runs": (wrong,)})


def later(folder: Path, document: dict[str, Any]) -> Path:
    """A file of the next revision, with fields that no reader of this one knows."""
    document["schema_revision"] = SCHEMA_REVISION + 1
    document["novelty"] = {"a": 1}
    document["artifacts"][0]["layers"][0]["novelty"] = [1]
    document["artifacts"][1]["delegation"]["novelty"] = 2
    path = folder / "manifest.json"
    path.write_text(json.dumps(document))
    return path


def test_what_a_later_revision_added_is_left_out_and_never_written_over(tmp_path: Path) -> None:
    base = sample.manifest(sample.passed(Format.PTL), sample.passed(Format.PTE))
    found = Manifest.read(path := later(tmp_path, json.loads(base.to_json())))
    assert found.model_copy(update={"schema_revision": SCHEMA_REVISION}) == base
    before = path.read_bytes()
    with pytest.raises(UserError, match="newer export-mobile"):
        found.write(path)
    assert path.read_bytes() == before


def test_damage_in_a_later_revision_is_still_damage(tmp_path: Path) -> None:
    base = sample.manifest(sample.passed(Format.PTL), sample.passed(Format.PTE))
    document = json.loads(base.to_json())
    document["artifacts"][0]["bytes"] = -1
    with pytest.raises(UserError, match=r"artifacts\[0\]\.bytes"):
        Manifest.read(later(tmp_path, document))


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot read"):
        Manifest.read(tmp_path / "manifest.json")


def test_nan_is_never_taken_in_nor_written() -> None:
    broken = Parity(samples=1, max_abs=float("nan"), cosine=0.0, sqnr_db=0.0)
    whole = sample.passed(Format.PTL)
    with pytest.raises(ValidationError, match="finite"):
        sample.manifest(whole.model_copy(update={"parity": broken}))
    unchecked = sample.manifest().model_copy(update={"seconds": float("nan")})
    with pytest.raises(ValueError, match="JSON compliant"):
        unchecked.to_json()


def test_a_write_that_fails_leaves_the_old_manifest(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    sample.manifest().write(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        sample.manifest().model_copy(update={"seconds": float("inf")}).write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_artifact_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="onnx int8 static twice"):
        sample.manifest(sample.passed(Format.ONNX), sample.passed(Format.ONNX))


def test_size_is_compared_with_the_same_format_in_float_or_the_weights() -> None:
    small, full = (
        sample.passed(Format.ONNX),
        sample.passed(Format.ONNX, FP32),
    )
    assert small.bytes
    assert full.bytes
    both = sample.manifest(full, small, sample.failed(Format.PTE))
    assert both.ratio(small) == pytest.approx(small.bytes / full.bytes)
    assert both.ratio(full) == pytest.approx(full.bytes / 22_700_000)
    assert both.ratio(both.artifacts[2]) is None
    assert sample.manifest(small).ratio(small) == pytest.approx(small.bytes / 22_700_000)
