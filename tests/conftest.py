"""Fixtures shared by all suites: the real model and its photos."""

from __future__ import annotations

import os
import signal

# Tests run side by side on few cores: one thread each is faster than two that fight.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from exporter.types import Sample


def pytest_configure() -> None:
    """A run in the background ignores Ctrl-C, and so would every command that is tested for it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def efficientnet_lite0() -> torch.nn.Module:
    """EfficientNet-Lite0 with its pretrained ImageNet weights."""
    from tests import efficientnet

    return efficientnet.model()


@pytest.fixture(scope="session")
def photo_samples() -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Crops of real photos for it, as (calibration, held out): no photo is in both."""
    from tests import efficientnet

    calibration = tuple((x,) for x in efficientnet.calibration())
    return calibration, tuple((x,) for x in efficientnet.evaluation())
