"""Keeps the toolchain's chatter away from the user's terminal."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallows prints, warnings and log lines below ERROR of the code inside.

    torch.onnx prints its progress, and onnxruntime.quantization advises on the root logger; what
    matters of it is in our own notes. Errors still raise.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
