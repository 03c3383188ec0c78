"""Float models: the numbers of eager, in as few delegates as can be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim, export

from exporter.errors import FormatError
from exporter.passes import SHARED, apply, for_format
from exporter.runtimes.pte.batch import LARGEST
from exporter.runtimes.pte.convert import convert
from exporter.types import FP16, Format, Stage
from tests.pte.models import Attention, Recurrent, Svd, Words
from tests.pte.support import assert_float_matches, made, ran, sqnr
from tests.support import Flat, Recorder, captured, eager, job_for


def test_convolutions_become_one_delegate(tmp_path):
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    found = assert_float_matches(tmp_path / "a.pte", model, torch.randn(1, 3, 8, 8)).delegation
    assert found.delegates == 1
    assert found.outside == {}
    assert found.share == 1.0
    assert found.total == found.delegated == 4


def test_attention_becomes_one_delegate(tmp_path):
    path, x = tmp_path / "a.pte", torch.randn(1, 5, 16)
    plain = made(path, Attention(), x, program=captured(Attention(), x)).delegation
    found = assert_float_matches(path, Attention(), x).delegation
    assert plain.delegates > 1
    assert found.delegates == 1
    assert found.outside == {}


def test_recurrent_layers_become_one_delegate(tmp_path):
    found = assert_float_matches(tmp_path / "a.pte", Recurrent(), torch.randn(1, 3, 4)).delegation
    assert found.delegates == 1
    assert found.outside == {}


def test_what_stays_outside_is_named(tmp_path):
    model = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 4))
    found = assert_float_matches(tmp_path / "a.pte", model, torch.randn(2, 8))
    assert found.delegation.delegates == 2
    assert found.delegation.outside == {"aten.native_layer_norm.default": 1}
    assert "aten.native_layer_norm.default" in found.notes[0]


def test_integers_in_and_out(tmp_path):
    ids, mask = torch.randint(0, 50, (2, 7)), torch.ones(2, 7)
    assert_float_matches(tmp_path / "a.pte", Words(), ids, mask)


def test_float16_inside_float32_outside(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    x = torch.randn(1, 3, 8, 8)
    path, sample = tmp_path / "a.pte", (x.numpy(),)
    recorder = Recorder()
    conversion = made(path, model, x, variant=FP16, check=recorder)
    assert any("convolutions as float32 only" in note for note in conversion.notes)
    assert sqnr(eager(model)(sample), ran(path, sample)) > 50
    assert sqnr(recorder.runs[Stage.QUANTIZED](sample), ran(path, sample)) > 50


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (
            nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(72, 4)),
            (3, 5, 5),
        ),
        (Attention(), (5, 16)),
    ],
)
def test_a_batch_that_varies(tmp_path, model, shape):
    batch = Dim("batch", min=1, max=8)
    model = model.eval()
    program = export(
        Flat(model), (torch.randn(2, *shape),), dynamic_shapes={"inputs": ({0: batch},)}
    )
    program, _ = apply(program, (*SHARED, *for_format(Format.PTE)))
    made(tmp_path / "a.pte", model, torch.randn(2, *shape), program=program)
    for size in (1, 8, 3):
        sample = (torch.randn(size, *shape).numpy(),)
        (found,) = ran(tmp_path / "a.pte", sample)
        np.testing.assert_allclose(found, eager(model)(sample)[0], atol=1e-4)


def test_a_batch_without_a_bound_gets_one(tmp_path):
    """As `exporter.loading` captures it; left alone, the file takes the example's batch at most."""
    model, x = nn.Sequential(nn.Linear(6, 8), nn.ReLU()).eval(), torch.randn(2, 6)
    program = export(Flat(model), (x,), dynamic_shapes={"inputs": ({0: Dim("batch", min=1)},)})
    job = job_for(model, x, target=tmp_path / "a.pte", program=program)
    notes = convert(replace(job, dynamic_batch=True), Recorder()).notes
    assert f"takes batches of up to {LARGEST}, for which its memory is planned" in notes
    for size in (1, 3, LARGEST):
        sample = (torch.randn(size, 6).numpy(),)
        (found,) = ran(tmp_path / "a.pte", sample)
        np.testing.assert_allclose(found, eager(model)(sample)[0], atol=1e-5)
    with pytest.raises(FormatError, match="input_0"):
        ran(tmp_path / "a.pte", (np.zeros((LARGEST + 1, 6), np.float32),))


def test_an_operator_without_kernel_is_named_with_its_line(tmp_path):
    with pytest.raises(
        FormatError, match=r"no kernel for aten\._linalg_svd.*models\.py:\d+, in forward"
    ):
        made(tmp_path / "a.pte", Svd(), torch.randn(4, 4))
    assert not (tmp_path / "a.pte").exists()


def test_nothing_is_printed(tmp_path, capfd):
    made(tmp_path / "a.pte", nn.Linear(4, 4), torch.randn(1, 4))
    ran(tmp_path / "a.pte", (np.zeros((1, 4), np.float32),))
    assert capfd.readouterr() == ("", "")
