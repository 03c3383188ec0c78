"""What a user points at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from exporter.types import Example

SampleFn: TypeAlias = Callable[[Sequence[str]], tuple[Any, ...]]
"""Names of the model's inputs -> a value for each, out of the user's data."""


@dataclass(frozen=True)
class LoadRequest:
    """A model, as named by the user.

    Attributes:
        target: a file, or a factory `package.module:name`.
        factory: builds the module that a state_dict belongs to, `package.module:name`.
        factory_args: keyword arguments of the factory.
        trust: whether a pickled module may be unpickled, which runs code that the file names.
        inputs: texts for `parse_input`, one for each input.
        example: example inputs; they win over `inputs`.
        sample: asked for an example where neither the user nor the model says anything.
    """

    target: str
    factory: str | None = None
    factory_args: dict[str, object] = field(default_factory=dict)
    trust: bool = False
    inputs: tuple[str, ...] = ()
    example: Example | None = None
    sample: SampleFn | None = None
