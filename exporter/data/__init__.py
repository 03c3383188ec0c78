"""Samples: what a user brings for calibration and evaluation, examples, golden data.

Everything that leaves this station has been checked against the model's inputs: count, shape,
dtype, finite values.
"""

from __future__ import annotations

from exporter.data.dataset import first_sample, load_dataset, overlap, random_dataset
from exporter.data.example import read_example
from exporter.data.golden import Golden, read_golden, write_golden
from exporter.data.preprocess import Preprocess, parse_preprocess
from exporter.data.rows import spread
from exporter.data.stored import Stored, store

__all__ = [
    "Golden",
    "Preprocess",
    "Stored",
    "first_sample",
    "load_dataset",
    "overlap",
    "parse_preprocess",
    "random_dataset",
    "read_example",
    "read_golden",
    "spread",
    "store",
    "write_golden",
]
