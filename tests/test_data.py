"""Tests of the data loader: what it reads, how it divides it, and what it says when it cannot."""

import collections
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_digits

from tfp_flows import data
from tfp_flows.data import embedded, operations, splits


@pytest.fixture(autouse=True)
def fresh_cache():
    data.clear_cache()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def grey_images(rng, n, height=6, width=5, channels=1, low=0, high=256):
    return rng.integers(low, high, (n, height, width, channels), dtype=np.uint8)


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return f"npz:{path}"


def write_png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def error_of(*args, **kwargs):
    """The message of the `DataError` that loading raises, which must be one line."""
    with pytest.raises(data.DataError) as caught:
        data.load(*args, **kwargs)
    message = str(caught.value)
    assert message and "\n" not in message
    return message


# Splits


@pytest.mark.parametrize("n", [3, 4, 39, 40, 41, 1000, 120_000])
def test_training_images_are_divided_without_overlap_or_loss(n):
    parts = splits.divide_training_images(n, "x")
    held_out = max(1, min(5000, n // 20))
    assert len(parts["validation"]) == len(parts["calibration"]) == held_out
    together = np.concatenate([parts["train"], parts["validation"], parts["calibration"]])
    np.testing.assert_array_equal(np.sort(together), np.arange(n))


def test_division_is_the_same_in_every_version():
    parts = splits.divide_training_images(10, "x")
    assert parts["validation"].tolist() == [2]
    assert parts["calibration"].tolist() == [8]
    assert parts["train"].tolist() == [4, 9, 1, 6, 7, 3, 0, 5]


def test_splits_of_a_source_cover_it(tmp_path, rng):
    train, test = grey_images(rng, 50), grey_images(rng, 7)
    labels = np.arange(50)
    name = write_npz(tmp_path / "a.npz", x_train=train, x_test=test, y_train=labels)
    loaded = {split: data.load(name, split) for split in data.SPLITS}
    np.testing.assert_array_equal(loaded["test"].images, test)
    assert loaded["test"].labels is None
    seen = []
    for split in ("train", "validation", "calibration"):
        part = loaded[split]
        assert part.split == split and part.name == name
        np.testing.assert_array_equal(part.images, train[part.labels])
        assert part.keys == tuple(f"x_train:{label}" for label in part.labels)
        seen += part.labels.tolist()
    assert sorted(seen) == list(range(50))
    assert [len(loaded[s]) for s in data.SPLITS] == [46, 2, 2, 7]


def test_max_images_takes_the_first_of_the_split(tmp_path, rng):
    name = write_npz(tmp_path / "a.npz", train=grey_images(rng, 50), test=grey_images(rng, 7))
    for split in data.SPLITS:
        whole = data.load(name, split)
        part = data.load(name, split, max_images=2)
        assert len(part) == 2 and part.keys == whole.keys[:2]
        np.testing.assert_array_equal(part.images, whole.images[:2])
    assert len(data.load(name, "test", max_images=1000)) == 7


def test_too_few_training_images(tmp_path, rng):
    name = write_npz(tmp_path / "a.npz", train=grey_images(rng, 2), test=grey_images(rng, 2))
    assert "2 training image(s)" in error_of(name, "train")
    assert "at least 3" in error_of(name, "validation")


def test_unknown_split():
    message = error_of("digits", "valid")
    assert "unknown split 'valid'" in message and ", ".join(data.SPLITS) in message


@pytest.mark.parametrize("bad", [0, -1, 1.5, "3"])
def test_max_images_must_be_positive(bad):
    assert "max_images must be a positive integer" in error_of("digits", max_images=bad)


# ImageSet


def test_image_set_is_frozen_and_contiguous(tmp_path, rng):
    name = write_npz(tmp_path / "a.npz", train=grey_images(rng, 5), test=grey_images(rng, 5))
    images = data.load(f"{name}@crop=3@rgb").images
    assert images.dtype == np.uint8 and images.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


@pytest.mark.parametrize(
    "images, labels, keys, message",
    [
        (np.zeros([2, 3, 3]), None, "ab", "uint8 array"),
        (np.zeros([0, 3, 3, 1], np.uint8), None, "", "non-empty"),
        (np.zeros([2, 3, 3, 1], np.uint8), None, "a", "2 images but 1 keys"),
        (np.zeros([2, 3, 3, 1], np.uint8), np.zeros([3], int), "ab", "labels must be integers"),
        (np.zeros([2, 3, 3, 1], np.uint8), np.zeros([2]), "ab", "labels must be integers"),
    ],
)
def test_image_set_refuses(images, labels, keys, message):
    with pytest.raises(data.DataError, match=message):
        data.ImageSet("mine", "test", images, labels, tuple(keys))


def test_image_set_leaves_the_callers_array_writable():
    mine = np.zeros([2, 3, 3, 1], np.uint8)
    data.ImageSet("mine", "test", mine, None, ("a", "b"))
    mine[0] = 1


# Operations


def test_resize_is_an_antialiased_mean_and_keeps_a_constant(tmp_path):
    checkers = np.indices((8, 8)).sum(axis=0) % 2 * 200
    images = np.stack([checkers, np.full((8, 8), 77)]).astype(np.uint8)[..., None]
    name = write_npz(tmp_path / "a.npz", test=images)
    small = data.load(f"{name}@resize=4").images
    assert small.shape == (2, 4, 4, 1)
    assert np.ptp(small[0][1:3, 1:3].astype(int)) == 0 and abs(int(small[0, 1, 1, 0]) - 100) <= 1
    assert (small[1] == 77).all()
    np.testing.assert_array_equal(data.load(f"{name}@resize=8").images, images)
    assert data.load(f"{name}@resize=3x5").image_shape == (3, 5, 1)


def test_resize_in_chunks_equals_resize_at_once(rng):
    images = grey_images(rng, 1500)
    chunked = operations.resize(images, (9, 4))
    whole = tf.image.resize(images, (9, 4), antialias=True).numpy()
    np.testing.assert_array_equal(chunked, np.clip(np.rint(whole), 0, 255))


def test_pad_and_crop_are_centred_and_inverse(tmp_path, rng):
    images = grey_images(rng, 3, 5, 6)
    name = write_npz(tmp_path / "a.npz", test=images)
    padded = data.load(f"{name}@pad=8x9").images
    np.testing.assert_array_equal(padded[:, 1:6, 1:7], images)
    assert padded.sum(dtype=int) == images.sum(dtype=int)
    np.testing.assert_array_equal(data.load(f"{name}@pad=8x9@crop=5x6").images, images)


def test_rgb_and_luminance(tmp_path, rng):
    grey = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)
    name = write_npz(tmp_path / "g.npz", test=grey)
    rgb = data.load(f"{name}@rgb").images
    assert rgb.shape == (4, 8, 8, 3) and (rgb == grey).all()
    np.testing.assert_array_equal(data.load(f"{name}@rgb@luminance").images, grey)

    colours = grey_images(rng, 9, channels=3)
    name = write_npz(tmp_path / "c.npz", test=colours)
    expected = colours.astype(float) @ [0.299, 0.587, 0.114]
    got = data.load(f"{name}@luminance").images[..., 0]
    assert np.abs(got - expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("k", [0.0, 0.3, 1.0, 2.5])
def test_contrast_by_brute_force(tmp_path, rng, k):
    train, test = grey_images(rng, 60, channels=3), grey_images(rng, 4, channels=3)
    name = write_npz(tmp_path / "a.npz", train=train, test=test)
    means = data.load(name, "train").images.astype(np.float64).mean(axis=(0, 1, 2))
    for split in data.SPLITS:
        plain = data.load(name, split).images
        changed = data.load(f"{name}@contrast={k}", split).images
        for where in np.ndindex(*plain.shape[:3]):
            for channel, mean in enumerate(means):
                x = float(plain[where][channel])
                expected = round(min(max(mean + k * (x - mean), 0.0), 255.0))
                assert changed[where][channel] == expected


@pytest.mark.parametrize("k", [0.5, 2.0, 4.0])
def test_contrast_scales_the_variance_by_k_squared(tmp_path, rng, k):
    train = grey_images(rng, 200, low=108, high=148)
    name = write_npz(tmp_path / "a.npz", train=train)
    plain = data.load(name, "train").images.astype(float)
    changed = data.load(f"{name}@contrast={k}", "train").images.astype(float)
    assert 0 < changed.min() and changed.max() < 255  # nothing is clipped
    assert changed.var() / plain.var() == pytest.approx(k**2, rel=0.01)
    assert changed.mean() == pytest.approx(plain.mean(), abs=0.5)


@pytest.mark.parametrize(
    ("operation", "threshold"), [("binarize", 128), ("binarize=1", 1), ("binarize=255", 255)]
)
def test_binarize_by_brute_force(tmp_path, operation, threshold):
    levels = np.arange(256, dtype=np.uint8).reshape([4, 8, 8, 1])
    name = write_npz(tmp_path / "a.npz", test=levels)
    changed = data.load(f"{name}@{operation}", "test").images
    assert changed.dtype == np.uint8
    expected = [255 if x >= threshold else 0 for x in range(256)]
    np.testing.assert_array_equal(changed.ravel(), expected)
    again = data.load(f"{name}@{operation}@{operation}", "test").images
    np.testing.assert_array_equal(again, changed)


def test_chain_order_matters(tmp_path, rng):
    name = write_npz(tmp_path / "a.npz", train=grey_images(rng, 60), test=grey_images(rng, 5))
    one = data.load(f"{name}@resize=3@contrast=3").images
    other = data.load(f"{name}@contrast=3@resize=3").images
    assert (one != other).any()
    means = operations.channel_means(data.load(f"{name}@resize=3", "train").images)
    by_hand = operations.contrast(data.load(f"{name}@resize=3").images, 3, means)
    np.testing.assert_array_equal(one, by_hand)
    means = operations.channel_means(data.load(name, "train").images)
    by_hand = operations.resize(operations.contrast(data.load(name).images, 3, means), (3, 3))
    np.testing.assert_array_equal(other, by_hand)


def test_contrast_needs_a_training_split(tmp_path, rng):
    name = write_npz(tmp_path / "a.npz", test=grey_images(rng, 5))
    message = error_of(f"{name}@contrast=2")
    assert "@contrast needs the mean of a training split" in message
    assert "has no train images" in message
    message = error_of("noise@contrast=2", image_shape=(4, 4, 1))
    assert "has only a test split" in message


@pytest.mark.parametrize(
    "operation, problem",
    [
        ("resise=3", "unknown operation '@resise=3'"),
        ("", "unknown operation '@'"),
        ("resize", "bad value in '@resize'"),
        ("resize=0", "bad value in '@resize=0'"),
        ("resize=3x", "bad value in '@resize=3x'"),
        ("pad=-3", "bad value in '@pad=-3'"),
        ("crop=3.5", "bad value in '@crop=3.5'"),
        ("rgb=3", "bad value in '@rgb=3'"),
        ("luminance=", "bad value in '@luminance='"),
        ("contrast=", "bad value in '@contrast='"),
        ("contrast=-1", "bad value in '@contrast=-1'"),
        ("contrast=nan", "bad value in '@contrast=nan'"),
        ("binarize=", "bad value in '@binarize='"),
        ("binarize=0", "bad value in '@binarize=0'"),
        ("binarize=256", "bad value in '@binarize=256'"),
    ],
)
def test_malformed_operations(operation, problem):
    message = error_of(f"digits@{operation}")
    assert problem in message and f"'digits@{operation}'" in message
    assert all(f"@{kind}" in message for kind in operations.OPERATION_KINDS)


@pytest.mark.parametrize(
    "name, problem",
    [
        ("photos@rgb", "photos@rgb: @rgb needs images with 1 channel, these have 3"),
        ("digits@luminance", "@luminance needs 3 channels, these images have 1"),
        ("digits@pad=7", "@pad to 7x7 cannot shrink images of 8x8: use @crop or @resize"),
        ("digits@crop=9", "@crop to 9x9 cannot enlarge images of 8x8: use @pad or @resize"),
    ],
)
def test_operations_that_do_not_fit(name, problem):
    assert problem in error_of(name, max_images=2)


# Shapes


@pytest.mark.parametrize(
    "shape, remedy",
    [
        ((32, 32, 3), "'digits@resize=32@rgb'"),
        ((8, 8, 3), "'digits@rgb'"),
        ((4, 6, 1), "'digits@resize=4x6'"),
        ((8, 8, 2), "no operation makes 2 channels of 1"),
    ],
)
def test_wrong_shape_names_the_operation_that_helps(shape, remedy):
    message = error_of("digits", image_shape=shape)
    assert message.startswith("digits: its images are 8x8x1, but ")
    assert "x".join(map(str, shape)) in message and remedy in message


def test_the_operation_that_helps_does_help():
    assert "'photos@resize=8@luminance'" in error_of("photos", image_shape=(8, 8, 1))
    loaded = data.load("photos@resize=8@luminance", image_shape=[8, 8, 1])
    assert loaded.image_shape == (8, 8, 1) and len(loaded) == 1000


@pytest.mark.parametrize("bad", [(8, 8), (8, 8, 0), (8, None, 1)])
def test_malformed_image_shape(bad):
    assert "image_shape" in error_of("digits", image_shape=bad)


# Embedded and synthetic sets


def test_photo_crops_of_held_out_splits_touch_no_pixel_of_train_or_of_each_other():
    pictures = dict(embedded.photographs())
    covered = {}
    for split in data.SPLITS:
        crops = data.load("photos", split)
        masks = {file: np.zeros(picture.shape[:2], bool) for file, picture in pictures.items()}
        for key, image in zip(crops.keys, crops.images, strict=True):
            file, row, column = re.fullmatch(r"(.+):(\d+),(\d+)", key).groups()
            place = np.s_[int(row) : int(row) + 32, int(column) : int(column) + 32]
            np.testing.assert_array_equal(image, pictures[file][place])
            masks[file][place] = True
        assert len(set(crops.keys)) == len(crops) == embedded._NUM_CROPS[split]
        covered[split] = masks
    for file in pictures:
        times = sum(covered[split][file].astype(int) for split in data.SPLITS)
        assert times.max() == 1
        assert times.mean() > 0.95  # hardly a pixel is wasted


def test_photo_splits_look_alike():
    train = data.load("photos", "train").images
    for split in ("validation", "calibration", "test"):
        other = data.load("photos", split).images
        assert abs(train.mean() - other.mean()) < 12
        assert abs(train.std() - other.std()) < 12


def test_digits_are_scaled_and_stratified():
    source = load_digits()
    seen = []
    for split in data.SPLITS:
        digits = data.load("digits", split)
        indices = [int(key) for key in digits.keys]
        expected = [
            [[int(x * 255 / 16 + 0.5)] for x in image] for image in source.images[indices].reshape(-1, 64)
        ]
        np.testing.assert_array_equal(digits.images.reshape(-1, 64, 1), expected)
        np.testing.assert_array_equal(digits.labels, source.target[indices])
        seen += indices
    assert sorted(seen) == list(range(1797))
    counts = collections.Counter(data.load("digits", "test").labels.tolist())
    assert sum(counts.values()) == 360 and min(counts.values()) >= 34


def test_constant_images():
    images = data.load("constant", image_shape=(3, 4, 3))
    assert len(images) == 256 and images.image_shape == (3, 4, 3)
    for level, (key, image) in enumerate(zip(images.keys, images.images, strict=True)):
        assert key == str(level) and (image == level).all()
    single = data.load("constant=128", image_shape=(3, 4, 1))
    assert len(single) == 1 and (single.images == 128).all()


def test_noise_is_uniform_and_the_same_every_time():
    noise = data.load("noise", image_shape=(8, 8, 3)).images
    assert noise.shape == (1000, 8, 8, 3)
    counts = np.bincount(noise.ravel(), minlength=256)
    chi_squared = ((counts - 750) ** 2 / 750).sum()  # 255 degrees of freedom
    assert 170 < chi_squared < 350
    np.testing.assert_array_equal(noise, data.load("noise", image_shape=(8, 8, 3)).images)


@pytest.mark.parametrize("name", ["constant", "constant=7", "noise"])
def test_synthetic_sets_need_a_shape_and_have_only_a_test_split(name):
    assert f"{name}: takes the model's image shape: give image_shape" in error_of(name)
    message = error_of(name, "train", image_shape=(8, 8, 1))
    assert f"{name}: has only a test split, no train split" in message


@pytest.mark.parametrize("level", ["256", "-1", "", "1.5", "x", "٣"])
def test_constant_level_must_be_a_grey_level(level):
    message = error_of(f"constant={level}", image_shape=(8, 8, 1))
    assert "the grey level must be an integer 0..255" in message


# Folders


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
        assert part.image_shape == (6, 5, 1) and part.labels is None
        for key, image in zip(part.keys, part.images, strict=True):
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
    write_png(tmp_path / "other" / "0.png", pixels[0])
    test = data.load(f"folder:{tmp_path}")
    assert test.keys == ("test/0.png", "test/1.png", "test/2.png")
    np.testing.assert_array_equal(test.images, pixels[6:])
    assert len(data.load(f"folder:{tmp_path}", "train")) == 4


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
    assert {file.name for file in opened} == {f"{index}.png" for index in range(8)}
    assert len(opened) <= 9  # the first file is looked at twice, for the shape


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


def gif_in_disguise(path):
    Image.new("L", (5, 6)).save(path, format="GIF")


@pytest.mark.parametrize(
    "write, problem",
    [
        (rgba, "has transparency: flatten it"),
        (grey_alpha, "has transparency: flatten it"),
        (grey_with_transparent_level, "has transparency: flatten it"),
        (palette, "has a palette: convert it"),
        (grey_16_bit, "has 16 bits per channel: write it with 8"),
        (rgb_16_bit, "has 16 bits per channel: write it with 8"),
        (garbage, "cannot be read as a PNG or JPEG"),
        (empty, "cannot be read as a PNG or JPEG"),
        (truncated, "cannot be read as a PNG or JPEG"),
        (gif_in_disguise, "cannot be read as a PNG or JPEG"),
    ],
)
@pytest.mark.parametrize("position", ["a.png", "z.png"])
def test_unfit_files_are_named(tmp_path, rng, write, problem, position):
    write_png(tmp_path / "test" / "m.png", grey_images(rng, 1)[0, ..., 0])
    (tmp_path / "train").mkdir()
    write(tmp_path / "test" / position)
    message = error_of(f"folder:{tmp_path}")
    assert message.startswith(f"{tmp_path / 'test' / position}: {problem}")


def test_cmyk_is_refused(tmp_path):
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
    Image.new("CMYK", (5, 6)).save(tmp_path / "test" / "a.jpg")
    assert "a.jpg: is CMYK: convert it to 8-bit RGB" in error_of(f"folder:{tmp_path}")


def test_the_first_file_of_another_shape_is_named(tmp_path, rng):
    (tmp_path / "train").mkdir()
    for index, width in enumerate([5, 5, 4, 3]):
        write_png(tmp_path / "test" / f"{index}.png", grey_images(rng, 1, 6, width)[0, ..., 0])
    message = error_of(f"folder:{tmp_path}")
    assert f"{tmp_path / 'test' / '2.png'}: has shape 6x4x1" in message
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


# NumPy archives


def test_npz_of_rank_3_has_one_channel(tmp_path, rng):
    images = grey_images(rng, 5)
    name = write_npz(tmp_path / "a.npz", train=images[..., 0], test=images, test_labels=range(5))
    loaded = data.load(name)
    np.testing.assert_array_equal(loaded.images, images)
    assert loaded.labels.dtype == np.int64 and loaded.labels.tolist() == [0, 1, 2, 3, 4]
    assert data.load(name, "train").image_shape == (6, 5, 1)


def test_npz_of_images_is_divided(tmp_path, rng):
    images = grey_images(rng, 50)
    name = write_npz(tmp_path / "a.npz", images=images, labels=np.arange(50, dtype=np.uint8))
    parts = [data.load(name, split) for split in data.SPLITS]
    labels = np.concatenate([part.labels for part in parts])
    assert sorted(labels) == list(range(50)) and len(parts[-1]) == 5
    for part in parts:
        np.testing.assert_array_equal(part.images, images[part.labels])


@pytest.mark.parametrize(
    "arrays, problem",
    [
        ({"pictures": "u1"}, "found the keys pictures"),
        ({"train": "u1"}, "has no test images: it needs one of the keys test or x_test"),
        ({"test": "f4", "more": "u1"}, "'test' must be uint8 grey levels 0..255"),
        ({"test": "f4", "more": "u1"}, "got float32 [5, 6, 5, 1]; found the keys more, test"),
        ({"test": "u1", "x_test": "u1"}, "has both 'test' and 'x_test': keep one"),
        ({"test": "u1", "images": "u1"}, "has both 'images' and parts"),
        ({"test": "u1", "test_labels": "u1"}, "labels must be integers [5]"),
    ],
)
def test_unfit_archives(tmp_path, rng, arrays, problem):
    arrays = {key: grey_images(rng, 5).astype(dtype) for key, dtype in arrays.items()}
    message = error_of(write_npz(tmp_path / "a.npz", **arrays))
    assert problem in message and str(tmp_path / "a.npz") in message


def test_unfit_archive_ranks_and_files(tmp_path):
    name = write_npz(tmp_path / "flat.npz", test=np.zeros([5, 30], np.uint8))
    assert "got uint8 [5, 30]" in error_of(name)
    name = write_npz(tmp_path / "none.npz", test=np.zeros([0, 3, 3], np.uint8))
    assert "got uint8 [0, 3, 3]" in error_of(name)
    name = write_npz(tmp_path / "one.npz", images=np.zeros([1, 3, 3], np.uint8))
    assert "one image cannot be divided" in error_of(name)
    name = write_npz(tmp_path / "object.npz", test=np.array([{}, {}], dtype=object))
    assert "object.npz: cannot be read" in error_of(name)
    np.save(tmp_path / "single.npy", np.zeros([5, 3, 3], np.uint8))
    assert "a single array: write an archive" in error_of(f"npz:{tmp_path}/single.npy")
    (tmp_path / "text.npz").write_text("no archive")
    assert "text.npz: cannot be read" in error_of(f"npz:{tmp_path}/text.npz")
    assert "gone.npz: no such file" in error_of(f"npz:{tmp_path}/gone.npz", "train")
    assert "'npz:' names no path" in error_of("npz:")


# TFDS


def test_mnist_from_tfds(shared_images):
    test = data.load("mnist", data_dir=shared_images)
    assert test.images.shape == (10_000, 28, 28, 1)
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4] and test.keys[:2] == ("test_0", "test_1")
    name = "mnist@resize=32@rgb"
    few = data.load(name, data_dir=shared_images, image_shape=(32, 32, 3), max_images=3)
    assert few.name == name and len(few) == 3
    message = error_of("mnist", data_dir=shared_images, image_shape=(32, 32, 3))
    assert message.endswith("load 'mnist@resize=32@rgb'")


def test_tfds_ids_become_keys_and_splits_are_disjoint(shared_images):
    parts = [data.load("svhn_cropped", split, data_dir=shared_images) for split in data.SPLITS]
    keys = [key for part in parts for key in part.keys]
    assert len(set(keys)) == len(keys) == 4434 + 1952
    assert parts[-1].keys[0] == "test_00000" and parts[-1].image_shape == (32, 32, 3)


def test_missing_tfds_set_names_those_that_are_there(tmp_path):
    (tmp_path / "mnist" / "9.9.9").mkdir(parents=True)
    (tmp_path / "mnist" / "9.9.9" / "dataset_info.json").write_text("{}")
    message = error_of("cifar100", data_dir=tmp_path)
    assert f"'cifar100' is not in {tmp_path} (there: mnist)" in message
    assert "--download" in message
    message = error_of("cifar100", data_dir=tmp_path / "no")
    assert f"is not in {tmp_path / 'no'} (there: none)" in message


def test_unknown_name_lists_the_choices(tmp_path):
    message = error_of("minst@rgb", data_dir=tmp_path)
    assert "unknown data set 'minst' (did you mean 'mnist'?)" in message
    for choice in ("photos", "digits", "constant", "noise", "folder:PATH", "npz:PATH", "TFDS"):
        assert choice in message
    assert "did you mean 'photos'" in error_of("photo", data_dir=tmp_path)
    assert "unknown data set 'folder'" in error_of("folder", data_dir=tmp_path)
    assert "unknown data set ''" in error_of("", data_dir=tmp_path)


# Batches


def numbered_images(n):
    """Images that hold their own index in two pixels."""
    indices = np.arange(n)
    return np.stack([indices // 256, indices % 256], axis=1).astype(np.uint8).reshape(n, 1, 2, 1)


def indices_of(batches):
    return [(b[:, 0, 0, 0].astype(int) * 256 + b[:, 0, 1, 0]).tolist() for b in batches]


def drawn(n, batch_size, seed, start_step=0, num_steps=10):
    batches = data.training_batches(numbered_images(n), batch_size, seed, start_step, num_steps)
    return indices_of(batches.as_numpy_iterator())


@pytest.mark.parametrize("n, batch_size", [(1, 1), (1, 3), (2, 1), (7, 3), (12, 4), (5, 13), (300, 64)])
def test_every_epoch_visits_every_image_once(n, batch_size):
    epochs = 4
    steps = -(-n * epochs // batch_size)
    batches = drawn(n, batch_size, seed=3, num_steps=steps)
    assert [len(batch) for batch in batches] == [batch_size] * steps
    flat = sum(batches, [])
    orders = [flat[epoch * n : (epoch + 1) * n] for epoch in range(epochs)]
    assert all(sorted(order) == list(range(n)) for order in orders)
    if n >= 7:
        assert len({tuple(order) for order in orders}) == epochs


def test_a_resumed_run_sees_the_same_batches():
    whole = drawn(50, 8, seed=1, num_steps=40)
    for start in (0, 1, 6, 7, 39):
        assert drawn(50, 8, seed=1, start_step=start, num_steps=40 - start) == whole[start:]
    assert drawn(50, 8, seed=2, num_steps=40) != whole


def test_orders_of_epochs_and_seeds_are_uncorrelated():
    n = 50_000
    orders = [drawn(n, n, seed, num_steps=2) for seed in (0, 1, 256, -1, 2**40)]
    orders = [order for pair in orders for order in pair] + [list(range(n))]
    correlations = np.corrcoef(orders)[np.triu_indices(len(orders), 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(n)


def test_epochs_far_apart_have_different_orders():
    n = 4096
    orders = [tuple(drawn(n, n, 0, start_step=e, num_steps=1)[0]) for e in (0, 1, 256, 2**33)]
    assert len(set(orders)) == 4 and all(set(order) == set(range(n)) for order in orders)


def test_training_batches_have_a_static_shape_and_no_end():
    images = data.load("digits", "train")
    batches = data.training_batches(images, 32, seed=-5)
    assert batches.element_spec == tf.TensorSpec((32, 8, 8, 1), tf.uint8)
    assert batches.cardinality() == tf.data.INFINITE_CARDINALITY
    assert len(data.training_batches(images, 32, seed=0, start_step=5, num_steps=3)) == 3
    assert drawn(7, 2, seed=0, num_steps=0) == []
    first = next(iter(batches)).numpy()
    assert all((images.images == image).all(axis=(1, 2, 3)).any() for image in first)


def test_evaluation_batches_keep_the_order():
    images = data.load("digits")
    batches = [batch.numpy() for batch in data.evaluation_batches(images, 100)]
    assert [len(batch) for batch in batches] == [100, 100, 100, 60]
    np.testing.assert_array_equal(np.concatenate(batches), images.images)
    (batch,) = data.evaluation_batches(images.images, 1000)
    assert batch.shape == (360, 8, 8, 1) and batch.dtype == tf.uint8
    with pytest.raises(data.DataError, match="batch_size must be at least 1"):
        data.evaluation_batches(images, 0)


@pytest.mark.parametrize(
    "argument, problem",
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"start_step": -1}, "start_step must be at least 0, got -1"),
        ({"num_steps": -1}, "num_steps must be at least 0, got -1"),
        ({"images": np.zeros([3, 4, 4])}, "non-empty uint8 array"),
    ],
)
def test_batches_refuse(argument, problem):
    arguments = {"images": numbered_images(3), "batch_size": 2, "seed": 0} | argument
    with pytest.raises(data.DataError, match=problem):
        data.training_batches(**arguments)
