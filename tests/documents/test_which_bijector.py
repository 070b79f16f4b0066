"""The examples of docs/which_bijector.md run, and do what they say."""

import numpy as np
import pytest

from tests.documents import pages
from tfp_flows import bijectors, testing

DOCUMENT = pages.DOCS / "which_bijector.md"


@pytest.fixture(scope="module")
def names():
    return pages.run(DOCUMENT)


def test_all_values_are_there_and_both_directions_agree(names):
    assert names["z"].shape == names["vectors"].shape and names["log_det"].shape == [4]
    np.testing.assert_allclose(names["back"], names["images"], atol=1e-5)
    for name in ("z_of_spline", "z_of_mixture", "z_of_own", "z_of_frame", "log_prob"):
        assert np.isfinite(names[name]).all(), name


def test_the_frame_is_transformed_and_what_it_frames_is_given(names):
    testing.perturb(names["inpainted"])
    moved = (names["inpainted"].inverse(np.array(names["images"])) - names["images"]).numpy() != 0
    assert (moved == np.broadcast_to(names["frame"], moved.shape)).mean() > 0.99


def test_every_public_bijector_and_transform_is_on_the_page():
    page = DOCUMENT.read_text(encoding="utf-8")
    public = [name for name in bijectors.__all__ if name[0].isupper()]
    assert not [name for name in public if f"`{name}`" not in page]
