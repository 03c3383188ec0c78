"""Data sets from folders, arrays and functions: what is read, chosen, and refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exporter.data import Preprocess, load_dataset, overlap, parse_preprocess, random_dataset
from exporter.errors import UserError
from exporter.types import Dataset, TensorSpec

IMAGE = (TensorSpec("image", (1, 1, 4, 4), "float32"),)
PAIR = (TensorSpec("ids", (1, 5), "int64", 0, 100), TensorSpec("mask", (1, 5), "bool"))
PIXELS = Preprocess(scale=1)


def test_importing_the_stations_imports_no_torch() -> None:
    code = "import sys, exporter.data, exporter.parity; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def values(dataset: Dataset) -> list[float]:
    return [float(sample[0].ravel()[0]) for sample in dataset.samples]


def images(folder: Path, *names: str) -> Path:
    """Grey images whose pixels are their position in `names`."""
    for value, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), value).save(path)
    return folder


def npz(tmp_path: Path, **arrays: object) -> str:
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    return str(path)


# Folders


def test_a_folder_is_read_sorted_and_deep(tmp_path: Path) -> None:
    images(tmp_path, "b.png", "a.PNG", "deep/er/c.bmp", ".hidden.png")
    (tmp_path / "notes.txt").write_text("not an image")
    dataset = load_dataset(str(tmp_path), IMAGE, PIXELS)
    assert values(dataset) == [1, 0, 2]
    assert dataset.labels is None
    assert not dataset.random
    assert dataset.samples[0][0].dtype == np.float32


def test_class_folders_give_labels(tmp_path: Path) -> None:
    images(tmp_path, "0/a.png", "10/b.png", "2/x/c.png")
    dataset = load_dataset(str(tmp_path), IMAGE, PIXELS)
    assert dict(zip(values(dataset), dataset.labels or (), strict=True)) == {0: 0, 1: 10, 2: 2}


def test_a_label_table_wins(tmp_path: Path) -> None:
    images(tmp_path, "0/a.png", "b.png")
    (tmp_path / "labels.csv").write_text("file,label\n0/a.png, 7\n\nb.png,3\n")
    assert load_dataset(str(tmp_path), IMAGE, PIXELS).labels == (7, 3)


def test_named_class_folders_give_no_labels(tmp_path: Path) -> None:
    images(tmp_path, "cat/a.png", "dog/b.png")
    assert load_dataset(str(tmp_path), IMAGE, PIXELS).labels is None


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("a.png,1\n", r"no label for b\.png"),
        ("a.png,1\nb.png,2\nc.png,3\n", r"names c\.png"),
        ("a.png,1\nb.png,cat\n", "line 2: expected file,label"),
        ("a.png,1\nb.png,-2\n", "line 2"),
        ("a.png,1\nb.png\n", "line 2"),
        ("a.png,1\na.png,2\n", "there twice"),
        (b"\xff\xfe\x00", "not a readable CSV"),
    ],
)
def test_a_wrong_label_table(tmp_path: Path, table: str | bytes, reason: str) -> None:
    images(tmp_path, "a.png", "b.png")
    (tmp_path / "labels.csv").write_bytes(table if isinstance(table, bytes) else table.encode())
    with pytest.raises(UserError, match=reason):
        load_dataset(str(tmp_path), IMAGE, PIXELS)


def test_images_outside_the_class_folders(tmp_path: Path) -> None:
    images(tmp_path, "0/a.png", "b.png")
    with pytest.raises(UserError, match=r"b\.png is in none"):
        load_dataset(str(tmp_path), IMAGE, PIXELS)


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no images"):
        load_dataset(str(tmp_path), IMAGE, PIXELS)
    images(tmp_path, "a.png")
    with pytest.raises(UserError, match="--preprocess"):
        load_dataset(str(tmp_path), IMAGE, None)
    with pytest.raises(UserError, match="feeds one input"):
        load_dataset(str(tmp_path), PAIR, PIXELS)
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"b\.png is not a readable image"):
        load_dataset(str(tmp_path), IMAGE, PIXELS)


def test_a_size_other_than_the_models_is_named(tmp_path: Path) -> None:
    images(tmp_path, "a.png")
    with pytest.raises(UserError, match=r"a\.png \(sample 0\), input image: shape \(1, 1, 8, 8\)"):
        load_dataset(str(tmp_path), IMAGE, parse_preprocess("size=8"))


# Arrays


@pytest.mark.parametrize("shape", [(6, 1, 4, 4), (6, 1, 1, 4, 4)])
@pytest.mark.parametrize("key", ["image", "x", "anything"])
def test_npz_with_or_without_the_batch_axis(
    tmp_path: Path, shape: tuple[int, ...], key: str
) -> None:
    array = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    dataset = load_dataset(npz(tmp_path, **{key: array, "y": np.arange(6)}), IMAGE)
    assert values(dataset) == [0, 16, 32, 48, 64, 80]
    assert dataset.labels == (0, 1, 2, 3, 4, 5)
    assert dataset.samples[0][0].shape == (1, 1, 4, 4)
    assert dataset.samples[0][0].dtype == np.float32


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((3, 1, 4, 4), np.float32))
    dataset = load_dataset(str(tmp_path / "x.npy"), IMAGE)
    assert len(dataset.samples) == 3
    dataset.samples[0][0][:] = 5  # an own, writable copy
    assert np.load(tmp_path / "x.npy").max() == 1


def test_several_inputs_by_name_in_any_order(tmp_path: Path) -> None:
    mask, ids = np.ones((3, 5), bool), np.arange(15, dtype=np.int32).reshape(3, 5)
    dataset = load_dataset(npz(tmp_path, mask=mask, ids=ids), PAIR)
    assert [x.dtype.name for x in dataset.samples[0]] == ["int64", "bool"]
    assert dataset.samples[2][0].tolist() == [[10, 11, 12, 13, 14]]


def test_an_input_may_be_called_y(tmp_path: Path) -> None:
    inputs = (TensorSpec("x", (1, 2), "float32"), TensorSpec("y", (1, 2), "float32"))
    dataset = load_dataset(npz(tmp_path, x=np.ones((3, 2)), y=np.zeros((3, 2))), inputs)
    assert dataset.labels is None


def test_a_scalar_input(tmp_path: Path) -> None:
    dataset = load_dataset(npz(tmp_path, t=np.arange(3.0)), (TensorSpec("t", (), "float32"),))
    assert [s[0].shape for s in dataset.samples] == [()] * 3


def test_bytes_are_cast_as_they_are_or_normalised_when_asked(tmp_path: Path) -> None:
    reference = npz(tmp_path, x=np.full((2, 1, 4, 4), 255, np.uint8))
    assert values(load_dataset(reference, IMAGE)) == [255, 255]
    assert values(load_dataset(reference, IMAGE, parse_preprocess("127/128"))) == [1, 1]
    prepared = npz(tmp_path, x=np.full((2, 1, 4, 4), 0.25))
    assert values(load_dataset(prepared, IMAGE, parse_preprocess("127/128"))) == [0.25, 0.25]


def test_normalising_goes_by_channel(tmp_path: Path) -> None:
    preprocess = parse_preprocess("scale=1,mean=1;2;3,std=1;2;4")
    for shape, axis in (((1, 3, 5, 5), 1), ((1, 5, 5, 3), 3)):
        reference = npz(tmp_path, x=np.full((1, *shape[1:]), 11, np.uint8))
        (sample,) = load_dataset(
            reference, (TensorSpec("x", shape, "float32"),), preprocess
        ).samples
        assert np.moveaxis(sample[0], axis, -1)[0, 0, 0].tolist() == [10, 4.5, 2]


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (
            np.zeros((2, 1, 5, 4), np.float32),
            r"data\.npz, sample 0, input image: shape \(1, 5, 4\)",
        ),
        (np.zeros((0, 1, 4, 4), np.float32), "holds no samples"),
        (np.float32(3), "first axis"),
        (np.zeros((2, 1, 4, 4), complex), "no array of numbers"),
        (np.full((2, 1, 4, 4), "a"), "no array of numbers"),
        (np.full((2, 1, 4, 4), 2**24 + 1), "cannot hold"),
        (np.full((2, 1, 4, 4), 1e300), "NaN or Inf"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, array: np.ndarray, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        load_dataset(npz(tmp_path, x=array), IMAGE)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_names_file_and_sample(tmp_path: Path, bad: float) -> None:
    array = np.zeros((4, 1, 4, 4), np.float32)
    array[2, 0, 1, 1] = bad
    with pytest.raises(UserError, match=r"data\.npz, sample 2, input image: has NaN or Inf"):
        load_dataset(npz(tmp_path, x=array), IMAGE)


@pytest.mark.parametrize(
    ("ids", "mask", "reason"),
    [
        (np.zeros((2, 5)), np.ones((2, 5), bool), "ids: is float64, the model takes int64"),
        (np.zeros((2, 5), int), np.ones((2, 5), int), "mask: is int64, the model takes bool"),
        (np.full((2, 5), 100), np.ones((2, 5), bool), "holds 100, the largest allowed is 99"),
        (np.full((2, 5), -1), np.ones((2, 5), bool), "holds -1, the smallest allowed is 0"),
        (np.full((2, 5), 2**63, np.uint64), np.ones((2, 5), bool), "cannot hold"),
        (np.zeros((2, 5), int), np.ones((3, 5), bool), r"different numbers of samples: \[2, 3\]"),
    ],
)
def test_unsafe_types_and_ranges(
    tmp_path: Path, ids: np.ndarray, mask: np.ndarray, reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        load_dataset(npz(tmp_path, ids=ids, mask=mask), PAIR)


def test_missing_inputs_are_listed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds ids, labels; the model's inputs are ids, mask"):
        load_dataset(npz(tmp_path, ids=np.zeros((2, 5), int), labels=np.zeros(2, int)), PAIR)
    with pytest.raises(UserError, match="holds a, b; the model's inputs are image"):
        load_dataset(npz(tmp_path, a=np.zeros(2), b=np.zeros(2)), IMAGE)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (np.zeros(3, int), "3 labels for 2 samples"),
        (np.zeros((2, 10), int), "one integer a sample"),
        (np.zeros(2), "one integer a sample"),
        (np.array([0, -1]), "label -1 is negative"),
    ],
)
def test_labels_that_do_not_fit(tmp_path: Path, labels: np.ndarray, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        load_dataset(npz(tmp_path, x=np.zeros((2, 1, 4, 4)), labels=labels), IMAGE)


def test_damaged_files(tmp_path: Path) -> None:
    good = Path(
        npz(tmp_path, x=np.random.default_rng(0).standard_normal((9, 1, 4, 4)))
    ).read_bytes()
    for name, content in {
        "empty.npz": b"",
        "text.npy": b"hello",
        "cut.npz": good[: len(good) // 2],
        "bits.npz": good[:300] + bytes(60) + good[360:],
        "short.npy": b"\x93NUMPY\x01\x00",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name} is not a readable"):
            load_dataset(str(tmp_path / name), IMAGE)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a readable"):
        load_dataset(npz(tmp_path, x=np.array([{}, {}], object)), IMAGE)


@pytest.mark.parametrize("reference", ["nowhere", "no/where.npz", "C:/data", ":f", "a:b:c"])
def test_what_does_not_exist(reference: str) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_dataset(reference, IMAGE)


# Functions

MODULE = """
import numpy as np

