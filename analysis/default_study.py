"""The study of `analysis.default_detector`: statistics of runs, combinations of tests, tables."""

import csv
import io
import itertools
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.special
import scipy.stats
import tensorflow as tf

from analysis import foreign_sets
from analysis.cache import Cache
from tfp_flows import data, detectors, runs
from tfp_flows.data.names import same_source
from tfp_flows.detectors import default, tails
from tfp_flows.detectors.input_complexity import LN2
from tfp_flows.numerics import roc

ALPHA = 0.05
OWN = ("validation", "calibration", "test")
COLUMNS = ("-log p", "typicality", "density of states", "complexity, PNG")  # beside the default
MOST_TESTS = 4
NUM_CODES = 2
CACHE_FORMAT = 2  # of the statistics

Scores = dict[str, np.ndarray]  # of each set


class Judged(NamedTuple):
    """What one run's statistics tell.

    Attributes:
      single: dict from the name of a score to `Scores`.
      tests: dict from the name of a test to log tail fractions, `Scores`.
      weights: dict from the name of a test of the default to its weight.
      false_alarms: Share of own test images that the calibrated default calls foreign at 0.05.
    """

    single: dict[str, Scores]
    tests: dict[str, Scores]
    weights: dict[str, float]
    false_alarms: float


class Combination(NamedTuple):
    """Tests and the rule by which their tail fractions are combined."""

    rule: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return self.tests[0] if len(self.tests) == 1 else f"{self.rule} of {', '.join(self.tests)}"


RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "harmonic mean": lambda logs: scipy.special.logsumexp(-logs, axis=0),
    "Fisher": lambda logs: -logs.sum(axis=0),
    "smallest": lambda logs: -logs.min(axis=0),
}
WEIGHTED = "weighted harmonic mean"
DEFAULT = Combination(WEIGHTED, default.Default.TESTS)


def fitting_name(name: str, shape: tuple[int, ...]) -> str:
    """A set's name with the operations that give it a model's shape."""
    size = "" if shape[0] != shape[1] else f"@resize={shape[0]}"
    return f"{name}{size}{'@luminance' if shape[2] == 1 else '@rgb'}"


def real_sets(names: Sequence[str], own: str, shape: tuple[int, ...], where: dict, most: int) -> dict:
    """Images of the real sets that can be had, their test splits, by name; says which cannot."""
    found = {}
    for name in names:
        if same_source(name, own):
            continue
        for spelled in (fitting_name(name, shape), name):
            try:
                split = data.evaluation_split(spelled, [own])
                images = data.load(spelled, split, image_shape=shape, max_images=most, **where).images
            except data.DataError as error:
                reason = error
                continue
            found[name] = np.asarray(data.as_array(images))
            break
        else:
            print(f"left out: {reason}")
    return found


def _how_read(spec: "runs.RunSpec", where: dict) -> dict:
    """The arguments of `data.load` by which a run's own images are read."""
    own = dict(image_shape=spec.image_shape, division=spec.division, skip_unreadable=spec.skip_unreadable)
    return {**own, **where}


def sets_of(
    spec: "runs.RunSpec", names: Sequence[str], where: dict, limits: Sequence[int | None], most: int
) -> dict:
    """Every set that a run is judged with, uint8 `[N, H, W, C]` by name; own splits first."""
    shape = spec.image_shape
    load = _how_read(spec, where)
    own = {
        split: np.asarray(data.as_array(data.load(spec.dataset, split, max_images=limit, **load).images))
        for split, limit in zip(OWN, limits, strict=True)
    }
    made = foreign_sets.made(own["test"][:most])
    simple = {
        "half contrast": f"{spec.dataset}@contrast=0.5",
        "quarter contrast": f"{spec.dataset}@contrast=0.25",
        "constant": "constant",
        "noise": "noise",
    }
    for title, name in simple.items():
        made[title] = np.asarray(data.load(name, "test", max_images=most, **load).images)
    return own | real_sets(names, spec.dataset, shape, where, most) | made


