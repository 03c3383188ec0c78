"""Writes a toy file: linear layers, ReLU and reshapes; int8 weights, float compute."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from typing import Any, assert_never

import numpy as np
import torch

from exporter.base.locate import source_line
from exporter.errors import FormatError
from exporter.quantize.marker import key
from exporter.quantize.weights import to_int8
from exporter.runtimes.api import CheckFn, Conversion, ConvertJob
from exporter.types import Array, Compute, Precision, Stage

from . import MAGIC
from .run import Runner

_aten = torch.ops.aten
_RESHAPES = (_aten.reshape.default, _aten.view.default, _aten.flatten.using_ints)


def convert(job: ConvertJob, check: CheckFn) -> Conversion:
    writer = _Writer(job)
    for node in job.program.graph.nodes:
        if node.op == "call_function":
            writer.call(node)
    header = {
        "inputs": list(job.program.graph_signature.user_inputs),
        "outputs": list(job.program.graph_signature.user_outputs),
        "steps": writer.steps,
        "signature": asdict(job.signature),
    }
    packed = io.BytesIO()
    np.savez(packed, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **writer.arrays)
    job.target.write_bytes(MAGIC + packed.getvalue())
    if job.variant.precision is not Precision.FP32:
        with Runner(job.target) as runner:
            check(Stage.QUANTIZED, runner.run)
    return Conversion(notes=("a toy",), computes=writer.computes)


class _Writer:
    def __init__(self, job: ConvertJob) -> None:
        self._job = job
        self._tensors = {**job.program.constants, **job.program.state_dict}
        self._targets = {s.arg.name: s.target for s in job.program.graph_signature.input_specs}
        self.steps: list[dict[str, Any]] = []
        self.arrays: dict[str, Array] = {}
        self.computes: dict[str, Compute] = {}

    def call(self, node: torch.fx.Node) -> None:
        step = {"name": node.name, "reads": str(node.args[0])}
        if node.target is _aten.linear.default:
            step |= {"operator": "linear", "weight": str(node.args[1]), "bias": str(node.args[2])}
            self.arrays[step["bias"]] = self._constant(step["bias"])
            self._weight(step["weight"], key(node) or "")
        elif node.target is _aten.relu.default:
            step |= {"operator": "relu"}
        elif node.target in _RESHAPES:
            step |= {"operator": "reshape", "shape": list(node.meta["val"].shape)}
        else:
            raise FormatError(f"the toy has no {node.target} ({source_line(node)})")
        self.steps.append(step)

    def _weight(self, name: str, captured: str) -> None:
        weight = self._constant(name)
        match self._job.variant.precision:
            case Precision.FP32:
                self.arrays[name] = weight
            case Precision.FP16:
                self.arrays[name] = weight.astype(np.float16)
            case Precision.INT8:
                assert self._job.recipe
                if self._job.recipe.by_node[captured].compute is Compute.FLOAT:
                    self.arrays[name] = weight
                    return
                self.arrays[name], self.arrays[f"{name}/scale"] = to_int8(weight, (0,))
                self.computes[captured] = Compute.WEIGHT_ONLY
            case _:
                assert_never(self._job.variant.precision)

    def _constant(self, name: str) -> Array:
        return self._tensors[self._targets[name]].detach().numpy()
