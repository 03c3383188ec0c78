"""What a file holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from exporter.types.tensors import TensorSpec


@dataclass(frozen=True)
class Needs:
    """What a file needs of the library that runs it, read from the file.

    Attributes:
        versions: what has one, such as `opset` -> its version, in numbers and dots; None where it
            cannot be known.
        sources: of `versions`, how it is known or why it is not, where the file does not say it.
        operators: those outside delegates by which libraries differ -> how many arguments the file
            gives them; 0 where it does not count them.
        delegates: names of delegates (ExecuTorch backends).
    """

    versions: dict[str, str | None] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    operators: dict[str, int] = field(default_factory=dict)
    delegates: tuple[str, ...] = ()

    @property
    def facts(self) -> dict[str, str]:
        """Label -> words, for people."""
        facts = {label: self._version(label) for label in self.versions}
        if self.operators:
            facts["operators"] = ", ".join(sorted(self.operators))
        if self.delegates:
            facts["delegates"] = ", ".join(self.delegates)
        return facts

    def _version(self, label: str) -> str:
        source = self.sources.get(label)
        number = self.versions[label] or "unknown"
        return f"{number} ({source})" if source else number


@dataclass(frozen=True)
class Description:
    """What a model or artifact file holds, read from the file itself.

    Attributes:
        kind: in words, such as `ONNX model, opset 18`.
        inputs: flat inputs, where the file states them.
        outputs: flat outputs, where the file states them.
        operators: operator name -> how often, most frequent first.
        weight_bytes: element type of the stored constants (numpy's name) -> bytes.
        size: bytes of the file.
        details: further facts, label -> value.
        needs: what the library that runs it must have.
    """

    kind: str
    size: int
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    operators: dict[str, int] = field(default_factory=dict)
    weight_bytes: dict[str, int] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    needs: Needs = field(default_factory=Needs)
