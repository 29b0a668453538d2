"""Pictures: every way a file can hold one, size and colour, standardising, what cannot be read."""

import io
import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

from lamina.core.errors import DataError, SettingError
from lamina.core.protocols import Column, Field
from lamina.fields._pixels import Unreadable, decode, fit_square
from lamina.fields.image import Image

RAMP = (np.indices((20, 30)).sum(0) * 5).astype(np.uint8)  # (20, 30) grey
COLOUR = np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=2)


def saved(picture, format="PNG", **more):
    out = io.BytesIO()
    picture.save(out, format, **more)
    return out.getvalue()


def fitted(values, source="", **more):
    column, field = Column("photo", values, source), Image("photo", **more)
    field.fit(column)
    return field, column


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 9), st.sampled_from([1, 3]), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_arrays_come_back_and_a_restored_field_is_the_same(size, channels, count, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (count, size, size, channels), np.uint8)
    field, column = fitted(list(pixels))
    assert field.sizes() == {"channels": channels, "size": size}
    planes = field.encode(column)["image"]
    assert planes.dtype == np.uint8 and planes.shape == (count, channels, size, size)
    np.testing.assert_array_equal(field.decode(planes), pixels)
    np.testing.assert_array_equal(field.decode(field.standardise(torch.from_numpy(planes))), pixels)
    again = Image.restore("photo", json.loads(json.dumps(field.state())))
    assert again.state() == field.state()
    np.testing.assert_array_equal(again.encode(column)["image"], planes)


@pytest.mark.covers("data/normalisation-preprocessing")
def test_training_pixels_have_mean_nought_and_deviation_one():
    field, column = fitted([COLOUR[:, i : i + 20] for i in range(10)])
    planes = field.encode(column)["image"]
    for found in (field.standardise(planes), field.standardise(torch.from_numpy(planes)).numpy()):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.mean(axis=(0, 2, 3)), 0, atol=1e-5)
        np.testing.assert_allclose(found.std(axis=(0, 2, 3)), 1, atol=1e-5)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16", "CMYK"])
def test_reads_every_mode_as_pillow_shows_it(mode):
    source = Pillow.fromarray(RAMP if mode in ("1", "L", "LA", "I;16") else COLOUR)
    if mode == "I;16":
        picture = Pillow.fromarray(RAMP.astype(np.uint16) * 257)
    else:
        picture = source.convert(mode)
    expected = np.asarray(source.convert("RGB") if mode == "I;16" else picture.convert("RGB"))
    found = decode(saved(picture, "TIFF" if mode == "CMYK" else "PNG"), channels=3)
    np.testing.assert_array_equal(found, expected)
    assert decode(saved(picture, "TIFF" if mode == "CMYK" else "PNG")).shape[2] == (
        1 if mode in ("1", "L", "LA", "I;16") else 3
    )


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("CMYK", 3)])
def test_reads_jpegs_within_their_loss(mode, channels):
    smooth = Pillow.fromarray(np.stack([RAMP // 2] * 3, axis=2)).convert(mode)
    found = decode(saved(smooth, "JPEG", quality=95))
    assert found.shape == (20, 30, channels)
    assert np.abs(found.astype(int) - np.asarray(smooth.convert("RGB"))[:, :, :channels]).max() < 12


def test_transparency_lies_over_white_or_is_kept():
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2, :, 3] = 255  # black above, clear below
    data = saved(Pillow.fromarray(pixels))
    found = decode(data)
    assert (found[:2] == 0).all() and (found[2:] == 255).all() and found.shape == (4, 4, 3)
    np.testing.assert_array_equal(decode(data, channels=4), pixels)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_pictures_stand_the_right_way_up(turn, format):
    exif = Pillow.Exif()
    exif[0x0112] = turn
    data = saved(Pillow.fromarray(COLOUR), format, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Pillow.open(io.BytesIO(data))))
    found = decode(data)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= (8 if format == "JPEG" else 0)  # two JPEG decoders round apart


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty (0 bytes)"),
        (b"no picture at all", "it is none of JPEG, PNG, GIF, BMP, WEBP, TIFF, PPM"),
        (saved(Pillow.fromarray(COLOUR))[:60], "it is damaged"),
        (saved(Pillow.fromarray(COLOUR), "JPEG")[:500], "it is damaged"),
        (saved(Pillow.fromarray(RAMP[:1, :1])), "it has 1x1 pixels, which shows nothing"),
        (saved(Pillow.fromarray(RAMP.astype(np.float32)), "TIFF"), "it has floating-point pixels of no known range"),
    ],
    ids=["empty", "no picture", "half a PNG", "half a JPEG", "one pixel", "floating point"],
)
def test_says_why_a_picture_cannot_be_read(data, reason):
    with pytest.raises(Unreadable, match=re.escape(reason)):
        decode(data)


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_a_picture_beyond_the_limit_is_not_decoded(format):
    with pytest.raises(Unreadable, match=r"it has 30x20 pixels, and at most 100 are read"):
        decode(saved(Pillow.fromarray(COLOUR), format), pixels=100)