def judged(statistics: dict[str, np.ndarray], training: np.ndarray | None = None) -> Judged:
    """What the statistics `[N, S]` of `default.Default` tell, of each set, own splits among them.

    Args:
      statistics: By set.
      training: Those that need no model, of images that the model was trained on, `[N, S']`.
    """
    detector = detectors.Default.without_models({})
    detector.training_statistics = training
    detector.fit_statistics(statistics["validation"])
    detector.conformal.calibrate(detector.score_statistics(statistics["calibration"]))
    own = detector.score_statistics(statistics["test"])
    groups = {name: default.groups_of(rows) for name, rows in statistics.items()}
    fitted = {name: tf.constant(value) for name, value in detector.fitted.items()}
    logs = {name: default.log_tails(tf.constant(rows), fitted) for name, rows in statistics.items()}
    tests = {
        test: {name: found[i].numpy() for name, found in logs.items()}
        for i, test in enumerate(default.Default.TESTS)
    }
    single = {"default": {name: detector.score_statistics(rows) for name, rows in statistics.items()}}
    for title, score in _scores_of_terms(groups["validation"].likelihood).items():
        single[title] = {name: score(group.likelihood) for name, group in groups.items()}
        tail = tails.fit_tails(single[title]["validation"][:, np.newaxis])
        tail = {key: tf.constant(value) for key, value in tail.items()}
        tests[title] = {
            name: tails.log_tails(tf.constant(values)[:, tf.newaxis], tail).numpy()[:, 0]
            for name, values in single[title].items()
        }
    weights = {test: float(detector.fitted[f"{test}_weight"]) for test in default.Default.TESTS}
    return Judged(single, tests, weights, float(np.mean(detector.p_value_of_scores(own) <= ALPHA)))


def _scores_of_terms(fitted_to: np.ndarray) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Scores of (terms of log p, bits of the adaptive code, bits as PNG) `[N, T + 2]`."""
    mean = fitted_to[:, 0].mean()
    states = detectors.DensityOfStates.without_models({"density": "kde"})
    states.fit_statistics(fitted_to[:, :-NUM_CODES])
    return {
        "-log p": lambda rows: -rows[:, 0],
        "typicality": lambda rows: abs(rows[:, 0] - mean),
        "density of states": lambda rows: states.score_statistics(rows[:, :-NUM_CODES]),
        "complexity, PNG": lambda rows: -rows[:, 0] / LN2 - rows[:, -1],
        "complexity, adaptive": lambda rows: -rows[:, 0] / LN2 - rows[:, -2],
    }


def areas(scores: Scores) -> dict[str, float]:
    """The AUROC of each foreign set."""
    return {
        name: roc.area_under(scores["test"], values) for name, values in scores.items() if name not in OWN
    }


def combinations(tests: Sequence[str]) -> list[Combination]:
    """Every combination of up to four tests; of those of the default also with their weights."""
    several = [c for size in range(2, MOST_TESTS + 1) for c in itertools.combinations(tests, size)]
    weighted = [Combination(WEIGHTED, c) for c in several if set(c) <= set(default.Default.TESTS)]
    plain = [Combination(rule, c) for c in several for rule in RULES]
    return [Combination("", (test,)) for test in tests] + plain + weighted


def combined(one: Judged, combination: Combination) -> dict[str, float]:
    """The AUROC of each foreign set under a combination."""
    names = combination.tests
    weights = [one.weights[test] if combination.rule == WEIGHTED else 1.0 for test in names]
    rule = RULES.get(combination.rule, RULES["harmonic mean"])
    shift = np.log(weights)[:, np.newaxis]
    of_set = {name: np.stack([one.tests[test][name] for test in names]) for name in one.tests[names[0]]}
    return areas({name: rule(logs - shift) for name, logs in of_set.items()})


def left_out(found: dict[str, dict[Combination, dict[str, float]]]) -> dict[str, Combination]:
    """For each foreign set, the combination with the best mean over all other sets of all runs.

    Args:
      found: AUROC by run, combination and set.

    Returns:
      dict from a set's name to `Combination`.
    """
    names = sorted({name for areas_ in found.values() for each in areas_.values() for name in each})
    kinds = list(next(iter(found.values())))
    chosen = {}
    for name in names:
        means = [
            np.mean([a for of in found.values() for other, a in of[kind].items() if other != name])
            for kind in kinds
        ]
        chosen[name] = kinds[int(np.argmax(means))]
    return chosen


def table(columns: dict[str, dict[str, float]]) -> list[list]:
    """Rows (set, AUROC in each column), the worst of the default first; then means and the worst."""
    names = sorted(columns["default"], key=lambda name: columns["default"][name])
    near = [name for name in names if name in foreign_sets.NEAR]
    far = [name for name in names if name not in near]
    rows = [[name, *(column[name] for column in columns.values())] for name in [*far, *near]]
    for title, function, some in (
        ("mean but for the near ones", np.mean, far),
        ("worst but for the near ones", np.min, far),
        ("mean of all", np.mean, names),
    ):
        rows.append([title, *(float(function([c[name] for name in some])) for c in columns.values())])
    return rows


def markdown(header: Sequence[str], rows: Sequence[Sequence]) -> str:
    """A table in Markdown; numbers with three digits."""
    cells = [[f"{c:.3f}" if isinstance(c, float) else str(c) for c in row] for row in [header, *rows]]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], f"|{' --- |' * len(header)}", *lines[1:]])


def statistics_of(run: "runs.Run", sets: dict[str, np.ndarray], cache: Cache) -> dict[str, np.ndarray]:
    """Statistics `[N, S]` of every set under a run's model."""
    model = runs.load_model(run)[0]
    detector = detectors.Default(model)
    key = {"weights": run.checkpoint_digest(), "format": CACHE_FORMAT}

    def of_set(name: str) -> np.ndarray:
        identity = key | {"images": foreign_sets.digest(sets[name])}
        found = cache.get("statistics", identity, lambda: {"s": detector.statistics(sets[name], name)})
        return found["s"]

    return {name: of_set(name) for name in sets}


