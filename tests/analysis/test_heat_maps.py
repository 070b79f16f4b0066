"""Maps find patches that were pasted into photographs; of better models: docs/heat_maps.md."""

import numpy as np
import pytest

import tfp_flows
from analysis import heat_maps
from tfp_flows import data, detectors
from tfp_flows.pages import heat


@pytest.fixture(scope="module")
def detector():
    """A small Glow of photographs, trained for a moment, and its typicality."""
    config = tfp_flows.GlowConfig(levels=2, steps_per_level=2, hidden_channels=16)
    model = tfp_flows.Dequantized(tfp_flows.glow(config, (32, 32, 3)))
    train = data.load("photos", "train", max_images=2000).images
    tfp_flows.fit(model, train, steps=60, batch_size=32, learning_rate=5e-3, progress=False)
    return detectors.Typicality(model).fit(data.load("photos", "validation", max_images=128))


# Measured: noise 0.99, digits 0.91, of one colour 0.85; 0.69 of the same photographs, the hard case.
@pytest.mark.parametrize(
    ("patch", "least"), [("noise", 0.97), ("digits@resize=12@rgb", 0.87), ("constant", 0.8), ("same", 0.6)]
)
def test_a_patch_that_was_pasted_in_is_found(detector, patch, least):
    test = data.load("photos", "test", max_images=48).images
    images, masks = heat_maps.planted(test, heat_maps.patches(patch, test, 48, 12, None))
    assert heat_maps.localisation(heat.smoothed(detector.score_map(images)), masks) >= least


def test_localisation_is_the_mean_auroc():
    masks = np.zeros([3, 2, 2], bool)
    masks[:, 0, 0] = True
    maps = np.array([[[9.0, 1.0], [2.0, 3.0]], [[0.0, 1.0], [2.0, 3.0]], [[1.0, 1.0], [1.0, 1.0]]])
    assert heat_maps.localisation(maps, masks) == pytest.approx((1.0 + 0.0 + 0.5) / 3)


def test_what_is_planted_stands_in_its_mask():
    images = np.zeros([5, 16, 16, 3], np.uint8)
    pieces = heat_maps.patches("constant", images, 5, 6, None)
    found, masks = heat_maps.planted(images, np.maximum(pieces, 1))
    assert (masks.sum((1, 2)) == 36).all()
    np.testing.assert_array_equal((found > 0).all(-1), masks)
