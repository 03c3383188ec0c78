"""Keeps the toolchain's chatter away from the user's terminal."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator

from exporter.base.quiet import hushed


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallows prints, warnings and log lines below ERROR of the code inside.

    torch.onnx prints its progress, and onnxruntime.quantization advises on the root logger; what
    matters of it is in our own notes. Errors still raise.
    """
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        hushed(logging.WARNING),
    ):
        yield
