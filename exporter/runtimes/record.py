"""What the rest of the program has to know of a runtime. Imports no runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from exporter.types import Format


@dataclass(frozen=True)
class Crash:
    """What it means that an artifact crashes on some CPUs.

    Attributes:
        sign: words in the reason.
        unless: a CPU feature of `DeviceFacts.features`; with it the crash has another cause.
        meaning: the cause, for the user.
    """

    sign: str
    unless: str
    meaning: str


@dataclass(frozen=True)
class Bundle:
    """What goes to a device: the wheels of `requirements.txt` beside the record, less some.

    Attributes:
        megabytes: about what is downloaded for it.
        leave_out: patterns of paths in its wheels; `*` matches any characters, `/` too.
        keep_sources: whether its bytecode needs the sources beside it.
        add_empty: files that must exist and may be empty.
    """

    megabytes: int = 0
    leave_out: tuple[str, ...] = ()
    keep_sources: bool = False
    add_empty: tuple[str, ...] = ()


@dataclass(frozen=True)
class Runtime:
    """One runtime: what `RUNTIME` in the `__init__` of its folder holds.

    Attributes:
        format: what it runs; also the name of the folder.
        name: as users know it.
        kind: what its file is called, such as `ExecuTorch artifact`.
        colour: in plots, on a light page and on a dark one (CSS).
        is_head: whether a file that begins so (64 bytes of it) is one; such as by a magic number.
        member: name of a file that tells its zip archives from others, where it writes such.
        sidecars: what further files of an artifact end in, after its own name.
        distribution: the package of the runtime itself.
        native: module with its native code, which some load only with a file.
        tools: distributions that take part in making the file; their versions go on record.
        passes: names of graph passes for this format alone, in order; see `exporter.passes`.
        build_rank: the slowest toolchains, of the lowest rank, start first.
        keeps_control_flow: whether it takes TorchScript that cannot be captured.
        bundle: what goes to a device.
        crashes: what is known of its crashes there.
    """

    format: Format
    name: str
    kind: str
    colour: tuple[str, str]
    is_head: Callable[[bytes], bool]
    distribution: str
    native: str
    tools: tuple[str, ...]
    build_rank: int
    member: str | None = None
    sidecars: tuple[str, ...] = ()
    passes: tuple[str, ...] = ()
    keeps_control_flow: bool = False
    bundle: Bundle = field(default_factory=Bundle)
    crashes: tuple[Crash, ...] = ()
