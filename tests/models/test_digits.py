"""The files in `models/`: all the same model, as good as promised, and free of machine paths."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.digits_deit import DigitsDeiT, digits_deit
from scripts.train_digits import machine_paths, relative_paths, save_torchscript

MODELS = Path(__file__).resolve().parents[2] / "models"
ARCHIVES = sorted((*MODELS.glob("*.pt"), *MODELS.glob("*.pt2")))


@pytest.fixture(scope="module")
def from_state() -> DigitsDeiT:
    model = digits_deit()
    model.load_state_dict(torch.load(MODELS / "digits_deit_state.pt", weights_only=True))
    return model.eval()


@pytest.fixture(scope="module")
def evaluation() -> tuple[Tensor, Tensor]:
    with np.load(MODELS / "digits_evaluation.npz") as data:
        return torch.from_numpy(data["pixels"]), torch.from_numpy(data["labels"])


def load(name: str) -> nn.Module:
    """The module in one of the files, loaded as a user would."""
    file = MODELS / name
    if name.endswith(".pt2"):
        return torch.export.load(file).module()
    if "pickled" in name:
        return torch.load(file, weights_only=False)
    return torch.jit.load(file)


@pytest.mark.parametrize(
    "name",
    [
        "digits_deit_pickled.pt",
        "digits_deit_traced.pt",
        "digits_deit_scripted.pt",
        "digits_deit.pt2",
    ],
)
@torch.no_grad()
def test_every_shape_computes_what_the_state_dict_computes(
    name: str, from_state: DigitsDeiT, evaluation: tuple[Tensor, Tensor]
) -> None:
    model = load(name)
    for pixels in evaluation[0][:8].float().split(1):
        torch.testing.assert_close(model(pixels), from_state(pixels), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["digits_deit_traced.pt", "digits_deit_scripted.pt"])
@torch.no_grad()
def test_torchscript_takes_any_batch(
    name: str, from_state: DigitsDeiT, evaluation: tuple[Tensor, Tensor]
) -> None:
    pixels = evaluation[0][:5].float()
    torch.testing.assert_close(load(name)(pixels), from_state(pixels), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_accuracy_on_held_out_digits(
    from_state: DigitsDeiT, evaluation: tuple[Tensor, Tensor]
) -> None:
    pixels, labels = evaluation
    assert len(labels) == 1000
    assert (from_state(pixels.float()).argmax(dim=1) == labels).float().mean() >= 0.97


def test_is_a_deit(from_state: DigitsDeiT) -> None:
    kinds = {type(module) for module in from_state.modules()}
    assert {nn.Conv2d, nn.LayerNorm, nn.GELU} <= kinds
    assert all(block.attention.heads > 1 for block in from_state.blocks)
    pixels = torch.zeros(1, 1, 28, 28)
    by_class, by_distillation = from_state.both_heads(pixels)
    assert not torch.equal(by_class, by_distillation)
    torch.testing.assert_close(from_state(pixels), (by_class + by_distillation) / 2)


def test_calibration_and_evaluation_share_no_image(evaluation: tuple[Tensor, Tensor]) -> None:
    with np.load(MODELS / "digits_calibration.npz") as data:
        calibration = {image.tobytes() for image in data["pixels"]}
    held_out = {image.tobytes() for image in evaluation[0].numpy()}
    assert len(calibration) == 256
    assert len(held_out) == 1000
    assert calibration.isdisjoint(held_out)


def test_the_folder_stays_small() -> None:
    assert sum(file.stat().st_size for file in MODELS.iterdir() if file.is_file()) < 20e6


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda file: file.name)
def test_no_machine_path_in(archive: Path) -> None:
    assert len(ARCHIVES) == 5
    assert machine_paths(archive) == []


def test_a_machine_path_is_found(tmp_path: Path) -> None:
    file = tmp_path / "traced.pt"
    traced = torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2))
    traced.save(str(file))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("note", b'\x00File "/home/someone/model.py"')
    assert "/home/someone" in machine_paths(file)
    save_torchscript(traced, file)
    assert machine_paths(file) == []


def test_stack_traces_keep_file_and_line() -> None:
    trace = (
        f'File "{MODELS}/digits_deit.py", line 9, in forward\n  File "/x/site-packages/torch/a.py"'
    )
    assert (
        relative_paths(trace)
        == 'File "models/digits_deit.py", line 9, in forward\n  File "site-packages/torch/a.py"'
    )