def arrays():
    for i in range(20):
        yield np.full((1, 4, 4), i, np.float32)

def tensors():
    import torch
    image = torch.ones((1, 1, 4, 4), requires_grad=True)
    return [(image * i, torch.tensor(i)) for i in range(3)]

def tuples():
    yield (np.zeros((1, 1, 4, 4)),)

def pairs():
    yield np.zeros(5, np.int64), np.ones(5, bool)

def dicts():
    yield {"mask": np.ones(5, bool), "ids": np.full(5, 7)}, 3

def half_labelled():
    yield np.zeros((1, 4, 4)), 3
    yield np.zeros((1, 4, 4))

def wrong_keys():
    yield {"ids": np.zeros(5, int)}

def wrong_label():
    yield np.zeros((1, 4, 4)), 0.5

def bad_second():
    yield np.zeros((1, 4, 4))
    yield np.full((1, 4, 4), np.nan)

def nothing():
    return []

def none():
    return None

def strings():
    yield "image.png"

def ragged():
    yield [[[1, 2], [3]]],

def raises():
    yield np.zeros((1, 4, 4))
    raise KeyError("oops")

def needs(argument):
    return []

number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    name = f"samples_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    return name


def test_a_function_in_the_current_folder(module: str) -> None:
    before = list(sys.path)
    assert values(load_dataset(f"{module}:arrays", IMAGE)) == list(range(20))
    assert sys.path == before


