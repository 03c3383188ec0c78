from __future__ import annotations

import pytest

from exporter.pipeline.device_run import explained
from exporter.types import Format

UNSUPPORTED = "XNN Runtime creation failed with code: xnn_status_unsupported_hardware"
KILLED = "the agent was killed by SIGILL"


@pytest.mark.parametrize(
    ("format", "reason", "features", "said"),
    [
        (Format.PTE, UNSUPPORTED, ("lse",), "half-precision arithmetic"),
        (Format.PTE, UNSUPPORTED, ("fp16",), UNSUPPORTED),
        (Format.PTL, KILLED, ("fp16",), "atomic instructions"),
        (Format.PTL, KILLED, ("lse",), KILLED),
        (Format.ONNX, KILLED, (), KILLED),
    ],
)
def test_what_a_cpu_lacks_is_named(
    format: Format, reason: str, features: tuple[str, ...], said: str
) -> None:
    assert said in explained(reason, format, features)
