"""What a `.pte` holds, read from the file; nothing is run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from exporter.base.quiet import hushed
from exporter.runtimes.pte.program import read_program
from exporter.types import Description, Needs


def describe(path: Path) -> Description:
    """Operators inside and outside XNNPACK delegates, signature, and stored constants by type.

    Raises:
        UserError: it is not a `.pte`, or is damaged.
    """
    with hushed():
        pte = read_program(path)
    outside, inside = Counter(pte.operators()), Counter(pte.delegated_operators())
    weights: Counter[str] = Counter()
    for dtype, size in pte.constants():
        weights[dtype] += size
    backends = Counter(d.id for d in pte.plan.delegates)
    return Description(
        kind="ExecuTorch program",
        size=path.stat().st_size,
        inputs=pte.inputs,
        outputs=pte.outputs,
        operators=dict((outside + inside).most_common()),
        weight_bytes=dict(weights.most_common()),
        details={
            "delegate calls": ", ".join(f"{n} x {name}" for name, n in backends.items()) or "none",
            "operators outside delegates": str(outside.total()),
            "activation memory": f"{sum(pte.plan.non_const_buffer_sizes) / 1e3:.0f} kB",
        },
        needs=Needs(
            {"schema version": str(pte.file.program.version)},
            operators=dict.fromkeys(pte.kernels(), 0),
            delegates=tuple(backends),
        ),
    )