def test_tensors_with_labels(module: str) -> None:
    dataset = load_dataset(f"{module}:tensors", IMAGE)
    assert (values(dataset), dataset.labels) == ([0, 1, 2], (0, 1, 2))


def test_tuples_pairs_and_dicts(module: str) -> None:
    assert len(load_dataset(f"{module}:tuples", IMAGE).samples) == 1
    assert load_dataset(f"{module}:pairs", PAIR).labels is None
    dataset = load_dataset(f"{module}:dicts", PAIR)
    assert dataset.labels == (3,)
    assert dataset.samples[0][0].tolist() == [[7] * 5]


def test_a_function_with_a_limit_keeps_the_order(module: str) -> None:
    chosen = values(load_dataset(f"{module}:arrays", IMAGE, limit=6))
    assert len(set(chosen)) == 6
    assert chosen == sorted(chosen)
    assert max(chosen) > 6  # not the first ones
    everything = load_dataset(f"{module}:arrays", IMAGE)
    assert everything.left_out == 0
    left_out = load_dataset(f"{module}:arrays", IMAGE, limit=6).left_out
    assert left_out == len(everything.samples) - 6
    assert chosen == values(load_dataset(f"{module}:arrays", IMAGE, limit=6))


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("half_labelled", "only 1 of 2 samples have a label"),
        ("wrong_keys", "sample 0: has 1 inputs|sample 0: has ids"),
        ("wrong_label", "is not a class number"),
        ("bad_second", "sample 1, input image: has NaN"),
        ("nothing", "holds no samples"),
        ("none", "gives NoneType"),
        ("strings", "no array of numbers"),
        ("ragged", "no array of numbers"),
        ("raises", r"raised KeyError: 'oops' At .*samples_.*\.py:\d+"),
        ("needs", "raised TypeError"),
        ("number", "is int, not a function"),
        ("missing", "has no missing"),
    ],
)
def test_functions_that_cannot_be_used(module: str, function: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        load_dataset(f"{module}:{function}", PAIR if function == "wrong_keys" else IMAGE)


def test_modules_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="there is no module no_such_module"):
        load_dataset("no_such_module:f", IMAGE)
    (tmp_path / "module_with_a_bug.py").write_text("1 / 0\n")
    with pytest.raises(UserError, match="importing it raised ZeroDivisionError"):
        load_dataset("module_with_a_bug:f", IMAGE)


