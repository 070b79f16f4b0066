"""The limits of what is decoded or allocated."""

import pytest

from tfp_flows.checks import UserError, sizes


@pytest.mark.parametrize(
    ("shape", "allowed"),
    [
        ((8192, 8192, 4), True),
        ((8192, 8193, 1), False),
        ((8192, 8192, 5), False),
        ((1, 2**26, 1), True),
        ((1, 1, 2**28), True),
        ((1, 1, 2**28 + 1), False),
        ((0, 8, 1), False),
        ((10**30, 10**30, 3), False),
    ],
)
def test_images(shape, allowed):
    if allowed:
        sizes.check_image_size(shape, "x")
        return
    with pytest.raises(UserError, match="^x: images of "):
        sizes.check_image_size(shape, "x")


def test_batches():
    sizes.check_batch_size(2**22, (8, 8, 1))
    sizes.check_batch_size(1, (8192, 8192, 4))
    for size in (2**22 + 1, 0, -1, 10**30):
        with pytest.raises(UserError, match="^`batch_size` must be "):
            sizes.check_batch_size(size, (8, 8, 1))


def test_memory():
    sizes.check_held(0, "x")
    with pytest.raises(UserError, match=r"^x: would take 1,024.0 PiB|^x: would take 1,073,741,824.0 GiB"):
        sizes.check_held(2**60, "x")
