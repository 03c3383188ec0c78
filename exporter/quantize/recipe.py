"""What becomes of each operator in int8, decided once for all formats, with the ranges it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from exporter.errors import UserError
from exporter.types import Compute, Scheme

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Range:
    """The values of a tensor that int8 has to hold.

    Raises:
        ValueError: there are none: `low` is above `high`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    low: float
    high: float

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")


@dataclass(frozen=True)
class Step:
    """One operator of the captured program.

    Attributes:
        node: its name in the captured program, which `exporter.quantize.marker` carries everywhere.
        operator: such as `aten.conv2d.default`.
        module: path in the user's model; empty where unknown.
        source: line in the user's model; empty where unknown.
        compute: what a runtime makes of it if it has a kernel for that; else less of int8: of
            `STATIC` and `DYNAMIC` it falls back to `WEIGHT_ONLY` where it holds weights.
        range: of its output; None where it is no single float tensor, or nothing was calibrated.
        macs: multiply-accumulate operations of one inference; 0 for what multiplies no matrices.
        why: why it stays float; empty where it does not, or holds nothing that could be int8.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    node: str
    operator: str
    module: str
    source: str
    compute: Compute
    range: Range | None = None
    macs: int = 0
    why: str = ""


@dataclass(frozen=True)
class Recipe:
    """Decisions for one captured program; JSON that a person can read and edit.

    Attributes:
        scheme: static or dynamic activations.
        inputs: range of each of the model's inputs, in call order; None for integers, or where
            nothing was calibrated.
        steps: every call of the captured program, in order.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    scheme: Scheme
    inputs: tuple[Range | None, ...]
    steps: tuple[Step, ...]

    @cached_property
    def by_node(self) -> Mapping[str, Step]:
        """Name of the captured node -> its step."""
        return {step.node: step for step in self.steps}

    def to_json(self) -> str:
        """Indented JSON in the order of the fields."""
        return _ADAPTER.dump_json(self, indent=2).decode()

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Reads and checks a recipe.

        Raises:
            UserError: it cannot be read, or does not say what a recipe says; names the field.
        """
        try:
            recipe = _ADAPTER.validate_json(path.read_bytes())
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}.") from error
        except ValidationError as error:
            first = error.errors()[0]
            said = (".".join(map(str, first["loc"])), first["msg"])
            raise UserError(f"{path} is no recipe: {': '.join(filter(None, said))}.") from error
        if recipe.scheme is Scheme.FLOAT:
            raise UserError(f"{path} is no recipe: scheme: int8 is static or dynamic.")
        return recipe


_ADAPTER = TypeAdapter(Recipe)
