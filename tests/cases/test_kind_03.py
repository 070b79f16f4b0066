"""Kind 3: a p-value, a threshold and a level say what is attainable, everywhere alike."""

import re

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from analysis import detector_candidates, detector_chapters, detector_figures, detector_study, separation
from tests import forked
from tests.detectors.models import DIGITS, HELD_OUT, gaussian, linear_flow, random_images
from tfp_flows import data, detect, detectors, evaluation, runs, scoring, serving
from tfp_flows.detectors import calibration
from tfp_flows.detectors.conformal import Conformal
from tfp_flows.evaluation.table import row_of, write_csv


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folder of a calibrated detector whose model is stored beside it."""
    folder = tmp_path_factory.mktemp("saved") / "detector"
    detectors.Typicality(gaussian()).fit(random_images()).calibrate(random_images(seed=1)).save(folder)
    return folder


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"calibration_scores": np.float32([1, np.nan])}, "calibration scores hold NaN"),
        ({"calibration_scores": np.float32([2, 1])}, "calibration scores are not in ascending order"),
        ({"calibration_scores": np.float32([])}, r"calibration scores .* n of 1 or more, they have \[0\]"),
        ({"calibration_scores": np.float32([[1, 2]])}, r"calibration scores .* they have \[1, 2\]"),
        ({"calibration_scores": np.float64([1, 2])}, "calibration scores must be float32, .* float64"),
        ({"entropy": np.array(np.nan)}, "its fitted entropy holds NaN"),
        ({"entropy": np.array(np.inf)}, "its fitted entropy holds NaN or infinity"),
        ({"entropy": np.zeros(12)}, r"arrays do not fit its formula \(entropy \[12\]\)"),
        ({"entropy": np.zeros(2)}, r"arrays do not fit its formula \(entropy \[2\]\)"),
        ({"entropy": np.float32(1.0)}, "arrays do not fit its formula"),
        ({"entropy": np.array("high")}, "its fitted entropy must be numbers"),
    ],
)
def test_case_13_a_damaged_detector_is_refused_when_it_is_loaded(saved, changes, reason):
    sound = dict(np.load(saved / "arrays.npz"))
    try:
        np.savez_compressed(saved / "arrays.npz", **{**sound, **changes})
        with pytest.raises(detectors.DetectorError, match=reason) as error:
            detectors.load(saved)
    finally:
        np.savez_compressed(saved / "arrays.npz", **sound)
    assert "\n" not in str(error.value) and str(saved) in str(error.value)
    assert len(detectors.load(saved).calibration_scores) == 50


def test_case_13_infinity_is_kept_where_it_has_a_meaning(tmp_path):
    """A background that is the model: the ratio never varies, and its distance is -inf."""
    detectors.LikelihoodRatio(gaussian(), [gaussian()]).fit(random_images()).save(tmp_path / "ratio")
    assert np.isneginf(detectors.load(tmp_path / "ratio").fitted["distance"]).all()


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_case_14_one_log_probability_that_is_no_number_is_refused_by_fit(value):
    class Broken(tf.Module):
        def __init__(self):
            super().__init__()
            self.weight = tf.Variable(1.0)

        def log_prob(self, images):
            return tf.where(images[:, 0, 0, 0] > 250, value, self.weight * images[:, 1, 1, 0])

    images = random_images()
    images[:, 0, 0, 0] = 7
    images[3, 0, 0, 0] = 255
    kinds = (detectors.Typicality, detectors.DensityOfStates, detectors.ScoreTest)
    for kind in kinds:
        with pytest.raises(detectors.DetectorError, match="1 of the 50 images given to fit is NaN") as error:
            kind(Broken()).fit(images)
        assert str(error.value).startswith(kind.name)
    with pytest.raises(detectors.DetectorError, match="is NaN or infinite"):
        detectors.LikelihoodRatio(Broken(), [gaussian()]).fit(images)
    with pytest.raises(detectors.DetectorError, match="is NaN or infinite"):
        detectors.LocalIntrinsicDimension.without_models({}).fit_statistics([[value, 1.0], [0.0, 2.0]])
    detector = detectors.Likelihood(Broken()).fit(images)  # fits nothing: one score is infinite, no more
    scores = detector.score(images)
    assert scores[3] == np.inf and np.isfinite(np.delete(scores, 3)).all()


def test_case_14_what_is_fitted_before_the_statistics_is_not_spoilt():
    detector = detectors.SecondOrder(linear_flow(np.full(16, 0.3))).fit(random_images())
    assert np.isfinite(detector.score(random_images(3))).all()


@pytest.mark.parametrize(("alpha", "count", "needed"), [(0.05, 5, 19), (0.01, 28, 99)])
def test_case_09_a_level_that_cannot_be_reached_is_refused_in_one_line(alpha, count, needed):
    with pytest.raises(
        detectors.DetectorError, match=f"{count} calibration images cannot .* at least {needed}, or take"
    ) as error:
        calibration.need_level(alpha, count)
    assert "\n" not in str(error.value) and "`allow_unattainable`" in str(error.value)
    calibration.need_level(alpha, needed)


class _NothingIsScored(detectors.Likelihood):
    def _graph_statistics(self, images):
        raise AssertionError("an image was scored")


def _spec(dataset="digits"):
    return runs.RunSpec("glow", tfp_flows.GlowConfig(levels=1), {}, dataset, (8, 8, 1))


def test_case_09_fit_and_calibrate_looks_at_the_level_before_it_scores_anything():
    with pytest.raises(detectors.DetectorError, match="18 calibration images cannot give .* at least 19"):
        detectors.fit_and_calibrate(
            _NothingIsScored(gaussian(shape=(8, 8, 1))), _spec(), max_images=18, alpha=0.05
        )
    detector = detectors.Likelihood(gaussian(shape=(8, 8, 1)))
    for alpha, images in ((0.05, 19), (None, 18)):
        detectors.fit_and_calibrate(detector, _spec(), max_images=images, alpha=alpha)
        assert len(detector.calibration_scores) == images


def test_case_09_a_set_of_the_users_calibrates_as_a_whole(tmp_path):
    images = random_images(150, (8, 8, 1))
    np.savez(tmp_path / "mine.npz", train=images[:130], test=images[130:])
    name = f"npz:{tmp_path}/mine.npz"
    detector = detectors.Likelihood(gaussian(shape=(8, 8, 1)))
    assert detectors.fit_and_calibrate(detector, _spec(), calibrate_on=name, alpha=0.01).fit > 0
    np.testing.assert_allclose(detector.calibration_scores, np.sort(detector.score(images)))
    detectors.fit_and_calibrate(detector, _spec(), calibrate_on=name, max_images=20)
    assert len(detector.calibration_scores) == 20
    detectors.fit_and_calibrate(detector, _spec(), calibrate_on="noise", max_images=30)
    assert len(detector.calibration_scores) == 30
    with pytest.raises(data.DataError, match="photos"):
        detectors.fit_and_calibrate(detector, _spec(), calibrate_on="photos")
    with pytest.raises(detectors.DetectorError, match="`calibrate_on`: the model was trained on images of"):
        detectors.fit_and_calibrate(detector, _spec(), calibrate_on="digits@contrast=0.5")
    with pytest.raises(detectors.DetectorError, match="`calibrate_on`: the model was trained on images of"):
        detectors.fit_and_calibrate(
            detector, _spec(name), calibrate_on=f"npz:{tmp_path}/../{tmp_path.name}/mine.npz"
        )


@pytest.fixture(scope="module")
def exported(tmp_path_factory, make_run):
    """Folder of an exported Glow whose detector was calibrated with 18 images, and the detector itself."""
    folder = tmp_path_factory.mktemp("exported")
    make_run(folder, "glow")
    detector = detectors.load(folder / "glow_detector").calibrate(HELD_OUT[:18])
    detector.save(folder / "glow_detector")
    serving.export(runs.Run(folder / "glow"), folder / "exported", folder / "glow_detector")
    return folder


def test_case_09_scorers_of_an_export_and_of_a_detector_refuse_the_level(exported):
    path = exported / "exported"
    assert serving.exported_model.num_calibration(path) == 18
    for make in (
        lambda alpha: scoring.of_export(path, 8, alpha),
        lambda alpha: scoring.of_detector(exported / "glow_detector", alpha),
    ):
        with pytest.raises(
            detectors.DetectorError, match="18 calibration images cannot give .* at least 19"
        ):
            make(0.05)
        for alpha in (0.1, None):
            scorer, _ = make(alpha)
        assert scorer(DIGITS[:2])["p_value"].min() >= 1 / 19


def test_case_09_beam_refuses_the_level_and_the_transform_warns(exported, tmp_path):
    pytest.importorskip("apache_beam")
    from tfp_flows.scoring.beam import ScoreImages
    from tfp_flows.scoring.beam_job import BeamJob, Source

    job = BeamJob(str(exported / "exported"), Source("folder:nowhere"), str(tmp_path / "s.csv"))
    with pytest.raises(detectors.DetectorError, match="18 calibration images cannot give .* at least 19"):
        job.run("DirectRunner")
    with pytest.warns(UserWarning, match="18 calibration images cannot give"):
        ScoreImages(exported / "exported")


def test_case_09_the_command_stops_with_one_line_before_it_scores(exported, tmp_path):
    images = tmp_path / "a.npy"
    np.savez(tmp_path / "a.npz", test=DIGITS[:3])
    out = tmp_path / "s.csv"
    arguments = [f"--model={exported / 'exported'}", f"--out={out}", "--alpha=0.05"]
    arguments.append(f"--images=npz:{images.with_suffix('.npz')}")
    result = forked.command("tfp_flows.score", *arguments)
    assert result.returncode == 1 and not list(tmp_path.glob("s.csv*")), result.stderr
    assert result.stderr.startswith("error: --alpha: 18 calibration images"), result.stderr
    assert "at least 19" in result.stderr and "--allow_unattainable" in result.stderr
    assert result.stderr.strip().count("\n") == 0


@pytest.mark.parametrize("count", [18, 19, 30, 40])
def test_case_10_command_card_and_verdicts_have_one_threshold(count):
    """The command's words, the card's, p <= alpha in the graph, the table's verdicts and `predict`."""
    rng = np.random.default_rng(count)
    scores = rng.normal(10, 1, count).astype(np.float32)
    detector = detectors.Likelihood(gaussian())
    detector.conformal.calibrate(scores)
    words = [detect.summary(detector, 5, 0.05, "x"), serving.model_card.of_detector(detector, False)]
    found = [
        re.search(r"scores above (\S+) have a p-value of 0.05 or less", " ".join(w.split())) for w in words
    ]
    tested = np.concatenate([scores, np.nextafter(scores, np.float32(np.inf)), np.float32([0, 99])])
    p_values = calibration.p_value(tf.constant(tested), tf.constant(detector.calibration_scores)).numpy()
    verdicts = scoring.verdicts(p_values, 0.05) == "out"
    if count < 19:
        assert found == [None, None] and not verdicts.any()
        assert all("cannot give a p-value of 0.05" in " ".join(w.split()) for w in words)
        return
    limits = {np.float32(match[1]) for match in found}
    assert len(limits) == 1
    np.testing.assert_array_equal(tested > limits.pop(), verdicts)
    np.testing.assert_array_equal(detector.conformal.predict(tested, 0.05), verdicts)
    np.testing.assert_array_equal(scoring.verdicts(p_values.tolist(), 0.05) == "out", verdicts)


