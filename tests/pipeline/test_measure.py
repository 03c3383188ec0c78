from __future__ import annotations

import pytest

from exporter.manifest import Artifact
from exporter.pipeline.measure import _explained
from exporter.types import Format, Precision, Scheme, Verdict

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
    artifact = Artifact(
        format=format,
        precision=Precision.FP16,
        scheme=Scheme.FLOAT,
        verdict=Verdict.FAIL,
        reason="of no interest here",
    )
    assert said in _explained(reason, artifact, features)
