"""What every record in a manifest has in common."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Fact: TypeAlias = bool | int | float | str | None
Facts: TypeAlias = dict[str, Fact | tuple[Fact, ...]]
"""Label -> value, for settings that another part of the program defines as a dataclass."""

Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Size: TypeAlias = Annotated[int, Field(ge=0)]
Seconds: TypeAlias = Annotated[float, Field(ge=0)]
# A manifest is data from outside: a name that climbs out of its folder must not be followed.
FileName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[^/\\.][^/\\]*$")]


class Record(BaseModel):
    """Refuses unknown fields, types that would need converting, NaN and infinity, at any depth."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        # Without this an instance of a plain dataclass is taken as it is, NaN included.
        revalidate_instances="always",
    )
