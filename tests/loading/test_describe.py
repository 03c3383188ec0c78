"""What `inspect` says of the files that can be exported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from exporter.errors import UserError
from exporter.loading import describe
from tests.loading.zoo import Text, Tiny

WEIGHT_BYTES = 4 * sum(p.numel() for p in Tiny().parameters()) + 4 * 2 * 4  # and running statistics


def test_torchscript(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.jit.save(torch.jit.trace(Tiny().eval(), torch.randn(1, 3, 8, 8)), path)
    found = describe(path)
    assert found.kind == "TorchScript archive, traced"
    assert (found.inputs[0].name, found.inputs[0].shape) == ("image", (1, 3, 8, 8))
    assert found.operators["aten::linear"] == 1
    assert found.weight_bytes == {"float32": WEIGHT_BYTES, "int64": 8}
    assert found.size == path.stat().st_size


def test_program(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    batch = torch.export.Dim("batch")
    torch.export.save(
        torch.export.export(
            Tiny().eval(), (torch.randn(2, 3, 8, 8),), dynamic_shapes=({0: batch},)
        ),
        path,
    )
    found = describe(path)
    assert [i.name for i in found.inputs] == ["image"]
    assert found.inputs[0].shape[1:] == (3, 8, 8)
    assert found.outputs[0].dtype == "float32"
    assert found.operators["aten.conv2d.default"] == 1
    assert found.weight_bytes["float32"] == WEIGHT_BYTES
    assert found.details["dynamic dimensions"] != "none"


def test_weights(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    torch.save({"state_dict": Text().state_dict()}, path)
    found = describe(path)
    assert found.kind == "state_dict"
    assert found.weight_bytes == {"float32": 160}  # tied: stored once
    save_file({"a": torch.zeros(3, dtype=torch.float16)}, path)
    assert describe(path).weight_bytes == {"float16": 6}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_module_is_described_unopened(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(Tiny(), path, _use_new_zipfile_serialization=zipped)
    found = describe(path)
    assert found.kind == "pickled module of class tests.loading.zoo.Tiny"
    assert "--trust" in found.details["loading"]


def test_an_artifact_is_not_a_model(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(40))
    with pytest.raises(UserError, match="is an artifact"):
        describe(path)
