"""What a user points at."""

from __future__ import annotations

from dataclasses import dataclass, field

from exporter.types import Example


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
    """

    target: str
    factory: str | None = None
    factory_args: dict[str, object] = field(default_factory=dict)
    trust: bool = False
    inputs: tuple[str, ...] = ()
    example: Example | None = None
