"""Tail fractions beyond the largest score, against SciPy and the truth."""

import numpy as np
import scipy.stats
import tensorflow as tf

from tfp_flows.detectors import tails


def _log_tail(scores, arrays):
    tensors = {name: tf.constant(value) for name, value in arrays.items()}
    return tails.log_tails(tf.constant(scores, tf.float64)[:, tf.newaxis], tensors).numpy()[:, 0]


def test_inside_it_counts():
    scores = np.random.RandomState(0).normal(size=500)
    arrays = tails.fit_tails(scores[:, np.newaxis])
    asked = np.linspace(-4, np.quantile(scores, 0.89), 50)
    counted = [(1 + (scores >= s).sum()) / 501 for s in asked]
    np.testing.assert_allclose(np.exp(_log_tail(asked, arrays)), counted, rtol=1e-12)


def test_beyond_it_is_the_generalised_pareto_distribution():
    arrays = tails.fit_tails(np.random.RandomState(1).standard_t(4, [4000, 1]))
    start, scale, shape, beyond = arrays["tail"][:, 0]
    assert 0.0 < shape < 0.5
    asked = start + np.array([0.01, 1.0, 10.0, 1000.0])
    expected = beyond + scipy.stats.genpareto(shape, scale=scale).logsf(asked - start)
    np.testing.assert_allclose(_log_tail(asked, arrays), expected, rtol=1e-9)


def test_the_tail_of_exponential_scores_is_that_of_the_truth():
    """log P(s > t) = -t, three times as far as the largest score of a sample of 20,000."""
    arrays = tails.fit_tails(np.random.RandomState(2).exponential(size=[20000, 1]))
    np.testing.assert_allclose(_log_tail([5.0, 10.0, 30.0], arrays), [-5.0, -10.0, -30.0], rtol=0.15)


def test_it_falls_everywhere_and_has_no_floor():
    normal = np.random.RandomState(3).normal(size=40)
    for scores in (np.zeros(50), np.arange(2.0), normal, np.repeat([1.0, 2.0], 9)):
        arrays = tails.fit_tails(scores[:, np.newaxis])
        asked = np.linspace(scores.min() - 1, scores.max() + 50 * (np.ptp(scores) + 1), 2000)
        logs = _log_tail(asked, arrays)
        assert np.isfinite(logs).all() and (np.diff(logs) <= 1e-12).all() and logs[0] == 0.0
        assert logs[-1] < np.log(1 / (len(scores) + 1)) - 1.0


def test_columns_are_judged_by_themselves():
    scores = np.random.RandomState(4).gamma(2.0, size=[200, 3]) * [1.0, 10.0, 0.1]
    asked = scores[:20] * 3.0
    tensors = {name: tf.constant(value) for name, value in tails.fit_tails(scores).items()}
    together = tails.log_tails(tf.constant(asked), tensors).numpy()
    alone = [_log_tail(asked[:, i], tails.fit_tails(scores[:, i : i + 1])) for i in range(3)]
    np.testing.assert_allclose(together, np.stack(alone, axis=1), rtol=1e-12)


def test_what_is_no_number_stays_none_and_infinity_is_the_end():
    for scores in (np.arange(40.0), np.random.RandomState(5).standard_t(3, 400)):
        found = _log_tail([np.nan, np.inf, -np.inf], tails.fit_tails(scores[:, np.newaxis]))
        assert np.isnan(found[0]) and found[1] == -np.inf and found[2] == 0.0
