"""What a model knows of its own inputs, without being told."""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from torch.export import ExportedProgram

from exporter.loading.detect import archive_members
from exporter.loading.inputs import InputSpec, make_example
from exporter.types import Example

_TOKENS = 32
"""Length of a made-up text where nothing else is known: short, and within every model's limit."""

_INTEGER_RANGES = {"input_ids": "vocab_size", "token_type_ids": "type_vocab_size"}
"""transformers' input name (or its ending) -> the field of the configuration that bounds it."""


@dataclass(frozen=True)
class Known:
    """Inputs that a model states by itself.

    Attributes:
        example: one call.
        note: where it is from, for the user to judge.
    """

    example: Example
    note: str = ""


def of_module(module: nn.Module) -> Known | None:
    """Inputs of a `transformers` or `timm` model, from its configuration."""
    name = getattr(module, "main_input_name", None)
    if isinstance(name, str) and hasattr(module, "dummy_inputs"):
        return _of_transformers(module, name)
    settings: Any = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None)
    size = settings.get("input_size") if hasattr(settings, "get") else None
    if not size:
        return None
    own = getattr(
        getattr(module, "patch_embed", None), "img_size", None
    )  # img_size=... given to timm
    spec = InputSpec(None, (1, size[0], *(own or size[1:])))
    return Known(make_example([spec]), f"input {_shape(spec)} is from the model's configuration")


def of_program(program: ExportedProgram) -> Known | None:
    """The example inputs that an exported program carries."""
    if program.example_inputs is None:
        return None
    args, kwargs = program.example_inputs
    return Known(Example(tuple(args), dict(kwargs or {})))


def of_archive(path: Path) -> Known | None:
    """Inputs that a traced TorchScript archive was traced with: their shapes and types."""
    members = archive_members(path)
    if "traced_inputs.pkl" not in members:
        return None
    with zipfile.ZipFile(path) as archive:
        data = archive.read(members["traced_inputs.pkl"])
    try:
        specs = _ShapesOnly(io.BytesIO(data)).load().get("forward", [])
    except (pickle.UnpicklingError, AttributeError, EOFError, ValueError, TypeError, IndexError):
        return None  # an input that is no plain tensor; the user is asked instead
    if not specs or not all(isinstance(spec, InputSpec) for spec in specs):
        return None
    return Known(make_example(specs), f"input {', '.join(map(_shape, specs))} is from the trace")


def integer_range(module: nn.Module, name: str) -> tuple[int, int] | None:
    """Bounds of an integer input of a `transformers` model, by its name."""
    config = getattr(module, "config", None)
    if config is None:
        return None
    if name.endswith("attention_mask"):
        return (0, 2)
    field_name = next((f for ending, f in _INTEGER_RANGES.items() if name.endswith(ending)), None)
    bound = getattr(config, field_name, None) if field_name else None
    return (0, bound) if isinstance(bound, int) and bound > 0 else None


def _of_transformers(module: Any, name: str) -> Known | None:
    config = module.config
    if name == "pixel_values":
        size = getattr(config, "image_size", None) or 224
        height, width = size if isinstance(size, list | tuple) else (size, size)
        spec = InputSpec(name, (1, getattr(config, "num_channels", 3), height, width))
        return Known(
            make_example([spec]), f"input {_shape(spec)} is from the model's configuration"
        )
    if name != "input_ids":
        return None
    longest = getattr(config, "max_position_embeddings", None) or _TOKENS
    low, high = integer_range(module, name) or (None, None)
    both = (
        ("input_ids", "decoder_input_ids")
        if getattr(config, "is_encoder_decoder", False)
        else ("input_ids",)
    )
    specs = [InputSpec(n, (1, min(_TOKENS, longest)), "int64", low, high) for n in both]
    return Known(
        make_example(specs),
        f"inputs {', '.join(f'{s.name} {_shape(s)}' for s in specs)} were chosen here; "
        "--input sets others",
    )


def _shape(spec: InputSpec) -> str:
    return "x".join(str(size) for size in spec.shape) or "scalar"


_STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float32",
    "HalfStorage": "float32",
    "BFloat16Storage": "float32",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
"""torch's storage classes -> the type of the input that is made; all floats are float32 here."""


class _ShapesOnly(pickle.Unpickler):
    """Unpickles a record of traced tensors as `InputSpec`s; imports nothing that the file names."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch.jit._pickle", "restore_type_tag"):
            return lambda value, _type: value
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is no tensor")

    def persistent_load(self, pid: Any) -> str:
        return pid[1]


def _rebuild(dtype: str, _offset: int, size: tuple[int, ...], *_rest: object) -> InputSpec:
    return InputSpec(None, tuple(size), dtype)
