"""Folders of PNG and JPEG files: what is read, and what is said of files that do not fit."""

import os
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.data.images import error_of, grey_images, write_png
from tfp_flows import data


def test_folder_reads_png_and_jpeg_recursively_in_order(tmp_path, rng):
    images = grey_images(rng, 40)[..., 0]
    for index, image in enumerate(images):
        write_png(tmp_path / f"{index % 3}" / f"{index:02d}.PNG", image)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_text("no image")
    name = f"folder:{tmp_path}"
    seen = []
    for split in data.SPLITS:
        part = data.load(name, split)
        assert part.image_shape == (6, 5, 1) and part.label_names == ("0", "1", "2")
        for key, label, image in zip(part.keys, part.labels, part.images, strict=True):
            assert label == int(key[0])
            np.testing.assert_array_equal(image[..., 0], images[int(key[2:4])])
        seen += part.keys
    assert sorted(seen) == sorted(f"{i % 3}/{i:02d}.PNG" for i in range(40))
    assert list(data.load(name).keys) == sorted(data.load(name).keys)


def test_adding_files_moves_no_other_file_to_another_part(tmp_path, rng):
    image = grey_images(rng, 1)[0, ..., 0]
    for index in range(60):
        write_png(tmp_path / f"{index}.png", image)
    before = data.load(f"folder:{tmp_path}").keys
    assert 1 <= len(before) <= 15
    for index in range(60, 120):
        write_png(tmp_path / f"{index}.png", image)
    after = data.load(f"folder:{tmp_path}").keys
    assert set(before) == {key for key in after if int(key.split(".")[0]) < 60}


def test_folder_with_train_and_test_subfolders(tmp_path, rng):
    pixels = grey_images(rng, 9, channels=3)
    for index, image in enumerate(pixels[:6]):
        write_png(tmp_path / "train" / f"{index}.png", image)
    for index, image in enumerate(pixels[6:]):
        write_png(tmp_path / "test" / f"{index}.png", image)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("no image")
    test = data.load(f"folder:{tmp_path}")
    assert test.keys == ("test/0.png", "test/1.png", "test/2.png")
    np.testing.assert_array_equal(test.images, pixels[6:])
    assert len(data.load(f"folder:{tmp_path}", "train")) == 4
    write_png(tmp_path / "other" / "0.png", pixels[0])
    assert "looks divided" in error_of(f"folder:{tmp_path}")
    test = data.load(f"folder:{tmp_path}", division=1)
    assert test.keys == ("test/0.png", "test/1.png", "test/2.png")
    assert len(data.load(f"folder:{tmp_path}", "train", division=1)) == 4


def test_folder_reads_jpeg_and_bilevel_png(tmp_path, rng):
    smooth = np.tile(np.arange(0, 160, 10, dtype=np.uint8), (16, 1))
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    Image.fromarray(smooth).save(tmp_path / "test" / "a.jpeg", quality=95)
    Image.fromarray(smooth > 70).save(tmp_path / "test" / "b.png")
    images = data.load(f"folder:{tmp_path}").images
    assert np.abs(images[0, ..., 0].astype(int) - smooth).max() <= 4
    np.testing.assert_array_equal(images[1, ..., 0], np.where(smooth > 70, 255, 0))


def test_a_changed_folder_is_read_again(tmp_path, rng):
    for index in range(5):
        write_png(tmp_path / "train" / f"{index}.png", grey_images(rng, 1, high=9)[0, ..., 0])
    write_png(tmp_path / "test" / "0.png", grey_images(rng, 1)[0, ..., 0])
    name = f"folder:{tmp_path}"
    assert (data.load(name, "train").images < 9).all()
    assert (data.load(f"{name}@contrast=0").images < 9).all()
    for index in range(5):
        write_png(tmp_path / "train" / f"{index}.png", np.full((6, 5), 200, np.uint8))
    assert (data.load(name, "train").images == 200).all()
    assert (data.load(f"{name}@contrast=0").images == 200).all()


def test_training_images_are_decoded_once(tmp_path, rng, monkeypatch):
    for index in range(8):
        write_png(tmp_path / "train" / f"{index}.png", grey_images(rng, 1)[0, ..., 0])
    write_png(tmp_path / "test" / "0.png", grey_images(rng, 1)[0, ..., 0])
    opened = []
    real_open = Image.open
    monkeypatch.setattr(Image, "open", lambda f, *a, **k: opened.append(f) or real_open(f, *a, **k))
    for split in ("train", "validation", "calibration"):
        data.load(f"folder:{tmp_path}@contrast=2@contrast=0.5", split)
    assert {os.path.basename(getattr(f, "name", f)) for f in opened} == {
        f"{index}.png" for index in range(8)
    }
    assert len(opened) <= 10  # the test image is looked at too, and the first one for the size of the whole


def rgba(path):
    Image.new("RGBA", (5, 6)).save(path)


def palette(path):
    Image.new("P", (5, 6)).save(path)


def grey_16_bit(path):
    Image.fromarray(np.zeros((6, 5), np.uint16)).save(path)