def _result(num_images, num_calibration):
    """What the study says of a likelihood with so many images of each kind."""
    rng = np.random.default_rng(0)
    held_out, own, foreign = (
        rng.normal(m, 1, n) for m, n in ((0, num_calibration), (0, 9), (3, num_images))
    )
    conformal = Conformal("test")
    conformal.calibrate(held_out)
    shares = [separation.share_called(conformal, scores, 0.05) for scores in (own, foreign)]
    kind = detectors.Likelihood
    return detector_study.Result(
        detector_candidates.Candidate("likelihood", "r", kind, {}, (), None),
        "other",
        (9, num_images),
        30,
        num_calibration,
        separation.separation(own, foreign, num_bootstrap=20),
        *shares,
        0.001,
    )


def test_case_11_each_row_says_its_own_n_and_no_rate_that_cannot_be():
    few, enough = _result(50, 18), _result(50, 19)
    assert (few.false_alarms, few.detected) == (None, None) and 0 <= enough.false_alarms < enough.detected
    rows = [detector_chapters.row(result) for result in (few, enough)]
    assert [row["calibrated with"] for row in rows] == [18, 19] and rows[0]["fitted to"] == 30
    assert detector_chapters._short_row(few)["fitted / calibrated"] == "30 / 18"
    lines = [line.split() for line in detector_chapters.text_table([few, enough]).splitlines()[1:]]
    assert lines[0][-3:-1] == ["–", "–"] and float(lines[1][-2]) == pytest.approx(enough.detected, abs=1e-3)