# Choice


@pytest.mark.parametrize(
    ("count", "limit"), [(100, 10), (101, 10), (10, 9), (1000, 1), (7, 7), (3, 10)]
)
def test_a_limit_takes_one_of_each_stretch(tmp_path: Path, count: int, limit: int) -> None:
    array = np.repeat(np.arange(count, dtype=np.float32), 16).reshape(count, 1, 4, 4)
    reference = npz(tmp_path, x=array, y=np.arange(count))
    dataset = load_dataset(reference, IMAGE, limit=limit)
    chosen = values(dataset)
    assert dataset.labels == tuple(int(c) for c in chosen)  # labels stay with their samples
    kept = min(limit, count)
    assert [int(((c + 1) * kept - 1) // count) for c in chosen] == list(range(kept))
    assert values(load_dataset(reference, IMAGE, limit=limit)) == chosen


@pytest.mark.parametrize("order", [np.sort, np.asarray])
def test_sorted_and_repeating_classes_are_both_spread(tmp_path: Path, order: object) -> None:
    labels = order(np.arange(1000) % 10)  # type: ignore[operator]
    dataset = load_dataset(npz(tmp_path, x=np.zeros((1000, 1, 4, 4)), y=labels), IMAGE, limit=100)
    assert set(dataset.labels or ()) == set(range(10))


def test_a_limit_below_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 1"):
        load_dataset(npz(tmp_path, x=np.zeros((2, 1, 4, 4))), IMAGE, limit=0)


# Random, overlap


def test_random_inputs_have_the_models_types_and_ranges() -> None:
    inputs = (
        *PAIR,
        TensorSpec("x", (2, 3), "float16"),
        TensorSpec("token", (200,), "int32"),
        TensorSpec("pixels", (200,), "uint8"),
        TensorSpec("scalar", (), "float32"),
    )
    dataset = random_dataset(inputs, 20, seed=3)
    assert dataset.random
    assert len(dataset.samples) == 20
    for sample in dataset.samples:
        assert [(x.shape, x.dtype.name) for x in sample] == [(s.shape, s.dtype) for s in inputs]
    ids = np.concatenate([s[0] for s in dataset.samples])
    assert ids.min() >= 0
    assert 50 < ids.max() < 100
    assert {int(v) for s in dataset.samples for v in s[3]} == {0, 1}
    assert max(int(s[4].max()) for s in dataset.samples) > 200


def test_random_inputs_repeat_with_their_seed() -> None:
    first, again, other = (random_dataset(IMAGE, 4, seed) for seed in (1, 1, 2))
    assert overlap(first, again) == 4
    assert overlap(first, other) == 0


@pytest.mark.parametrize(
    "spec", [TensorSpec("i", (1,), "int64", 5, 5), TensorSpec("c", (1,), "complex64")]
)
def test_random_inputs_that_cannot_be_made(spec: TensorSpec) -> None:
    with pytest.raises(UserError, match="Input"):
        random_dataset((spec,), 1)


def test_overlap_counts_equal_samples_only() -> None:
    def dataset(*numbers: float, dtype: type = np.float32) -> Dataset:
        return Dataset(tuple((np.array([n], dtype), np.array(1)) for n in numbers))

    assert overlap(dataset(1, 2, 3, 2), dataset(2, 4)) == 2
    assert overlap(dataset(1, 2), dataset(3)) == 0
    assert overlap(dataset(0), dataset(0, dtype=np.int32)) == 0
