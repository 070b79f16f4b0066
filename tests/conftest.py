"""Settings for every test: quiet TensorFlow, and where the real images are."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

SHARED_IMAGES = pathlib.Path(__file__).resolve().parents[2] / "shared" / "tfds"


@pytest.fixture
def shared_images():
    """Folder of real data sets in TFDS layout, beside the checkout; skips where there is none."""
    if not SHARED_IMAGES.is_dir():
        pytest.skip("no ../shared/tfds beside the checkout")
    return str(SHARED_IMAGES)