def rgb_16_bit(path):
    pixels = np.zeros((6, 5, 3), np.uint16)
    path.write_bytes(tf.io.encode_png(pixels).numpy())


def grey_with_transparent_level(path):
    Image.new("L", (5, 6)).save(path, transparency=3)


def grey_alpha(path):
    Image.new("LA", (5, 6)).save(path)


def garbage(path):
    path.write_bytes(b"no image at all")


def empty(path):
    path.write_bytes(b"")


def truncated(path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize(
    "write, problem",
    [
        (rgba, r"1 has transparency \(FILE\): add @over=white"),
        (grey_alpha, r"1 has transparency \(FILE\): add @over=white"),
        (grey_with_transparent_level, r"1 has transparency \(FILE\): add @over=white"),
        (palette, r"1 has a palette \(FILE\): add @luminance"),
        (grey_16_bit, r"1 has 16 bits \(FILE\): add @luminance"),
        (rgb_16_bit, r"1 has 16 bits \(FILE\): add @luminance"),
        (garbage, r"1 cannot be read \(FILE: its format is not known\)"),
        (empty, r"1 cannot be read \(FILE: its format is not known\)"),
        (truncated, r"1 cannot be read \(FILE: image file is truncated.*\)"),
    ],
)
@pytest.mark.parametrize("position", ["a.png", "z.png"])
def test_unfit_files_are_named(tmp_path, rng, write, problem, position):
    write_png(tmp_path / "test" / "m.png", grey_images(rng, 1)[0, ..., 0])
    (tmp_path / "train").mkdir()
    write(tmp_path / "test" / position)
    message = error_of(f"folder:{tmp_path}")
    start = f"folder:{tmp_path}: 1 of 2 images cannot be taken as it is: "
    problem = problem.replace("FILE", f"test/{position}")
    assert re.fullmatch(f"{re.escape(start)}{problem}; or skip it with `skip_unreadable`", message)


def test_cmyk_is_refused(tmp_path):
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
    Image.new("CMYK", (5, 6)).save(tmp_path / "test" / "a.jpg")
    assert "1 is CMYK (test/a.jpg): add @rgb" in error_of(f"folder:{tmp_path}")


def test_the_first_file_of_another_shape_is_named(tmp_path, rng):
    (tmp_path / "train").mkdir()
    for index, width in enumerate([5, 5, 4, 3]):
        write_png(tmp_path / "test" / f"{index}.png", grey_images(rng, 1, 6, width)[0, ..., 0])
    message = error_of(f"folder:{tmp_path}")
    assert f"{tmp_path / 'test' / '2.png'} has shape 6x4x1" in message
    assert f"{tmp_path / 'test' / '0.png'} has 6x5x1" in message


def test_missing_and_empty_folders(tmp_path, rng):
    assert f"folder:{tmp_path}/no: no such folder" in error_of(f"folder:{tmp_path}/no")
    assert f"folder:{tmp_path}: holds no image" in error_of(f"folder:{tmp_path}")
    assert "'folder:' names no path" in error_of("folder:")
    (tmp_path / "test").mkdir()
    write_png(tmp_path / "train" / "a.png", grey_images(rng, 1)[0, ..., 0])
    assert "none of its 1 image(s) is for the test part" in error_of(f"folder:{tmp_path}")


def test_at_signs_in_paths(tmp_path, rng):
    for folder in ("me@home", "me@rgb", "rgb@x=3"):
        write_png(tmp_path / folder / "test" / "a.png", grey_images(rng, 1)[0, ..., 0])
        (tmp_path / folder / "train").mkdir()
    assert data.load(f"folder:{tmp_path}/me@home").image_shape == (6, 5, 1)
    assert data.load(f"folder:{tmp_path}/me@home@resize=4@rgb").image_shape == (4, 4, 3)
    assert data.load(f"folder:{tmp_path}/rgb@x=3@pad=9").image_shape == (9, 9, 1)
    assert data.load(f"folder:{tmp_path}/me@rgb/").image_shape == (6, 5, 1)
    assert data.load(f"folder:{tmp_path}/me@rgb/@rgb").image_shape == (6, 5, 3)
    assert "/me: no such folder" in error_of(f"folder:{tmp_path}/me@rgb")
    assert "me@home@resise=4: no such folder" in error_of(f"folder:{tmp_path}/me@home@resise=4")
    assert "bad value in '@resize=q'" in error_of(f"folder:{tmp_path}/me@home@resize=q")


def test_in_the_first_division_two_folders_are_splits_even_if_one_is_empty(tmp_path, rng):
    (tmp_path / "test").mkdir()
    for index in range(30):
        write_png(tmp_path / "train" / f"{index}.png", grey_images(rng, 1)[0, ..., 0])
    name = f"folder:{tmp_path}"
    counts = [len(data.load(name, split, division=1)) for split in ("train", "validation", "calibration")]
    assert counts == [28, 1, 1]
    assert "is for the test part" in error_of(name, division=1)
