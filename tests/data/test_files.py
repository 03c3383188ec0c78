"""Examples and golden data: what is read back, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from exporter.data import parse_preprocess, read_example, read_golden, write_golden
from exporter.errors import UserError
from exporter.types import Sample, Signature, Tensors, TensorSpec

SIGNATURE = Signature(
    (TensorSpec("ids", (1, 3), "int64"), TensorSpec("scale", (), "float32")),
    (TensorSpec("logits", (1, 4), "float32"),),
)


def golden(count: int) -> tuple[list[Sample], list[Tensors]]:
    samples = [(np.full((1, 3), i), np.float32(i)) for i in range(count)]
    return samples, [(np.full((1, 4), i / 7, np.float32),) for i in range(count)]


# Examples


def test_example_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((1, 3)))
    example = read_example(tmp_path / "x.npy")
    assert [a.shape for a in example.args] == [(1, 3)]
    assert example.args[0].flags.writeable
    assert example.kwargs == {}


def test_example_npz(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, pixel_values=np.zeros(2))
    assert len(read_example(path).args) == 1
    np.savez(path, arg_1=np.ones(2), arg_0=np.zeros(2))
    assert [a[0] for a in read_example(path).args] == [0, 1]
    np.savez(path, ids=np.zeros(2), mask=np.ones(2))
    assert list(read_example(path).kwargs) == ["ids", "mask"]
    np.savez(path, arg_0=np.zeros(2), mask=np.ones(2))
    assert (len(read_example(path).args), list(read_example(path).kwargs)) == (1, ["mask"])


@pytest.mark.parametrize(
    ("value", "args", "kwargs"),
    [
        (torch.ones(2), 1, []),
        ((torch.ones(2), torch.zeros(2)), 2, []),
        ([torch.ones(2)], 1, []),
        ({"ids": torch.ones(2), "flag": True}, 0, ["ids", "flag"]),
    ],
)
def test_example_pt(tmp_path: Path, value: object, args: int, kwargs: list[str]) -> None:
    torch.save(value, tmp_path / "x.pt")
    example = read_example(tmp_path / "x.pt")
    assert (len(example.args), list(example.kwargs)) == (args, kwargs)


def test_example_image(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.new("RGB", (8, 6), (255, 127, 0)).save(path)
    (array,) = read_example(path, parse_preprocess("127/128,size=4")).args
    assert (array.shape, array.dtype) == ((1, 3, 4, 4), np.float32)
    assert array[0, :, 0, 0].tolist() == [1, 0, -127 / 128]
    (array,) = read_example(
        path, parse_preprocess("127/128"), TensorSpec("x", (1, 5, 5, 1), "float32")
    ).args
    assert array.shape == (1, 5, 5, 1)
    with pytest.raises(UserError, match="--preprocess"):
        read_example(path)
    with pytest.raises(UserError, match="size=224"):
        read_example(path, parse_preprocess("127/128"))


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must not run",)


def test_example_files_that_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(name: str, reason: str) -> None:
        with pytest.raises(UserError, match=reason):
            read_example(tmp_path / name)

    refuse("missing.npy", "does not exist")
    refuse(".", "is no file")
    np.savez(tmp_path / "gap.npz", arg_0=np.zeros(1), arg_2=np.zeros(1))
    refuse("gap.npz", "without a gap")
    np.savez(tmp_path / "none.npz")
    refuse("none.npz", "holds no arrays")
    (tmp_path / "text.pt").write_text("hello")
    refuse("text.pt", "no readable file")
    (tmp_path / "empty.pt").write_bytes(b"")
    refuse("empty.pt", "no readable file")
    torch.save(Evil(), tmp_path / "evil.pt")
    refuse("evil.pt", "no readable file")
    torch.save("text", tmp_path / "string.pt")
    refuse("string.pt", "holds str")
    torch.save({1: torch.ones(1)}, tmp_path / "keys.pt")
    refuse("keys.pt", "holds dict")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04nothing")
    refuse("bad.npz", "not a readable")
    (tmp_path / "bad.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match="not a readable image"):
        read_example(tmp_path / "bad.png", parse_preprocess("imagenet"))
    assert "must not run" not in capsys.readouterr().out


# Golden data


def test_golden_is_read_back_exactly(tmp_path: Path) -> None:
    samples, outputs = golden(5)
    write_golden(tmp_path / "golden.npz", samples, outputs, [4, 3, 2, 1, 0], SIGNATURE)
    found = read_golden(tmp_path / "golden.npz")
    assert (found.input_names, found.output_names) == (("ids", "scale"), ("logits",))
    assert found.labels == (4, 3, 2, 1, 0)
    for got, wanted in zip((*found.samples, *found.outputs), (*samples, *outputs), strict=True):
        for a, b in zip(got, wanted, strict=True):
            assert isinstance(a, np.ndarray)
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            assert np.array_equal(a, b)


def test_golden_names_are_what_an_app_reads(tmp_path: Path) -> None:
    write_golden(tmp_path / "g.npz", *golden(2), None, SIGNATURE)
    with np.load(tmp_path / "g.npz") as file:
        assert {k: file[k].shape for k in file.files} == {
            "input/ids": (2, 1, 3), "input/scale": (2,), "output/logits": (2, 1, 4)
        }  # fmt: skip
    assert read_golden(tmp_path / "g.npz").labels is None


def test_golden_is_the_same_file_again(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_golden(tmp_path / name, *golden(3), None, SIGNATURE)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({}, "holds nothing"),
        ({"input/x": np.zeros(2)}, "is not golden data"),
        ({"input/x": np.zeros(2), "output/y": np.zeros(2), "z": np.zeros(2)}, "is not golden data"),
        ({"input/x": np.zeros(2), "output/y": np.zeros(3)}, "is damaged"),
        ({"input/x": np.zeros(0), "output/y": np.zeros(0)}, "is damaged"),
        ({"input/x": np.zeros(2), "output/y": np.float32(0)}, "is damaged"),
        (
            {"input/x": np.zeros(2), "output/y": np.zeros(2), "labels": np.zeros(3, int)},
            "is damaged",
        ),
        (
            {"input/x": np.zeros(2), "output/y": np.zeros(2), "labels": np.zeros(2)},
            "labels are float64",
        ),
    ],
)
def test_golden_with_other_content(
    tmp_path: Path, arrays: dict[str, np.ndarray], reason: str
) -> None:
    np.savez(tmp_path / "g.npz", **arrays)
    with pytest.raises(UserError, match=reason):
        read_golden(tmp_path / "g.npz")


def test_golden_that_is_damaged_or_missing(tmp_path: Path) -> None:
    path = tmp_path / "g.npz"
    with pytest.raises(UserError, match="does not exist"):
        read_golden(path)
    write_golden(path, *golden(50), None, SIGNATURE)
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(UserError, match="not a readable"):
            read_golden(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match="not golden data"):
        read_golden(path)


def test_golden_with_any_byte_changed_is_refused_or_the_same(tmp_path: Path) -> None:
    path = tmp_path / "g.npz"
    write_golden(path, *golden(3), [1, 2, 3], SIGNATURE)
    whole = path.read_bytes()
    before = read_golden(path)
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x5A]) + whole[position + 1 :])
        try:
            after = read_golden(path)
        except UserError:
            continue
        for got, wanted in zip(
            after.samples + after.outputs, before.samples + before.outputs, strict=True
        ):
            assert all(np.array_equal(a, b) for a, b in zip(got, wanted, strict=True))
