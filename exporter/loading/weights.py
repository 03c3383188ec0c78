"""State dicts: finding one in a checkpoint, loading it, and checking weights."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from exporter.errors import UserError

StateDict = dict[str, Tensor]

_WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "net",
    "network",
    "params",
    "weights",
)
"""Where checkpoints of common trainers keep the weights, most specific first."""

_PREFIXES = ("module.", "_orig_mod.", "model.")
"""Put before each name by DataParallel, torch.compile and Lightning."""

_SHOWN = 4


def read_safetensors(path: Path) -> StateDict:
    """The tensors of a safetensors file.

    Raises:
        UserError: the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, struct.error, json.JSONDecodeError) as error:
        raise UserError(
            f"{path} is damaged: {error}.", "It may be cut off; copy or download it again."
        ) from error


def find_module(loaded: object) -> nn.Module | None:
    """The module that a trusted file holds, itself or as an entry of a checkpoint."""
    if isinstance(loaded, nn.Module):
        return loaded
    if isinstance(loaded, Mapping):
        return next(
            (loaded[k] for k in ("ema", *_WRAPPERS) if isinstance(loaded.get(k), nn.Module)), None
        )
    return None


def find_state_dict(loaded: object, origin: str) -> StateDict:
    """The weights in what a file holds: a state_dict, or a checkpoint around one.

    Raises:
        UserError: there are none.
    """
    if isinstance(loaded, Mapping) and loaded:
        if all(isinstance(value, Tensor) for value in loaded.values()):
            return {str(key): value for key, value in loaded.items()}
        for key in _WRAPPERS:
            if isinstance(loaded.get(key), Mapping) and loaded[key]:
                return find_state_dict(loaded[key], origin)
        tensors = {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)}
        if tensors and all(not isinstance(value, Mapping) for value in loaded.values()):
            return tensors
        keys = ", ".join(str(key) for key in list(loaded)[:8])
        raise UserError(
            f"{origin} is a checkpoint without weights that are known here; it holds {keys}."
        )
    raise UserError(f"{origin} holds a {type(loaded).__name__}, no module and no state_dict.")


def load_weights(module: nn.Module, state: StateDict, origin: str) -> None:
    """Loads weights into a freshly built module.

    Raises:
        UserError: names or shapes do not fit; the message names a few.
    """
    own = module.state_dict(keep_vars=True)
    state = _strip_prefixes(state, own)
    shared = {id(own[key]) for key in state if key in own}  # safetensors stores tied weights once
    missing = [
        key
        for key in own
        if key not in state
        and id(own[key]) not in shared
        and not key.endswith("num_batches_tracked")  # absent before torch 0.4.1, and unused
    ]
    not_stored = {name for name, _ in module.named_buffers(remove_duplicate=False)} - set(own)
    unexpected = [key for key in state if key not in own and key not in not_stored]
    trouble = [_listed("misses", missing), _listed("has besides", unexpected), _wrong(state, own)]
    if any(trouble):
        raise UserError(
            f"{origin} does not fit {type(module).__name__}: "
            f"it {' and '.join(part for part in trouble if part)}.",
            "Check the factory and its arguments (--arg KEY=VALUE).",
        )
    with torch.no_grad():
        module.load_state_dict(state, strict=False)


def _wrong(state: StateDict, own: Mapping[str, object]) -> str:
    """Shapes that differ, in words."""
    wrong = {
        key: f"{key} is {_shape(tensor)}, the model's {_shape(mine)}"
        for key, tensor in state.items()
        if isinstance(mine := own.get(key), Tensor) and mine.shape != tensor.shape
    }
    shown = ", ".join(list(wrong.values())[:_SHOWN])
    return f"has other shapes ({shown}{_more(list(wrong))})" if wrong else ""


def check_weights(module: nn.Module) -> None:
    """Refuses weights that cannot be right, or that no file holds.

    Buffers may hold infinities (attention masks do), but no NaN.

    Raises:
        UserError: a parameter holds NaN or infinity, a buffer NaN; or weights were never loaded.
    """
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_meta:
            raise UserError(
                f"{name} has no values (it is on the meta device).", "Load its weights first."
            )
        if not tensor.is_floating_point() or tensor.is_sparse:
            continue
        parameter = isinstance(tensor, nn.Parameter)
        bad = int((~torch.isfinite(tensor) if parameter else torch.isnan(tensor)).sum())
        if bad:
            what = "parameter" if parameter else "buffer"
            raise UserError(
                f"The {what} {name} holds values that are NaN or infinite "
                f"({bad} of {tensor.numel()}).",
                "The model was not trained or saved right; nothing made of it could be trusted.",
            )


def _strip_prefixes(state: StateDict, own: Mapping[str, object]) -> StateDict:
    changed = True
    while changed:
        changed = False
        for prefix in _PREFIXES:
            if all(k.startswith(prefix) for k in state) and not any(
                k.startswith(prefix) for k in own
            ):
                state = {key.removeprefix(prefix): value for key, value in state.items()}
                changed = True
    return state


def _listed(verb: str, names: list[str]) -> str:
    return f"{verb} {', '.join(names[:_SHOWN])}{_more(names)}" if names else ""


def _more(names: list[str]) -> str:
    return f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""


def _shape(tensor: Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape) or "a scalar"
