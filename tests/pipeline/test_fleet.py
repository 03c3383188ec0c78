from __future__ import annotations

import time
from multiprocessing.connection import Connection
from pathlib import Path

from exporter.pipeline.fleet import Fleet


class Heard:
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def begin(self, lane: str, text: str) -> None:
        self.texts.append(f"{lane}: {text}")

    def finish(self, lane: str, text: str) -> None:
        self.texts.append(f"{lane}: {text}")

    def bug(self, lane: str, traceback: str) -> None:
        raise AssertionError(f"{lane}: {traceback}")


def reports_and_waits(connection: Connection) -> None:
    connection.send("sending the runtime")
    connection.send("ready")
    connection.recv()


def test_what_devices_report_is_shown_while_this_machine_works(tmp_path: Path) -> None:
    heard = Heard()
    fleet = Fleet(tmp_path, heard, [])
    fleet.start("phone", reports_and_waits)
    try:
        until = time.monotonic() + 30
        while "phone: ready" not in heard.texts and time.monotonic() < until:
            fleet.catch_up()
        assert heard.texts == ["phone: starting", "phone: sending the runtime", "phone: ready"]
    finally:
        fleet.kill()
