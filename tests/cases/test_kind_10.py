"""Kind 10: a report tells what it found."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba
from matplotlib.text import Text

import tfp_flows
from analysis import (
    cache,
    chapters,
    detector_candidates,
    detector_chapters,
    detector_study,
    report_page,
    separation,
    study,
)
from tests import forked
from tfp_flows import data, detectors, evaluation, runs, training
from tfp_flows.pages import page, pictures


def _result(auroc, kind=detectors.Likelihood, foreign="other"):
    estimate = separation.Estimate(auroc, auroc, auroc)
    candidate = detector_candidates.Candidate("t", "r", kind, {}, (), None)
    found = separation.Separation(estimate, estimate, estimate)
    return detector_study.Result(candidate, foreign, (20, 20), 20, 20, found, 0.0, 1.0, 0.001)


class _Study:
    """log p of 60 own images and of so many others."""

    own = "own"

    def __init__(self, count):
        self._count = count

    def log_probs(self, candidate, name, split):
        count = 60 if split != "test" else self._count
        return np.random.default_rng(count).normal(-100 if name == "own" else -120, 3, count)


@pytest.mark.parametrize("count", [20, 25, 3, 1])
def test_case_54_groups_are_of_as_many_images_as_there_are(tmp_path, count):
    made = page.Page(tmp_path, "title", "lead")
    results = [_result(0.5, detectors.Typicality)]
    detector_chapters.groups_of_images(made, _Study(count), results)
    made.write([])
    with open(tmp_path / "tables" / "typicality.csv", newline="", encoding="utf-8") as file:
        rows = {row["images"]: row for row in csv.DictReader(file)}
    for size in detector_chapters.GROUP_SIZES:
        rates = [rows[name][f"M = {size}"] for name in ("own", "other")]
        if size > count:
            assert rates == ["", ""]
        else:
            assert float(rates[0]) <= 1 and float(rates[1]) > 0.9
    assert (tmp_path / "index.html").exists()


@pytest.mark.parametrize(
    ("areas", "words"),
    [
        ([0.11], "The likelihood does not: its AUROC is 0.110."),
        ([0.11, 0.3], "The likelihood does not: its AUROC is 0.110 to 0.300."),
        ([0.87], "Here the likelihood does in part: its AUROC is 0.870."),
        ([0.97, 0.99], "Here the likelihood does: its AUROC is 0.970 to 0.990."),
        (
            [0.2, 0.9, 0.99],
            "The likelihood does not in 1 of 3 comparisons: its AUROC is 0.200 to 0.990.",
        ),
    ],
)
def test_case_55_what_is_said_of_the_likelihood_follows_its_auroc(areas, words):
    others = [_result(0.2, detectors.Typicality), _result(0.99, detectors.WAIC)]
    said = detector_chapters.lead([*map(_result, areas), *others])
    assert said.startswith(words + " Here is every remedy")
    assert "likelihood" not in detector_chapters.lead(others)


@pytest.mark.parametrize(
    ("areas", "title", "counted"),
    [
        ((0.1, 0.9), "Why the likelihood is fooled", "in 1 of 2 comparisons"),
        ((0.6, 0.9), "Where the likelihood is not fooled", "in none of 2 comparisons"),
    ],
)
def test_case_55_the_title_of_a_report_follows_its_numbers(areas, title, counted):
    study = SimpleNamespace(others=["a", "b"], auroc=lambda name: (areas["ab".index(name)], None, None))
    fooled, judged = chapters.count_fooled([study])
    assert (fooled, judged) == (sum(a < 0.5 for a in areas), 2)
    found, lead = report_page.heading(fooled, judged)
    assert found == title and counted in lead and "  " not in lead
    said = chapters._fooled_text(fooled, judged)
    assert ("nowhere" in said) == (fooled == 0) and f"Of {judged} comparisons" in said


def test_case_57_help_is_no_failure():
    found = forked.command("tfp_flows.train", "--help", env={"COLUMNS": "100"})
    assert found.returncode == 0 and found.stderr == ""
    assert found.stdout.startswith("Trains a model") and len(found.stdout.splitlines()) < 50


SETS = ("birds=npz:{0}/d/x.npz", "npz:{0}/e/x.npz", "npz:{0}/d_x.npz", "noise", "grey=constant")
LABELS = ["birds", "x.npz", "d_x.npz", "noise", "grey"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Folder of a run on an archive, and names of other archives."""
    folder = tmp_path_factory.mktemp("sets")
    for i, name in enumerate(("own.npz", "d/x.npz", "e/x.npz", "d_x.npz")):
        (folder / name).parent.mkdir(exist_ok=True)
        images = data.load("digits", "train").images[200 * i : 200 * i + 80]
        np.savez(folder / name, train=images[:60], test=images[60:])
    train = data.load(f"npz:{folder}/own.npz", "train")
    config = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=4)
    values = training.TrainingConfig(steps=1, batch_size=16, validate_every=0)
    spec = runs.RunSpec("glow", config, vars(values), f"npz:{folder}/own.npz", (8, 8, 1))
    training.train(runs.Run(folder / "run"), spec, "", train.images, train.images[:10], progress=False)
    return folder, [name.format(folder) for name in SETS]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved meanwhile."""
    figures = []
    monkeypatch.setattr(pictures, "save", lambda figure, *_: figures.append(figure))
    return figures


def _words(figure):
    return [text.get_text() for text in figure.findobj(Text)]


def _legend(figure):
    """{label without its mean: colours} of all that is in legends."""
    found = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            artist = handle[0] if isinstance(handle, tuple) else handle
            artist = getattr(artist, "patches", [artist])[0]
            get = getattr(artist, "get_edgecolor", None) or artist.get_color
            found.setdefault(label.split(":")[0].removesuffix(" (off the scale)"), set()).add(
                to_hex(get()[:3] if not isinstance(get(), str) else get())
            )
    return found


def test_case_56_an_evaluation_names_sets_shortly(sets, drawn):
    folder, names = sets
    run = runs.Run(folder / "run")
    rows = evaluation.evaluate(run, evaluation.load_sets(run.spec(), names), num_samples=4, progress=False)
    assert [row.dataset for row in rows] == ["own.npz", "own.npz", *LABELS]
    printed = evaluation.report(run, rows).splitlines()
    assert not any(str(folder) in line for line in printed[:-1])
    for figure in drawn:
        assert not any("/" in words for words in _words(figure))
    legend = _legend(drawn[0])
    assert list(legend) == ["own.npz (test)", "own.npz (train)", *(f"{label} (test)" for label in LABELS)]
    colours = [next(iter(colours)) for colours in legend.values()]
    assert len(set(colours)) == len(colours) and colours[0] == pictures.COLOURS[0].lower()
    for table in ("bits_per_dim.csv",):
        assert str(folder) not in (run.evaluation / table).read_text()


def test_case_56_a_report_names_sets_shortly_and_draws_each_in_one_colour(sets, drawn, tmp_path):
    folder, names = sets
    config = study.StudyConfig(
        datasets=tuple(names), max_images=20, num_probes=2, covariance_images=4, sweep_images=4
    )
    found = study.RunStudy(runs.Run(folder / "run"), config, cache.Cache(tmp_path / "cache"))
    study.compute_all([found], progress=False)
    made = page.Page(tmp_path, "title", "lead")
    for chapter in (chapters.likelihoods, chapters.decomposition, chapters.data_moments):
        chapter(made, [found])
    for chapter in (chapters.second_order, chapters.sweeps):
        chapter(made, [found])
    legends = [_legend(figure) for figure in drawn]
    colours = {}
    for legend in legends:
        for label, some in legend.items():
            colours.setdefault(label, set()).update(some)
    for label in ("own.npz", *LABELS):
        assert len(colours[label]) == 1 and sum(label in legend for legend in legends) >= 3
    assert colours["own.npz"] == {pictures.COLOURS[0].lower()}
    assert len(colours["own.npz (train)"]) == 1 and colours["own.npz (train)"] != colours["own.npz"]
    assert len({tuple(colours[label]) for label in LABELS}) == len(LABELS)
    assert not any(str(folder) in words for figure in drawn for words in _words(figure))
    for table in (tmp_path / "tables").iterdir():
        assert str(folder) not in table.read_text()
    assert found.title == "NVP-Glow on own.npz"
    assert "birds is npz:" in "\n".join(report_page._how([found], config))


class _Scores:
    own = "npz:/long/path/to/own.npz"

    def scores(self, candidate, name):
        return np.arange(20.0) + len(name)


def test_case_56_a_comparison_of_detectors_too(drawn, tmp_path):
    names = ["birds=npz:/long/path/d/x.npz", "npz:/long/path/d_x.npz", "npz:/long/path/e/d_x.npz"]
    results = [_result(0.7, foreign=name) for name in names]
    made = page.Page(tmp_path, "title", "lead")
    detector_chapters.comparison(made, _Scores(), results)
    assert len(list((tmp_path / "tables").iterdir())) == 6
    words = [word for figure in drawn for word in _words(figure)]
    assert not any("long" in word for word in words) and "long" not in detector_chapters.text_table(results)
    histograms = [_faces(figure) for figure in drawn[1::2]]
    own = {faces["own.npz"] for faces in histograms}
    assert own == {to_rgba(pictures.COLOURS[0], 0.45)}
    others = [
        faces[name] for faces, name in zip(histograms, ("birds", "path/d_x.npz", "e/d_x.npz"), strict=True)
    ]
    assert len({*others, *own}) == 4


def _faces(figure):
    axes = figure.axes[0]
    return {
        label: handle.get_facecolor()
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
