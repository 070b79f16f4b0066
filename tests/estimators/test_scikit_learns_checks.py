"""Scikit-learn's own checks of estimators."""

import pytest
import tensorflow as tf
from sklearn.utils import estimator_checks

from tfp_flows import detectors, estimators

pytestmark = pytest.mark.filterwarnings("ignore")


class Normal(tf.Module):
    """A density of vectors of any size: each check has rows of another width."""

    def log_prob(self, x):
        return -0.5 * tf.reduce_sum(tf.cast(x, tf.float64) ** 2, axis=-1)


# Without a step of training; one that trains is below.
UNTRAINED = dict(detector="likelihood", num_steps=1, hidden_units=2)
FAIL = {
    "DetectorEstimator": {
        "check_estimators_pickle": "no graph of a model is in a pickle: detector_.save is there for that"
    },
    "FlowOutlierDetector": {
        "check_non_transformer_estimators_n_iter": "it wants a step or more of any estimator with max_iter"
    },
}


@estimator_checks.parametrize_with_checks(
    [
        detectors.as_sklearn(detectors.Likelihood(Normal())),
        estimators.FlowOutlierDetector(max_iter=0, **UNTRAINED),
    ],
    expected_failed_checks=lambda estimator: FAIL[type(estimator).__name__],
)
def test_check(estimator, check):
    check(estimator)


def test_what_is_expected_to_fail_without_training_passes_with_it():
    estimator = estimators.FlowOutlierDetector(max_iter=2, **UNTRAINED)
    estimator_checks.check_non_transformer_estimators_n_iter("FlowOutlierDetector", estimator)
