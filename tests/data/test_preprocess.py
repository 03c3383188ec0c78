"""The text of --preprocess, and what it does to pixels."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from exporter.data import Preprocess, parse_preprocess
from exporter.data.pixels import image_tensor
from exporter.errors import UserError
from exporter.types import TensorSpec


def spec(*shape: int, dtype: str = "float32") -> TensorSpec:
    return TensorSpec("image", shape, dtype)


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """40 high, 60 wide, every pixel different enough to see where it went."""
    rows, columns = np.mgrid[0:40, 0:60]
    return save(tmp_path / "photo.png", np.stack([rows * 6, columns * 4, rows + columns], axis=-1))


def test_presets() -> None:
    imagenet = parse_preprocess("imagenet")
    assert (imagenet.resize, imagenet.size, imagenet.scale) == (256, (224, 224), 255)
    assert imagenet.mean == (0.485, 0.456, 0.406)
    assert parse_preprocess("127/128") == Preprocess(scale=1, mean=(127,), std=(128,))
    assert parse_preprocess("127.5/127.5").mean == (127.5,)


def test_a_preset_can_be_refined_and_every_key_read() -> None:
    refined = parse_preprocess("imagenet, size=192, resize=219")
    assert (refined.size, refined.resize, refined.std) == ((192, 192), 219, (0.229, 0.224, 0.225))
    own = parse_preprocess(
        "size=32x48,mean=1;2;3,std=4;5;6,scale=1,order=BGR,fit=stretch,interpolation=bicubic"
    )
    assert own == Preprocess((32, 48), None, "stretch", (1, 2, 3), (4, 5, 6), 1, "bgr", "bicubic")


@pytest.mark.parametrize(
    "text",
    [
        "", "imagnet", "size=224,imagenet", "crop=3", "size", "size=0", "size=-3",
        "size=axb", "resize=1.5",
        "mean=a", "mean=0.5;;0.5", "mean=0.1;0.2", "mean=nan", "std=0", "std=inf", "scale=0",
        "order=gbr",
        "interpolation=magic", "size=3,size=4", "resize=4,fit=stretch", "127/0", "imagenet,",
        "mean=123.675;116.28;103.53", "127/128,mean=300", "127/-1",
    ],
)  # fmt: skip
def test_malformed_text_is_the_users_error(text: str) -> None:
    with pytest.raises(UserError, match="preprocess"):
        parse_preprocess(text)


def test_means_on_the_wrong_scale_get_a_hint() -> None:
    with pytest.raises(UserError, match="scale=1"):
        parse_preprocess("mean=123.675;116.28;103.53")
    assert parse_preprocess("scale=1,mean=123.675;116.28;103.53").mean[0] == 123.675


def test_it_survives_json_and_is_validated() -> None:
    adapter = TypeAdapter(Preprocess)
    before = parse_preprocess("imagenet,order=bgr")
    assert adapter.validate_json(json.dumps(asdict(before))) == before
    with pytest.raises(ValidationError):
        adapter.validate_python({"order": "gbr"})


def test_numbers_by_hand(tmp_path: Path) -> None:
    path = save(tmp_path / "one.png", np.full((2, 2, 3), (255, 127, 0)))
    out = image_tensor(path, parse_preprocess("127/128"), spec(1, 3, 2, 2))
    assert out.dtype == np.float32
    assert out.shape == (1, 3, 2, 2)
    assert out[0, :, 0, 0].tolist() == [1.0, 0.0, -127 / 128]
    out = image_tensor(path, parse_preprocess("imagenet,size=2,resize=2"), spec(1, 3, 2, 2))
    wanted = (np.array([1, 127 / 255, 0]) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert out[0, :, 0, 0] == pytest.approx(wanted, rel=1e-6)


def test_bgr_reverses_channels_and_means_follow_the_model(tmp_path: Path) -> None:
    path = save(tmp_path / "one.png", np.full((2, 2, 3), (10, 20, 30)))
    out = image_tensor(path, parse_preprocess("scale=1,order=bgr,mean=1;2;3"), spec(1, 3, 2, 2))
    assert out[0, :, 0, 0].tolist() == [29, 18, 7]


@pytest.mark.parametrize("shape", [(1, 3, 20, 30), (1, 20, 30, 3), (3, 20, 30), (20, 30, 3)])
def test_layout_is_that_of_the_input(photo: Path, shape: tuple[int, ...]) -> None:
    plain = image_tensor(photo, Preprocess(), spec(1, 3, 20, 30))[0]
    out = image_tensor(photo, Preprocess(), spec(*shape))
    assert out.shape == shape
    out = out.reshape(shape[-3:])
    assert np.array_equal(out if shape[-3] == 3 else out.transpose(2, 0, 1), plain)


def test_grey_where_the_model_takes_one_channel(photo: Path) -> None:
    out = image_tensor(photo, Preprocess(scale=1), spec(1, 1, 40, 60))
    assert np.array_equal(out[0, 0], np.asarray(Image.open(photo).convert("L"), np.float32))


def test_resize_and_centre_crop_equal_pillow(photo: Path) -> None:
    out = image_tensor(photo, parse_preprocess("resize=20,size=16,scale=1"), spec(1, 3, 16, 16))
    wanted = Image.open(photo).resize((30, 20), Image.Resampling.BILINEAR).crop((7, 2, 23, 18))
    assert np.array_equal(out[0], np.asarray(wanted, np.float32).transpose(2, 0, 1))


def test_without_resize_the_largest_centre_is_cut_out_and_stretch_takes_all(photo: Path) -> None:
    cut = image_tensor(photo, parse_preprocess("scale=1,interpolation=nearest"), spec(1, 3, 40, 40))
    original = np.asarray(Image.open(photo), np.float32).transpose(2, 0, 1)
    assert np.array_equal(cut[0], original[:, :, 10:50])
    whole = image_tensor(photo, parse_preprocess("scale=1,fit=stretch"), spec(1, 3, 40, 40))
    assert whole[0, 1, 0, 0] < cut[0, 1, 0, 0]  # the left edge is still there
    assert whole[0, 1, 0, -1] > cut[0, 1, 0, -1]


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[[255] * 3, [0] * 3]], np.uint8))  # white left of black
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees: white on top
    image.save(tmp_path / "turned.png", exif=exif)
    out = image_tensor(tmp_path / "turned.png", Preprocess(), spec(1, 3, 2, 1))
    assert out[0, 0].ravel().tolist() == [1, 0]


def test_an_integer_input_gets_the_pixels(photo: Path) -> None:
    out = image_tensor(photo, Preprocess(), spec(1, 40, 60, 3, dtype="uint8"))
    assert np.array_equal(out[0], np.asarray(Image.open(photo)))
    with pytest.raises(UserError, match="mean and std cannot apply"):
        image_tensor(photo, parse_preprocess("127/128"), spec(1, 40, 60, 3, dtype="uint8"))


@pytest.mark.parametrize(
    ("text", "shape", "reason"),
    [
        ("size=4", (1, 4, 4, 4), "no image of 1 or 3 channels"),
        ("size=4", (1, 16), "no image"),
        ("size=4", (2, 3, 4, 4), "2 images at once"),
        ("resize=10,size=20", (1, 3, 20, 20), "smaller than the size 20x20"),
        ("imagenet,size=4", (1, 1, 4, 4), "for 3 channels"),
    ],
)
def test_what_does_not_fit_the_model(
    photo: Path, text: str, shape: tuple[int, ...], reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        image_tensor(photo, parse_preprocess(text), spec(*shape))


def test_sixteen_bit_images_are_refused_rather_than_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 40000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(UserError, match="8 bits"):
        image_tensor(tmp_path / "deep.png", Preprocess(), spec(1, 1, 4, 4))


def test_a_damaged_image_is_named(photo: Path) -> None:
    whole = photo.read_bytes()
    photo.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"photo\.png is not a readable image"):
        image_tensor(photo, Preprocess(), spec(1, 3, 40, 60))
