"""What every test of the data loader gets: an empty cache, and random numbers of one seed."""

import numpy as np
import pytest

from tfp_flows import data


@pytest.fixture(autouse=True)
def fresh_cache():
    data.clear_cache()


@pytest.fixture
def rng():
    return np.random.default_rng(0)