def training_statistics(spec: "runs.RunSpec", where: dict, cache: Cache) -> np.ndarray:
    """What the default asks of training images without a model: `[N, S']`."""
    load = _how_read(spec, where)
    most = detectors.Default.most_training_images
    images = np.asarray(data.as_array(data.load(spec.dataset, "train", max_images=most, **load).images))

    def compute() -> dict[str, np.ndarray]:
        return {"s": default.statistics_without_model(images)}

    identity = {"images": foreign_sets.digest(images), "format": CACHE_FORMAT}
    return cache.get("training", identity, compute)["s"]


def write(
    paths: Sequence[str],
    out: pathlib.Path,
    foreign: Sequence[str],
    data_dir: str | None,
    limits: tuple[int | None, int | None, int],
    most: int,
) -> str:
    """Judges every run, writes the tables and returns them.

    Args:
      paths: Folders of runs.
      out: Folder to write to.
      foreign: Real foreign sets.
      data_dir: Of data sets in TFDS layout.
      limits: Validation images, calibration images (None: all) and own test images.
      most: Images of each foreign set.
    """
    where = {"data_dir": data_dir}
    cache = Cache(out / "cache")
    found: dict[str, Judged] = {}
    for path in paths:
        run = runs.Run(path)
        sets = sets_of(run.spec(), foreign, where, limits, most)
        training = training_statistics(run.spec(), where, cache)
        found[run.folder.name] = judged(statistics_of(run, sets, cache), training)
    kinds = combinations(list(next(iter(found.values())).tests))
    by_kind = {run: {kind: combined(one, kind) for kind in kinds} for run, one in found.items()}
    text, rows = report(found, by_kind, left_out(by_kind))
    runs.write_atomically(out / "default_detector.md", text)
    table_text = io.StringIO()
    csv.writer(table_text, lineterminator="\n").writerows(rows)
    runs.write_atomically(out / "default_detector.csv", table_text.getvalue())
    return text


def report(
    found: dict[str, Judged],
    by_kind: dict[str, dict[Combination, dict[str, float]]],
    chosen: dict[str, Combination],
) -> tuple[str, list[list]]:
    """(the page in Markdown, the rows of the table of all runs)."""
    pieces, every = [], [["run", "set", "default", "chosen without it", *COLUMNS]]
    for run, one in found.items():
        columns = {"default": areas(one.single["default"])}
        columns["chosen without it"] = {
            name: by_kind[run][chosen[name]][name] for name in columns["default"]
        }
        columns |= {title: areas(one.single[title]) for title in COLUMNS}
        rows = table(columns)
        every += [[run, *row] for row in rows]
        weights = ", ".join(f"{test} {weight:.2f}" for test, weight in one.weights.items())
        alarms = f"Own test images called foreign at {ALPHA}: {100 * one.false_alarms:.1f} %. "
        alarms += f"Weights: {weights}."
        pieces.append(f"### {run}\n\n{alarms}\n\n{markdown(['foreign set', *columns], rows)}")
    kinds = by_kind[run]
    means = {kind: np.mean([a for of in by_kind.values() for a in of[kind].values()]) for kind in kinds}
    ranked = sorted(means, key=lambda kind: -means[kind])
    place = 1 + ranked.index(DEFAULT)
    best = [[str(kind), float(means[kind])] for kind in ranked[:10]]
    pieces.append(
        f"### Combinations\n\nOf {len(ranked)} combinations the default is at place {place} by the mean of "
        f"all sets and runs ({means[DEFAULT]:.3f}). Without one set or another {len(set(chosen.values()))} "
        f"different ones were chosen.\n\n{markdown(['combination', 'mean'], best)}"
    )
    return "\n\n".join(pieces) + "\n", every
