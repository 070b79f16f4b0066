"""Pictures as grey levels, against Pillow, closed forms and brute force."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.data.pictures import photo
from tfp_flows import data
from tfp_flows.data.decoding import SUFFIXES, Unfit, decode, looks_like_picture


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def image_of(picture, over=None):
    return decode(picture, over).image


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "JPEG2000", "PPM", "QOI", "DIB"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_lossless_formats_give_the_pixels(rng, kind, mode):
    image = photo(rng, 9, 7).convert(mode)
    if kind == "QOI" and mode == "L":
        pytest.skip("QOI has no grey")
    options = {"lossless": True} if kind == "WEBP" else {}
    found = decode(encoded(image, kind, **options))
    expected = np.asarray(image).reshape(9, 7, -1)
    if kind == "WEBP" and mode == "L":
        expected = np.repeat(expected, 3, axis=-1)  # which has no grey either
    np.testing.assert_array_equal(found.image, expected)
    assert found.fact.mode in ("grey", "RGB") and (found.fact.height, found.fact.width) == (9, 7)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "P", "1"])
def test_other_modes_are_what_pillow_makes_of_them(rng, mode):
    image = photo(rng, 8, 8).convert(mode)
    expected = np.asarray(image.convert("L" if mode == "1" else "RGB")).reshape(8, 8, -1)
    np.testing.assert_array_equal(image_of(image), expected)


def test_cmyk_by_its_formula(rng):
    levels = rng.integers(0, 256, (6, 6, 4), np.uint8)
    found = image_of(encoded(Image.fromarray(levels, "CMYK"), "TIFF")).astype(float)
    inks = levels.astype(float)
    np.testing.assert_allclose(found, (255 - inks[..., :3]) * (255 - inks[..., 3:]) / 255, atol=1)


def test_lab_greys_are_grey_and_white_is_white():
    for light in (0, 128, 255):
        found = image_of(Image.new("LAB", (4, 4), (light, 128, 128))).astype(int)
        assert np.ptp(found) <= 3 and (light not in (0, 255) or abs(found - light).max() <= 2)


def test_16_bits_are_rounded_not_cut_off(rng):
    deep = rng.integers(0, 2**16, (20, 20, 3), np.uint16)
    expected = np.rint(deep / 257).astype(np.uint8)
    found = decode(tf.io.encode_png(deep).numpy())
    np.testing.assert_array_equal(found.image, expected)
    assert found.fact.mode == "16 bits"
    for kind in ("PNG", "TIFF", "PPM"):
        grey = image_of(encoded(Image.fromarray(deep[..., 0]), kind))
        np.testing.assert_array_equal(grey, expected[..., :1])


@pytest.mark.parametrize("place", [0.3, 0.6, 0.95])
def test_a_damaged_picture_of_16_bits_is_refused(rng, place):
    sound = tf.io.encode_png(rng.integers(0, 2**16, (40, 40, 3), np.uint16)).numpy()
    cut = int(place * len(sound))
    for damaged in (sound[:cut], sound[:cut] + bytes([sound[cut] ^ 255]) + sound[cut + 1 :]):
        with pytest.raises(Unfit, match="cannot be read as a picture"):
            decode(damaged)


@pytest.mark.parametrize("over", [(255, 255, 255), (0, 0, 0), (255, 128, 7)])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_by_brute_force(rng, over, mode):
    levels = rng.integers(0, 256, (16, 16, len(mode)), np.uint8)
    found = image_of(encoded(Image.fromarray(levels, mode)), over)
    assert found.shape[-1] == (1 if mode == "LA" and len(set(over)) == 1 else 3)
    for where in np.ndindex(16, 16):
        *colour, alpha = (float(value) for value in levels[where])
        for channel in range(found.shape[-1]):
            exact = (alpha * colour[channel % len(colour)] + (255 - alpha) * over[channel]) / 255
            assert abs(found[where][channel] - exact) <= 0.5


def test_deep_transparency_by_brute_force(rng):
    deep = rng.integers(0, 2**16, (9, 9, 4), np.uint16)
    found = image_of(tf.io.encode_png(deep).numpy(), (255, 0, 9))
    share = deep[..., 3:] / 65535
    exact = (share * deep[..., :3] + (1 - share) * np.array([255, 0, 9]) * 257) / 257
    assert np.abs(found - exact).max() <= 0.5 + 1 / 257


@pytest.mark.parametrize("mode, clear", [("L", 3), ("RGB", (1, 2, 3)), ("P", 0), ("1", 1)])
def test_a_transparent_level_is_laid_over_the_colour(mode, clear):
    image = Image.new(mode, (4, 2), clear)
    if mode == "P":
        image.putpalette([10, 20, 30] * 256)
    picture = encoded(image, transparency=clear)
    with pytest.raises(Unfit, match="has transparency: add @over=white") as error:
        decode(picture)
    assert error.value.transparent
    found = decode(picture, (255, 255, 255))
    assert (found.image == 255).all() and found.fact.flattened


def test_the_first_frame_is_taken_and_said(rng):
    frames = [photo(rng, 8, 8) for _ in range(3)]
    for kind in ("PNG", "WEBP", "TIFF", "GIF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        found = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
        single = decode(encoded(frames[0], kind, **options))
        np.testing.assert_array_equal(found.image, single.image)
        assert found.fact.first_frame and not single.fact.first_frame


def test_a_second_picture_in_a_jpeg_is_no_frame(rng):
    """Phones add depths or a brighter picture; Pillow calls that MPO."""
    first, second = photo(rng, 16, 16), photo(rng, 16, 16)
    found = decode(encoded(first, "MPO", save_all=True, append_images=[second]))
    assert not found.fact.first_frame and found.image.shape == (16, 16, 3)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "TGA"])
def test_formats_that_run_programs_or_are_no_photographs_are_not_read(rng, kind):
    with pytest.raises(Unfit, match="its format is not known"):
        decode(encoded(photo(rng, 16, 16), kind))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "JPEG2000", "AVIF"])
def test_a_file_without_a_suffix_is_known_by_its_first_bytes(tmp_path, rng, kind):
    (tmp_path / "x").write_bytes(encoded(photo(rng, 16, 16), kind))
    assert looks_like_picture(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"P5 is a level of trust")
    assert not looks_like_picture(tmp_path / "x")


def test_suffixes_are_pillows_own():
    known = Image.registered_extensions()
    assert known.keys() >= SUFFIXES
    assert {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif"} <= SUFFIXES


@pytest.fixture
def preparation():
    operations = data.names.take_apart("folder:x@over=#ff8000@resize=6x5@contrast=0.25@rgb").operations
    return data.Preparation(operations, (6, 5, 3), ((100.5, 90.25, 7.0),))


def test_a_preparation_is_json(preparation):
    text = json.dumps(preparation.to_json())
    assert data.Preparation.from_json(json.loads(text)) == preparation
    assert preparation.text == "@over=#ff8000@resize=6x5@contrast=0.25@rgb"


@pytest.mark.parametrize(
    "key, value",
    [
        ("operations", "resize=4"),
        ("operations", "@resise=4"),
        ("operations", 3),
        ("image_shape", [4, 4]),
        ("image_shape", [4, True, 1]),
        ("image_shape", [0, 4, 1]),
        ("image_shape", [10**9, 10**9, 3]),
        ("means", [[float("nan")] * 3]),
        ("means", [["1"]]),
        ("means", [[1.0], [2.0]]),
        ("means", 7),
    ],
)
def test_a_damaged_preparation_is_refused(preparation, key, value):
    with pytest.raises(data.DataError) as error:
        data.Preparation.from_json({**preparation.to_json(), key: value})
    assert (
        "\n" not in str(error.value) and "preparation" in str(error.value) or "@resise" in str(error.value)
    )


def test_every_form_of_a_picture_is_prepared_alike(tmp_path, rng, preparation):
    image = photo(rng, 12, 10)
    image.save(tmp_path / "x.png")
    forms = [
        tmp_path / "x.png",
        str(tmp_path / "x.png"),
        (tmp_path / "x.png").read_bytes(),
        image,
        np.asarray(image),
    ]
    images = data.read_pictures(forms, preparation)
    assert images.shape == (5, 6, 5, 3) and images.dtype == np.uint8
    np.testing.assert_array_equal(images, np.broadcast_to(images[0], images.shape))
    np.testing.assert_array_equal(data.read_pictures(np.stack([forms[-1]] * 2), preparation), images[:2])
    np.testing.assert_array_equal(data.read_pictures(image, preparation), images[:1])
    resized = tf.image.resize(np.asarray(image)[None], (6, 5), antialias=True).numpy()[0]
    means = np.array(preparation.means[0])
    expected = np.rint(means + 0.25 * (np.rint(resized) - means))
    np.testing.assert_array_equal(images[0], expected)


@pytest.mark.parametrize(
    "picture, problem",
    [
        ("nowhere.png", "nowhere.png: cannot be read: No such file"),
        (b"no picture", "a picture: cannot be read as a picture: its format is not known"),
        (np.zeros((4, 4), np.float32), r"must be uint8 \[H, W\] or \[H, W, C\], got float32 \[4, 4\]"),
        (np.zeros((4, 4, 2), np.uint8), "@rgb needs images with 1 or 3 channels"),
    ],
)
def test_a_picture_that_cannot_be_had_is_one_line(picture, problem):
    operations = data.names.take_apart("folder:x@resize=4@rgb").operations
    with pytest.raises(data.DataError, match=problem) as error:
        data.read_pictures(picture, data.Preparation(operations, (4, 4, 3)))
    assert "\n" not in str(error.value)


def test_a_preparation_without_its_means_or_of_another_shape_says_so(preparation, rng):
    image = np.asarray(photo(rng, 9, 9))
    with pytest.raises(data.DataError, match="means that @contrast needs are not kept"):
        data.Preparation(preparation.operations, (6, 5, 3)).prepared(image)
    with pytest.raises(data.DataError, match="is 9x9x3, but 8x8x3 is wanted"):
        data.Preparation((), (8, 8, 3)).prepared(image)
    with pytest.raises(data.DataError, match="there is no picture"):
        data.read_pictures([], preparation)


@pytest.mark.parametrize("mode", ["L", "I;16", "CMYK", "RGB"])
@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_a_turned_tiff_without_compression_is_the_same_from_its_path_and_from_its_bytes(
    rng, tmp_path, mode, orientation
):
    shape = (5, 9, len(mode)) if mode in ("CMYK", "RGB") else (5, 9)
    levels = rng.integers(0, 256, shape, np.uint8)
    if mode == "I;16":
        image = Image.fromarray(levels.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(levels, mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "turned.tiff", exif=exif)
    found = decode(tmp_path / "turned.tiff").image
    np.testing.assert_array_equal(found, decode((tmp_path / "turned.tiff").read_bytes()).image)
    if mode != "CMYK":
        upright = {1: levels, 6: np.rot90(levels, -1), 8: np.rot90(levels)}[orientation]
        np.testing.assert_array_equal(found, upright.reshape(found.shape))
