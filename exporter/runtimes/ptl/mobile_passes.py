"""What `optimize_for_mobile` does, in plain sight and without its need for XNNPACK."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.jit import ScriptModule
from torch.utils.mobile_optimizer import optimize_for_mobile


@dataclass(frozen=True)
class MobilePass:
    """A TorchScript pass over one graph.

    Attributes:
        name: of `torch._C._jit_pass_<name>`; skipped where this torch has none.
        purpose: as users read it.
    """

    name: str
    purpose: str


ON_FROZEN_GRAPH = (
    MobilePass("fold_frozen_conv_bn", "fold batch norm into convolutions"),
    MobilePass("fold_frozen_conv_add_or_sub", "fold additions into the bias of convolutions"),
    MobilePass("fold_frozen_conv_mul_or_div", "fold factors into the weights of convolutions"),
    MobilePass("fold_frozen_linear_bn", "fold batch norm into linear layers"),
    MobilePass("transform_conv1d_to_conv2d", "any convolution as conv2d, which has mobile kernels"),
    MobilePass("fuse_linear", "matmul and add as one linear"),
    MobilePass("fuse_add_relu", "add and ReLU in one operator"),
    MobilePass("fuse_quantized_add_relu", "int8 add and ReLU in one kernel"),
    MobilePass("peephole", "drop operators that do nothing"),
    MobilePass("cse", "compute equal subexpressions once"),
    MobilePass("constant_propagation", "compute what is constant now"),
    MobilePass("constant_pooling", "store equal constants once"),
    MobilePass("dce", "drop what is never used"),
)
"""In order. ReLU and clamps after int8 kernels are fused earlier, in `kernels.py`."""


def optimize(
    module: ScriptModule, keep: tuple[str, ...] = (), *, prepack: bool = False
) -> tuple[ScriptModule, tuple[str, ...]]:
    """Freezes a module and runs the mobile passes over it.

    Args:
        module: in eval mode; it is not modified.
        keep: attributes that must stay attributes, so that nothing computed from them is folded.
        prepack: whether its float weights may be packed for XNNPACK, where this torch has it.

    Returns:
        The optimized module, and the names of the passes that changed its graph.
    """
    applied: list[str] = []

    frozen = torch.jit.freeze(module, preserved_attrs=list(keep), optimize_numerics=False)
    applied.append("freeze")
    before = _fingerprint(frozen)
    torch._C._jit_pass_remove_dropout(frozen._c)
    if _fingerprint(frozen) != before:
        applied.append("remove_dropout")
    for one in ON_FROZEN_GRAPH:
        run = _find(one.name)
        if run is None:
            continue
        before = _fingerprint(frozen)
        run(frozen.graph)
        if _fingerprint(frozen) != before:
            applied.append(one.name)
    if prepack and torch._C._is_xnnpack_enabled():
        frozen = optimize_for_mobile(frozen)
        applied.append("optimize_for_mobile (XNNPACK prepacking)")
    return frozen, tuple(applied)


def _fingerprint(module: ScriptModule) -> str:
    """The graph as text, whatever its values are called and wherever its code came from."""
    return str(torch._C._jit_pass_canonicalize(module.graph).str(False))


def _find(name: str) -> Callable[[torch.Graph], object] | None:
    found: Callable[[torch.Graph], object] | None = getattr(torch._C, f"_jit_pass_{name}", None)
    return found
