"""What the app's core is tested with, made by the exporter: `python -m tests.android.vectors`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from exporter.base.files import sha256
from exporter.data.golden import write_golden
from exporter.manifest import FILE_NAME, Golden, Manifest
from exporter.pipeline.latency import summarize
from exporter.types import Array, Format, Signature, TensorSpec, Where
from tests.android.image_vectors import image_vectors
from tests.android.parity_vectors import parity_vectors, top1_vectors
from tests.report import sample

FOLDER = Path(__file__).parents[2] / "android_demo/core/src/test/resources"

GOLDEN = "golden.npz"
SIGNATURE = Signature(
    (TensorSpec("ids", (1, 6), "int64", 0, 90), TensorSpec("mask", (1, 6), "bool")),
    (TensorSpec("logits", (1, 3), "float32"), TensorSpec("state", (2,), "float16")),
)


def texts() -> dict[str, str]:
    """File name -> JSON of cases."""
    return {
        "images.json": _json(image_vectors()[0]),
        "parity.json": _json(parity_vectors()[0]),
        "top1.json": _json(top1_vectors()),
        "latency.json": _json(_latencies()),
    }


def arrays() -> dict[str, dict[str, Array]]:
    """File name -> its arrays."""
    return {"images.npz": image_vectors()[1], "parity.npz": parity_vectors()[1]}


def manifest(digest: str) -> Manifest:
    """Everything a manifest can hold, of a model with the signature of the golden data.

    Args:
        digest: sha256 of the golden data.
    """
    held = [
        sample.passed(format).model_copy(update={"file": f"deit.{format}"}) for format in Format
    ]
    onnx = held[2].model_copy(update={"sidecars": {"deit.onnx.data": "12" * 32}})
    whole = sample.with_devices(artifacts=(*held[:2], onnx, sample.failed(Format.TFLITE)))
    golden = Golden(file=GOLDEN, sha256=digest, samples=4)
    return whole.model_copy(update={"signature": SIGNATURE, "golden": golden, "notes": ("a note",)})


def write_samples(path: Path) -> None:
    """Golden data of `SIGNATURE`."""
    random = np.random.default_rng(5)
    ids = random.integers(0, 90, (4, 1, 6))
    logits = random.normal(0, 1, (4, 1, 3)).astype(np.float32)
    state = random.normal(0, 1, (4, 2)).astype(np.float16)
    samples = [(row, row > 40) for row in ids]
    write_golden(path, samples, list(zip(logits, state, strict=True)), [0, 1, 2, 1], SIGNATURE)


def write_kinds(path: Path) -> None:
    """Zero to five as two rows of three, in every way that NumPy writes them; `strange/` ones are
    of elements that the app refuses."""
    dtypes = ["<f2", "<f4", "<f8", "|u1", "|i1", "<i2", "<i4", "<i8", ">f4", ">i8", ">f2"]
    plain = np.arange(6).reshape(2, 3)
    kinds: dict[str, Array] = {dtype: plain.astype(dtype) for dtype in dtypes}
    kinds |= {
        "bool": plain > 2,
        "fortran": np.asfortranarray(plain.astype(np.int16)),
        "fortran big": np.asfortranarray(plain.astype(">f8")),
        "scalar": np.array(5.0),
        "empty": np.zeros((0, 3), np.float32),
        "strange/complex": plain.astype(np.complex64),
        "strange/text": plain.astype("<U1"),
        "strange/unsigned": plain.astype(np.uint16),
        "strange/record": np.zeros(2, [("a", "<f4")]),
    }
    np.savez(path, allow_pickle=False, **kinds)


def write_versions(folder: Path) -> None:
    """The same array with each version of npy's header."""
    for version in ((1, 0), (2, 0), (3, 0)):
        with (folder / f"version{version[0]}.npy").open("wb") as file:
            np.lib.format.write_array(file, np.arange(6, dtype=np.float32).reshape(2, 3), version)


def main() -> None:
    """Writes all of it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    for name, columns in arrays().items():
        np.savez_compressed(FOLDER / name, allow_pickle=False, **columns)
    write_kinds(FOLDER / "kinds.npz")
    write_versions(FOLDER)
    write_samples(FOLDER / GOLDEN)
    manifest(sha256(FOLDER / GOLDEN)).write(FOLDER / FILE_NAME)


def _latencies() -> list[dict[str, Any]]:
    random = np.random.default_rng(6)
    samples = [[1.5], [2.0, 1.0], [float(x) for x in random.gamma(2, 3, 50).round(4)]]
    return [asdict(summarize(values, 1, Where.HOST)) for values in samples]


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


if __name__ == "__main__":
    main()
