"""The runtimes, one folder each. Adding one is adding a folder and a line in `RUNTIMES`.

Each folder has three modules, imported only when they are needed:

- `convert.py`: `convert(job: ConvertJob, check: CheckFn) -> Conversion` writes `job.target`.
- `run.py`: `Runner(path: Path, threads: int)`, a `RunnerApi`.
- `describe.py`: `describe(path: Path) -> Description`, which reads the file and runs nothing.
"""

from __future__ import annotations

from exporter.types import Format

RUNTIMES = {
    Format.PTL: "PyTorch Lite Interpreter",
    Format.PTE: "ExecuTorch",
    Format.ONNX: "ONNX Runtime",
    Format.TFLITE: "LiteRT",
}
"""Format -> the runtime's name as users know it."""

TAKES_QUANTIZED_GRAPH = frozenset({Format.PTL, Format.PTE})
"""Formats lowered from the shared PT2E graph (and half graph); the others quantize the artifact
with their own toolchain, which knows what their kernels fuse."""
