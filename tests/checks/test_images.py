"""What is taken for images, and what is said of the rest."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tfp_flows.checks import UserError
from tfp_flows.checks.images import check_image_batch, check_image_shape, check_images

SHAPE = (2, 3, 1)
IMAGES = np.arange(12).reshape([2, *SHAPE]) * 23  # 0..253


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int16, np.int64, np.uint16, np.float16, np.float32, np.float64]
)
def test_grey_levels_of_any_type_are_images(dtype):
    images = IMAGES.astype(dtype)
    batch = check_image_batch(images, SHAPE, "me")
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(batch, IMAGES)
    for value in (images, tf.constant(images), tf.Variable(images)):
        checked = check_images(value, SHAPE, "me")
        assert checked.dtype == dtype, "not converted: what it is cast to is the model's affair"
        np.testing.assert_array_equal(checked, IMAGES)


def test_a_set_of_images_is_its_images_and_uint8_is_not_copied():
    images = IMAGES.astype(np.uint8)
    assert check_image_batch(types.SimpleNamespace(images=images), SHAPE, "me") is images
    assert check_image_batch(images, None, "me") is images


class OtherError(UserError):
    """Of a caller."""


@pytest.mark.parametrize("wrong", [-1, 256, 0.5, np.nan, np.inf])
def test_both_say_the_same_of_what_is_no_grey_level(wrong):
    images = IMAGES.astype(np.float64)
    images[1, 0, 2] = wrong
    with pytest.raises(UserError) as of_any:
        check_images(images, SHAPE, "me")
    with pytest.raises(OtherError) as of_batch:
        check_image_batch(images, SHAPE, "me", OtherError)
    assert str(of_any.value) == str(of_batch.value)
    assert str(of_any.value) == f"me: images must hold integer grey levels 0..255, got {float(wrong)}."


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            IMAGES / 255,
            r"must hold .* 0.09.* \(and 10 more such values\); values in \[0, 1\] must be made grey levels",
        ),
        (IMAGES > 5, "must be numbers 0..255, got dtype bool"),
        (IMAGES.astype(str), "must be numbers 0..255, got dtype <U"),
        (IMAGES[:, 1:], r"must have shape \[N, 2, 3, 1\], got \(2, 1, 3, 1\)"),
        (IMAGES[0], r"must have shape \[N, 2, 3, 1\], got \(2, 3, 1\)"),
    ],
)
def test_a_batch_that_is_none(value, message):
    with pytest.raises(UserError, match=f"^me: images {message}"):
        check_image_batch(value, SHAPE, "me")


def test_any_batch_shape_is_one_where_it_may_be():
    assert check_images(IMAGES[0], SHAPE, "me").shape == SHAPE
    assert check_images(IMAGES[np.newaxis], SHAPE, "me").shape == (1, 2, *SHAPE)
    with pytest.raises(UserError, match=r"\[..., 2, 3, 1\], got \(2, 3\)"):
        check_images(IMAGES[0, ..., 0], SHAPE, "me")
    with pytest.raises(UserError, match=r"\[N, H, W, C\], got \(2, 3\)"):
        check_image_batch(IMAGES[0, ..., 0], None, "me")


@pytest.mark.parametrize("value", [0.5, 256.0, -1.0, float("nan")])
def test_values_inside_a_graph_are_checked_when_it_runs_and_shapes_at_once(value):
    function = tf.function(lambda x: check_images(x, SHAPE, "me"), autograph=False)
    assert function(tf.fill([4, *SHAPE], 255.0)).shape == (4, *SHAPE)
    with pytest.raises(tf.errors.InvalidArgumentError, match="me: images must hold integer grey levels"):
        function(tf.fill([4, *SHAPE], value))
    operations = function.get_concrete_function(tf.TensorSpec([4, *SHAPE], tf.uint8)).graph.get_operations()
    assert "Assert" not in {operation.type for operation in operations}  # whose values cannot be wrong
    with pytest.raises(UserError, match="images must have shape"):
        function(tf.zeros([4, 3, 3, 1]))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 0), (2, None, 1), (1, 2, 3, 1)])
def test_a_shape_that_is_none(shape):
    assert check_image_shape(tf.TensorShape(SHAPE), "me") == check_image_shape(list(SHAPE), "me") == SHAPE
    with pytest.raises(UserError, match=r"me: `image_shape` must be \(height, width, channels\), got"):
        check_image_shape(shape, "me")
