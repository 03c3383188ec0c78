"""The libraries that Android apps ship, and what a file needs that they lack; no runtime is here.

What cannot be written as a limit is a list beside this file, made by `scripts/known_libraries.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from packaging.version import Version

from exporter.types import Format, Needs


@dataclass(frozen=True)
class Library:
    """One library of one version.

    Attributes:
        name: with its version, as people know it.
        format: of the files that it runs.
        versions: label of `Needs.versions` -> oldest and newest that it takes; another label that
            a file needs is one that it does not know.
        operators: gives name -> how many arguments it takes (0: any number); None where the
            versions say all.
        delegates: those in it.
        wrong: label of an operator in `Needs.operators` that it has -> how it computes it wrongly.
    """

    name: str
    format: Format
    versions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    operators: Callable[[], Mapping[str, int]] | None = None
    delegates: tuple[str, ...] = ()
    wrong: Mapping[str, str] = field(default_factory=dict)

    def lacks(self, needs: Needs) -> tuple[str, ...]:
        """One sentence for each thing that a file needs and this library does not have."""
        checks = (self._versions, self._operators, self._delegates, self._faults)
        return tuple(sentence for check in checks for sentence in check(needs))

    def _versions(self, needs: Needs) -> Iterator[str]:
        for label, number in needs.versions.items():
            if label not in self.versions:
                yield f"{self.name} does not know {label}"
                continue
            oldest, newest = self.versions[label]
            if number and Version(number) > Version(newest):
                yield f"{self.name} is too old for {label} {number}: it takes up to {newest}"
            elif number and Version(number) < Version(oldest):
                yield f"{self.name} is too new for {label} {number}: it takes {oldest} and later"

    def _operators(self, needs: Needs) -> Iterator[str]:
        if self.operators is None:
            return
        known = self.operators()
        for name, given in sorted(needs.operators.items()):
            taken = known.get(name)
            if taken is None:
                yield f"{self.name} lacks {name}"
            elif taken and given > taken:
                yield f"{self.name} takes {taken} arguments of {name}, and the file gives {given}"

    def _delegates(self, needs: Needs) -> Iterator[str]:
        for name in needs.delegates:
            if name not in self.delegates:
                yield f"{self.name} lacks the delegate {name}"

    def _faults(self, needs: Needs) -> Iterator[str]:
        for name in needs.operators:
            if name in self.wrong:
                yield f"{self.name} {self.wrong[name]}"


def lacking(format: Format, needs: Needs) -> tuple[str, ...]:
    """One sentence for each thing that a known library of this format lacks."""
    return tuple(s for lib in LIBRARIES if lib.format is format for s in lib.lacks(needs))


@cache
def _executorch() -> Mapping[str, int]:
    return dict.fromkeys(_lines("executorch.txt"), 0)


@cache
def _pytorch_lite() -> Mapping[str, int]:
    found = {}
    for line in _lines("pytorch_lite.txt"):
        name, *overloads = line.split()
        for entry in overloads:
            overload, _, arguments = entry.rpartition(":")
            found[f"{name}.{overload}" if overload else name] = int(arguments)
    return found


def _lines(file: str) -> list[str]:
    text = resources.files(__package__).joinpath(file).read_text()
    return [line for line in text.splitlines() if not line.startswith("#")]


LIBRARIES = (
    Library(
        # Which ExecuTorch is in it is written nowhere in it.
        "ExecuTorch of react-native-executorch 0.8.5",
        Format.PTE,
        {"schema version": ("0", "0")},
        _executorch,
        ("XnnpackBackend",),
    ),
    Library(
        "ONNX Runtime 1.29.0",
        Format.ONNX,
        # Tried on its build for Linux: one more of any is refused, below 7 it promises nothing.
        {
            "opset": ("7", "26"),
            "opset ai.onnx.ml": ("1", "5"),
            "opset com.microsoft": ("1", "1"),
            "IR version": ("1", "13"),
        },
    ),
    Library(
        "TensorFlow Lite 2.16.1",
        Format.TFLITE,
        {"minimum runtime version": ("1.5.0", "2.16.1")},
        # Measured: on emulated cortex-a53, a76 and `max`, with and without XNNPACK; on x86-64.
        wrong={
            "FULLY_CONNECTED (dynamic int8)": "computes FULLY_CONNECTED of dynamic int8 wrongly on "
            "arm64: take static int8, fp16 or a newer LiteRT there",
            "EMBEDDING_LOOKUP (int8)": "reads zeros from an int8 EMBEDDING_LOOKUP: take fp16 or a "
            "newer LiteRT",
        },
    ),
    Library(
        "PyTorch Lite 1.12.2",
        Format.PTL,
        # As its own torch::jit::_get_runtime_bytecode_min_max_versions() has it.
        {"bytecode version": ("4", "9")},
        _pytorch_lite,
    ),
)
"""In the versions that the demo app ships."""
