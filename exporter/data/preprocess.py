"""How pixels become the model's input, as it is asked for and stored in the manifest."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from exporter.errors import UserError

Order: TypeAlias = Literal["rgb", "bgr"]
Fit: TypeAlias = Literal["crop", "stretch"]
Interpolation: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True)
class Preprocess:
    """Image to tensor: (pixel / scale - mean) / std, where a pixel is 0 to 255.

    The layout (NCHW or NHWC) and the number of channels (3, or 1 for grey) are those of the
    model's input.

    Attributes:
        size: (height, width) of the result; None is the model's input.
        resize: the shorter side is made this long before the centre is cut out; None makes the
            image just large enough for the cut.
        fit: `crop` keeps proportions and cuts out the centre, `stretch` does neither.
        mean: subtracted, one value or one a channel, in the model's channel order.
        std: divided by, likewise.
        scale: what a pixel is divided by first: 255 for mean and std on a scale of 0 to 1,
            1 for 0 to 255.
        order: channel order of the model.
        interpolation: how the image is resized, always with anti-aliasing, as Pillow does it.
    """

    size: tuple[int, int] | None = None
    resize: int | None = None
    fit: Fit = "crop"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float = 255.0
    order: Order = "rgb"
    interpolation: Interpolation = "bilinear"


IMAGENET = Preprocess(
    size=(224, 224), resize=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
"""What torchvision's and most of timm's ImageNet weights were evaluated with."""

_PIXEL_PRESET = re.compile(r"(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)")
_HINT = (
    "Give a preset (`imagenet`, `127/128`), or keys such as "
    "`size=224,resize=256,mean=0.485;0.456;0.406,std=0.229;0.224;0.225,order=bgr`, "
    "or a preset and keys."
)


def parse_preprocess(text: str) -> Preprocess:
    """Reads the text of `--preprocess`.

    A preset may come first: `imagenet`, or `A/B` for (pixel - A) / B such as `127/128`; key=value
    pairs, separated by commas, refine it. The keys are the attributes of `Preprocess`; lists are
    separated by semicolons; `size` is `224` or `HEIGHTxWIDTH`.

    Raises:
        UserError: the text is malformed, or its parts contradict each other.
    """
    first, *rest = [part.strip() for part in text.split(",")]
    start, pairs = (Preprocess(), [first, *rest]) if "=" in first else (_preset(first), rest)
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or key not in _READERS:
            raise UserError(
                f"--preprocess does not know {pair!r}.",
                f"Its keys are {', '.join(_READERS)}. {_HINT}",
            )
        if key in values:
            raise UserError(f"--preprocess gives {key} twice.")
        try:
            values[key] = _READERS[key](value)
        except ValueError:
            raise UserError(f"--preprocess cannot read {pair!r}.", _HINT) from None
    return _sound(replace(start, **values))


def _preset(name: str) -> Preprocess:
    if name == "imagenet":
        return IMAGENET
    if match := _PIXEL_PRESET.fullmatch(name):
        return Preprocess(scale=1.0, mean=(float(match[1]),), std=(float(match[2]),))
    raise UserError(f"--preprocess does not know the preset {name!r}.", _HINT)


def _sound(preprocess: Preprocess) -> Preprocess:
    """Refuses what cannot be meant."""
    if preprocess.scale <= 0 or min(preprocess.std) <= 0:
        raise UserError("--preprocess: scale and std must be above 0.")
    if preprocess.fit == "stretch" and preprocess.resize is not None:
        raise UserError("--preprocess: with fit=stretch there is no resize, only size.")
    if {len(preprocess.mean), len(preprocess.std)} - {1, 3}:
        raise UserError(
            "--preprocess: mean and std take one value, or three separated by semicolons."
        )
    white = 255 / preprocess.scale
    if outside := [mean for mean in preprocess.mean if not 0 <= mean <= white]:
        raise UserError(
            f"--preprocess: mean {outside[0]:g} is outside the pixels' range, 0 to {white:g}.",
            "Use scale=1 for mean and std on a scale of 0 to 255, scale=255 for 0 to 1.",
        )
    return preprocess


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _size(text: str) -> tuple[int, int]:
    height, cross, width = text.partition("x")
    return _positive(height), _positive(width if cross else height)


def _finite(text: str) -> float:
    number = float(text)
    if abs(number) == float("inf") or number != number:
        raise ValueError(text)
    return number


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(_finite(part) for part in text.split(";"))


def _one_of(kind: Any) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in get_args(kind):
            raise ValueError(text)
        return text.lower()

    return read


_READERS: dict[str, Callable[[str], Any]] = {
    "size": _size,
    "resize": _positive,
    "fit": _one_of(Fit),
    "mean": _numbers,
    "std": _numbers,
    "scale": _finite,
    "order": _one_of(Order),
    "interpolation": _one_of(Interpolation),
}
