"""Images, and the tensors that the exporter makes of them."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from exporter.data.conform import conform
from exporter.data.pixels import image_tensor
from exporter.data.preprocess import Fit, Interpolation, Preprocess
from exporter.types import Array, TensorSpec

SIZES = {"odd": (37, 53), "tiny": (5, 7), "wide": (11, 61), "tall": (64, 17), "fits": (16, 12)}
"""Name of an image -> height, width."""

NCHW = TensorSpec("pixels", (1, 3, 16, 12), "float32")
GREY = TensorSpec("pixels", (1, 1, 14, 14), "float32")
NHWC = TensorSpec("pixels", (1, 15, 15, 3), "float32")
HWC_BYTES = TensorSpec("pixels", (13, 17, 3), "uint8")
CHW = TensorSpec("pixels", (3, 9, 8), "float64")

IMAGENET = Preprocess(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
FILTERS: tuple[Interpolation, ...] = ("nearest", "bilinear", "bicubic", "lanczos")


def image_vectors() -> tuple[list[dict[str, Any]], dict[str, Array]]:
    """Cases (image, input, preprocessing as a manifest writes it), and arrays.

    The arrays are `image/<name>`, uint8 (height, width, 3), and `tensor/<case>`.
    """
    images = {name: _image(*size, seed) for seed, (name, size) in enumerate(SIZES.items())}
    cases, arrays = [], {f"image/{name}": image for name, image in images.items()}
    with TemporaryDirectory() as scratch:
        for name, image in images.items():
            Image.fromarray(image).save(Path(scratch) / f"{name}.png")
        for name, image_name, spec, preprocess in _cases():
            prepared = image_tensor(
                Path(scratch) / f"{image_name}.png", preprocess or Preprocess(), spec
            )
            arrays[f"tensor/{name}"] = conform(prepared, spec, name)
            settings = None if preprocess is None else asdict(preprocess)
            cases.append(
                {"name": name, "image": image_name, "input": asdict(spec), "preprocess": settings}
            )
    return cases, arrays


def _cases() -> list[tuple[str, str, TensorSpec, Preprocess | None]]:
    resized: list[tuple[str, Fit]] = [
        ("odd", "crop"),
        ("odd", "stretch"),
        ("tiny", "crop"),
        ("wide", "crop"),
    ]
    filters = [
        (f"{image} {fit} {each}", image, NCHW, Preprocess(fit=fit, interpolation=each))
        for each in FILTERS
        for image, fit in resized
    ]
    plain = Preprocess(scale=1.0)
    return [
        *filters,
        ("no preprocessing", "odd", NCHW, None),
        ("already of that size", "fits", NCHW, IMAGENET),
        ("across only", "odd", TensorSpec("x", (1, 3, 37, 20), "float32"), _stretch("bicubic")),
        ("down only", "tall", TensorSpec("x", (1, 3, 21, 17), "float32"), _stretch("lanczos")),
        ("resize then cut", "tall", NCHW, replace(IMAGENET, size=(16, 12), resize=19)),
        ("enlarge then cut", "tiny", NCHW, Preprocess(resize=23, interpolation="bicubic")),
        ("bgr", "odd", NCHW, replace(IMAGENET, order="bgr")),
        ("channels last", "odd", NHWC, IMAGENET),
        ("channels last bgr", "tall", NHWC, replace(IMAGENET, order="bgr")),
        ("grey", "odd", GREY, Preprocess(mean=(0.5,), std=(0.25,))),
        ("grey from 127/128", "wide", GREY, Preprocess(mean=(127.0,), std=(128.0,), scale=1.0)),
        ("bytes", "odd", HWC_BYTES, plain),
        ("bytes bgr lanczos", "tiny", HWC_BYTES, Preprocess(order="bgr", interpolation="lanczos")),
        ("float64", "odd", CHW, IMAGENET),
        ("float16", "odd", TensorSpec("x", (1, 3, 8, 8), "float16"), IMAGENET),
        ("int64", "odd", TensorSpec("x", (1, 1, 8, 8), "int64"), plain),
    ]


def _stretch(interpolation: Any) -> Preprocess:
    return Preprocess(fit="stretch", interpolation=interpolation)


def _image(height: int, width: int, seed: int) -> Array:
    """Slopes, an edge and noise: what a filter that is off by a little shows on."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    slopes = np.stack([255 * x / width, 255 * y / height, 127 + 120 * np.sin(x / 3 + y / 5)], -1)
    slopes[height // 3 :, width // 2 :] = 255 - slopes[height // 3 :, width // 2 :]
    noise = random.integers(-40, 41, slopes.shape)
    return np.clip(slopes + noise, 0, 255).astype(np.uint8)
