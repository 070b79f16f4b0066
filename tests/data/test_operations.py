"""Operations of a data set's name, and the shapes they make."""

import numpy as np
import pytest
import tensorflow as tf

from tests.data.images import error_of, grey_images, write_npz
from tfp_flows import data
from tfp_flows.data import operations


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
        ("digits@pad=7", "@pad to 7x7 cannot shrink images of 8x8: use @crop or @resize"),
        ("digits@crop=9", "@crop to 9x9 cannot enlarge images of 8x8: use @pad or @resize"),
    ],
)
def test_operations_that_do_not_fit(name, problem):
    assert problem in error_of(name, max_images=2)


def test_rgb_and_luminance_leave_alone_what_is_so_already(tmp_path):
    np.testing.assert_array_equal(data.load("photos@rgb").images, data.load("photos").images)
    np.testing.assert_array_equal(data.load("digits@luminance").images, data.load("digits").images)
    two = write_npz(tmp_path / "a.npz", test=np.zeros((3, 4, 4, 2), np.uint8))
    assert f"{two}: @rgb needs images with 1 or 3 channels, these have 2" in error_of(f"{two}@rgb")
    assert "@luminance needs 3 channels or 1, these images have 2" in error_of(f"{two}@luminance")


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
