"""Raw samples of one source, read on demand, and the choice of some of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

_SEED = 0


@dataclass(frozen=True)
class Rows:
    """Raw samples, in order.

    Attributes:
        count: how many there are.
        read: index -> one raw value for each model input.
        where: index -> what to call that sample in a message.
        labels: class index of each, where known.
        dropped: how many more the source gave, which were not kept.
    """

    count: int
    read: Callable[[int], tuple[Any, ...]]
    where: Callable[[int], str]
    labels: tuple[int, ...] | None = None
    dropped: int = 0


def spread(count: int, limit: int | None) -> list[int]:
    """At most `limit` of `count` indices, evenly spread, always the same ones.

    One from each of `limit` equal stretches, since data are often sorted by class; at a
    pseudo-random place in it, since with classes that take turns (0, 1, ..., 9, 0, 1, ...) a fixed
    stride may meet the same one every time.
    """
    if limit is None or count <= limit:
        return list(range(count))
    edges = np.arange(limit + 1) * count // limit
    return [int(i) for i in np.random.default_rng(_SEED).integers(edges[:-1], edges[1:])]
