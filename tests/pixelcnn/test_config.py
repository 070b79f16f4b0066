"""A PixelCNN's settings are checked where they are made."""

import pytest

from pixelcnn import config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_filters": 0}, "`num_filters` must be a positive integer, got 0."),
        ({"num_resnet": "2"}, "`num_resnet` must be a positive integer, got '2'."),
        ({"dropout": 1.0}, "`dropout` must be in [0, 1), got 1.0."),
        ({"dtype": "int32"}, "`dtype` must be one of float32, float64, got 'int32'."),
    ],
)
def test_mistakes_name_the_argument(settings, message):
    with pytest.raises(ValueError) as caught:
        config.PixelCNNConfig(**settings)
    assert str(caught.value) == message