@pytest.mark.parametrize(("sizes", "known"), [((1, 50), False), ((50, 9), False), ((10, 10), True)])
def test_case_12_no_interval_where_there_can_be_none(sizes, known):
    rng = np.random.default_rng(0)
    own, foreign = (rng.normal(0, 1, n) for n in sizes)
    value, low, high = evaluation.auroc(own, foreign)
    assert value == pytest.approx(np.mean(own[:, np.newaxis] < foreign))
    assert (low is not None, high is not None) == (known, known)
    found = separation.separation(own, foreign, num_bootstrap=20)
    for estimate in (found.auroc, found.average_precision, found.fpr_at_95_tpr):
        assert (estimate.low is not None, estimate.high is not None) == (known, known)
    assert found.auroc.value == pytest.approx(value)
    text = evaluation.with_interval(value, low, high)
    assert text == (f"{value:.3f} [{low:.3f}, {high:.3f}]" if known else f"{value:.3f} [too few]")


def test_case_12_one_image_has_no_standard_error(tmp_path):
    one, many = (data.load("digits", "test", max_images=n) for n in (1, 12))
    rng = np.random.default_rng(0)
    rows = [
        row_of(many, rng.normal(-100, 5, 12), None, None),
        row_of(one, np.array([-90.0]), rng.normal(-100, 5, 12), None),
    ]
    assert rows[1].bits_per_dim_se is None and rows[1].auroc_low is None and rows[0].bits_per_dim_se > 0
    text = evaluation.table(rows)
    assert "nan" not in text and text.count("±") == 1 and "[too few]" in text
    write_csv(tmp_path / "t.csv", rows)
    assert "nan" not in (tmp_path / "t.csv").read_text()
    said = evaluation.report(runs.Run(tmp_path), rows)
    assert "an interval takes at least 10 images of either set" in said
    assert "too few" not in evaluation.report(runs.Run(tmp_path), rows[:1])


def test_case_12_a_picture_of_few_images_has_points_without_bars():
    figure = detector_figures.auroc_dots({"r": [_result(3, 18)]}, "other")
    assert figure.axes[0].get_yticklabels()[0].get_text() == "likelihood"
