"""What a launcher is asked to do, as it travels to its stdin."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

PATIENCE_S = 60.0
"""For adbd to answer; it takes 1 s on an idle machine."""


@dataclass(frozen=True)
class LaunchRequest:
    """One device to launch.

    Attributes:
        root: folder of the shared file system.
        qemu: program that runs arm64 programs.
        cpu: qemu's name of it.
        storage: bytes of `/data/local/tmp`.
        listener: number of the open socket that clients connect to.
        report: number of the pipe that takes one line of JSON: `{}` when the device answers, or the
            `message` and `hint` of what went wrong.
        record: file to remove at the end.
        log: file to remove when the device was stopped.
        parent: process that the device must not outlive; None to live on.
        variables: added to the device's environment.
    """

    root: str
    qemu: str
    cpu: str
    storage: int
    listener: int
    report: int
    record: str
    log: str
    parent: int | None = None
    variables: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """On one line."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> LaunchRequest:
        """The inverse of `to_json`."""
        return LaunchRequest(**json.loads(text))
