"""Image files and pixel arrays to tensors, as a `Preprocess` says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from exporter.data.preprocess import Preprocess
from exporter.errors import UserError
from exporter.types import Array, TensorSpec

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
)


@dataclass(frozen=True)
class Layout:
    """Where an image input has its height, width and channels."""

    height: int
    width: int
    channels: int
    channels_last: bool


def layout_of(spec: TensorSpec) -> Layout:
    """The image layout of a model input.

    Args:
        spec: (N, C, H, W), (N, H, W, C), (C, H, W) or (H, W, C), with C 1 or 3.

    Raises:
        UserError: the input takes no images.
    """
    shape = spec.shape[-3:]
    if len(spec.shape) not in (3, 4) or not {1, 3} & {shape[0], shape[2]}:
        raise UserError(
            f"Input {spec.name} has shape {spec.shape}, which is no image of 1 or 3 channels.",
            "Bring the data as .npz, .npy or `module:function`.",
        )
    if shape[0] in (1, 3):
        return Layout(shape[1], shape[2], shape[0], channels_last=False)
    return Layout(shape[0], shape[1], shape[2], channels_last=True)


def image_tensor(path: Path, preprocess: Preprocess, spec: TensorSpec) -> Array:
    """Reads an image file and prepares it for a model input.

    Turned upright as its EXIF data say; transparency is dropped.

    Args:
        path: the image.
        preprocess: what to do with it.
        spec: the input; float, or uint8 for a model that takes pixels as they are.

    Returns:
        Array of the input's rank and layout; float32, or uint8 for an integer input.

    Raises:
        UserError: the file is not a readable image, or does not fit.
    """
    layout = layout_of(spec)
    if len(spec.shape) == 4 and spec.shape[0] != 1:
        raise UserError(
            f"Input {spec.name} takes {spec.shape[0]} images at once, an image file is one.",
            "Export with a batch of 1, or bring the data as .npz.",
        )
    try:
        with Image.open(path) as file:
            file.load()
            image = ImageOps.exif_transpose(file)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} is not a readable image: {error}") from error
    if image.mode[0] in "IF":  # Pillow would clip these to 8 bits without a word
        raise UserError(
            f"{path} has more than 8 bits a channel (Pillow mode {image.mode}).",
            "Convert it to 8 bits.",
        )
    image = image.convert("L" if layout.channels == 1 else "RGB")
    size = preprocess.size or (layout.height, layout.width)
    pixels = np.asarray(_resized(image, preprocess, size, path))
    pixels = pixels.reshape(*size, layout.channels)
    if preprocess.order == "bgr":
        pixels = pixels[:, :, ::-1]
    if not layout.channels_last:
        pixels = pixels.transpose(2, 0, 1)
    return normalized(pixels.reshape(*spec.shape[:-3], *pixels.shape), preprocess, spec)


def normalized(pixels: Array, preprocess: Preprocess, spec: TensorSpec) -> Array:
    """(pixel / scale - mean) / std for an array in the layout of `spec`.

    Args:
        pixels: uint8, channels already in the model's order.
        preprocess: scale, mean and std.
        spec: the input; an integer input gets the pixels as they are.

    Returns:
        float32, or the pixels themselves.

    Raises:
        UserError: mean and std do not fit the number of channels or an integer input.
    """
    mean, std = np.array(preprocess.mean), np.array(preprocess.std)
    if not spec.dtype.startswith("float"):
        if mean.any() or (std != 1).any():
            raise UserError(
                f"Input {spec.name} takes {spec.dtype} pixels; mean and std cannot apply to it."
            )
        return pixels
    if len(mean) > 1 or len(std) > 1:
        layout = layout_of(spec)
        if layout.channels == 1:
            raise UserError(
                f"mean and std of the preprocessing are for 3 channels, input {spec.name} has 1.",
                "Give one value, such as mean=0.5,std=0.5.",
            )
        if not layout.channels_last:
            mean, std = mean[:, None, None], std[:, None, None]
    result: Array = ((pixels / preprocess.scale - mean) / std).astype(np.float32)
    return result


def _resized(
    image: Image.Image, preprocess: Preprocess, size: tuple[int, int], path: Path
) -> Image.Image:
    """Resizes and cuts out the centre; rounds as torchvision's Resize and CenterCrop do."""
    height, width = size
    filter_ = Image.Resampling[preprocess.interpolation.upper()]
    if preprocess.fit == "stretch":
        return image.resize((width, height), filter_)
    if preprocess.resize is None:
        ratio = max(width / image.width, height / image.height)
        new = (max(width, round(image.width * ratio)), max(height, round(image.height * ratio)))
    else:
        short = min(image.size)
        new = (preprocess.resize * image.width // short, preprocess.resize * image.height // short)
    if new[0] < width or new[1] < height:
        raise UserError(
            f"{path}: resize={preprocess.resize} makes it {new[1]}x{new[0]}, "
            f"smaller than the size {height}x{width}.",
            "Give a larger resize, or none.",
        )
    left, top = round((new[0] - width) / 2), round((new[1] - height) / 2)
    return image.resize(new, filter_).crop((left, top, left + width, top + height))
