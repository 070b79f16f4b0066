"""Maps of pixels sum to the score."""

import numpy as np
import pytest

from tests.detectors.models import PixelModel, gaussian, random_images
from tfp_flows import detectors


def test_maps_sum_to_the_score():
    images = random_images(5)
    one, two = PixelModel(90.0), PixelModel(150.0)
    for detector in (detectors.Likelihood(one), detectors.LikelihoodRatio(one, [two])):
        maps = detector.fit(images).score_map(images)
        assert maps.shape == (5, 4, 4) and maps.dtype == np.float32
        np.testing.assert_allclose(maps.sum(axis=(1, 2)), detector.score(images), rtol=1e-4)
    assert detectors.WAIC([one, two]).score_map(images).shape == (5, 4, 4)
    with pytest.raises(detectors.DetectorError, match="no map of pixels for Independent"):
        detectors.Likelihood(gaussian()).score_map(images)
    with pytest.raises(detectors.DetectorError, match="no map of pixels"):
        detectors.Typicality(one).fit(images).score_map(images)