def test_covers_pads_or_stretches():
    pixels = np.full((10, 20, 1), 200, np.uint8)
    pixels[:, :5] = pixels[:, 15:] = 0  # dark left and right
    assert (fit_square(pixels, 10, "cover") == 200).all()
    padded = fit_square(pixels, 20, "pad")
    np.testing.assert_array_equal(padded[5:15], pixels)
    assert (padded[:5] == 0).all() and (padded[15:] == 0).all()
    stretched = fit_square(pixels, 10, "stretch")[:, :, 0]
    assert (stretched[:, 0] == 0).all() and (stretched[:, 5] == 200).all()


def test_the_size_is_the_median_shorter_side():
    assert fitted([RAMP, RAMP[:10], RAMP[:4]])[0].size == 10
    assert fitted([np.zeros((300, 400), np.uint8)])[0].size == 224
    assert fitted([RAMP], size=7)[0].sizes() == {"channels": 1, "size": 7}


def test_one_colour_picture_makes_all_colour():
    field, column = fitted([RAMP, COLOUR])
    planes = field.encode(column)["image"]
    assert planes.shape[1] == 3
    np.testing.assert_array_equal(planes[0, 0], planes[0, 2])


def folder(tmp_path, count=40):
    for i in range(count):
        Pillow.fromarray(np.full((8, 8, 3), 5 * i, np.uint8)).save(tmp_path / f"{i}.png")
    return [f"{i}.png" for i in range(count)], str(tmp_path / "labels.csv")


def test_paths_are_read_beside_the_table_in_order(tmp_path):
    names, source = folder(tmp_path)
    field, column = fitted(names, source)
    assert Image.guess(column) > 0.9
    assert field.encode(column)["image"][:, 0, 0, 0].tolist() == [5 * i for i in range(40)]
    assert not {"folder", "outside"} & field.state().keys()


def test_bad_pictures_are_named_or_collected(tmp_path):
    names, source = folder(tmp_path)
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "5.png").unlink()
    field, column = fitted(names, source)
    words = f"of {source} has 2 pictures that cannot be read (rows 5, 7); the first: {tmp_path / '3.png'}: the file is"
    with pytest.raises(DataError, match=re.escape(words)):
        field.encode(column)
    skip = []
    planes = field.encode(column, skip)["image"]
    assert [i for i, _ in skip] == [3, 5] and "No such file" in skip[1][1]
    assert (planes[[3, 5]] == 0).all() and (planes[4] == 20).all()
    assert "2 of 40 pictures cannot be read" in field.check(column)[0]
    one = Column("photo", ["3.png"], source)
    with pytest.raises(DataError, match=r"has a picture that cannot be read, row 2 of .*: the file is empty"):
        field.encode(one, [])


def test_a_path_does_not_leave_the_folder_unless_told(tmp_path):
    names, _ = folder(tmp_path, 2)
    inner = tmp_path / "inner"
    inner.mkdir()
    source, values = str(inner / "labels.csv"), [f"../{name}" for name in names]
    with pytest.raises(DataError, match=re.escape(f"../0.png lies outside of the folder {inner}")):
        fitted(values, source)
    assert fitted(values, source, outside=True)[0].size == 8
    assert fitted(names, source, folder=str(tmp_path))[0].size == 8


def test_mixed_sizes_are_said():
    field, column = fitted([COLOUR, COLOUR[:10, :10]])
    assert (
        field.check(column)
        == ['Column "photo" has pictures from 10x10 to 30x20 pixels; they are scaled and cut to 15x15 (size, resize).']
        or field.size != 15
    )
    assert field.size == 15


def test_a_thumbnail_is_a_small_png():
    field, column = fitted([COLOUR], size=20)
    for value in (COLOUR, RAMP, field.encode(column)["image"][0], saved(Pillow.fromarray(COLOUR))):
        picture = Pillow.open(io.BytesIO(field.thumbnail(value, side=16)))
        assert picture.format == "PNG" and picture.size == (16, 16)


def test_messages_of_settings():
    with pytest.raises(SettingError, match="resize is one of cover, pad, stretch, but 'crop' came"):
        Image("x", resize="crop")
    with pytest.raises(SettingError, match="a size of 1 to 8,000 and 1, 3 or 4 channels, not 0 and 2"):
        Image("x", size=0, channels=2)
    with pytest.raises(DataError, match="it is float64 of shape"):
        fitted([np.zeros((4, 4))])


def test_is_a_field():
    assert isinstance(Image("x"), Field)
    assert Image.guess(Column("x", ["a", "b"])) == 0 and Image.guess(Column("x", [RAMP])) == 1
