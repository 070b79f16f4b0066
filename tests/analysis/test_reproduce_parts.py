"""What a reproduction is made of: recipes, their runs' folders, progress, verdicts, published rows."""

import dataclasses
import json
import pathlib
import types

import numpy as np
import pytest
from absl import flags

from analysis import (
    published,
    published_bits,
    reproduce,
    reproduce_claims,
    reproduce_recipes,
    reproduce_rows,
    reproduce_scales,
    reproduce_sets,
    reproduce_stages,
    reproduce_training,
    reproduce_work,
)
from analysis.errors import AnalysisError
from analysis.reproduce_claims import CONTRADICTED, REPRODUCED, UNDECIDED
from analysis.reproduce_stages import Progress, Task
from tests.data import tfds_layouts
from tfp_flows import commands, training
from tfp_flows.checks.errors import UserError
from tfp_flows.models import registry
from tfp_flows.training import command_flags

FLAGS = flags.FLAGS
EVERY = [(e, s) for e in reproduce_recipes.EXPERIMENTS for s in reproduce_scales.SCALES]


def test_the_command_offers_what_there_is():
    assert reproduce.EXPERIMENTS == tuple(reproduce_recipes.EXPERIMENTS)
    assert reproduce.SCALES == tuple(reproduce_scales.SCALES)
    assert reproduce.STAGES == reproduce_stages.STAGES


@pytest.mark.parametrize(("experiment", "scale"), EVERY)
def test_every_recipe_is_one_that_training_takes(experiment, scale):
    recipes = reproduce_recipes.recipes(experiment, scale, seeds=2)
    assert len({r.name for r in recipes}) == len(recipes)
    configs = {}
    for recipe in recipes:
        arguments = [*reproduce_training.recipe_arguments(recipe), "--run=x"]
        with commands.flags_of(command_flags.define_flags, arguments):
            assert FLAGS.family == recipe.family and FLAGS.dataset == recipe.dataset.name
            assert not FLAGS.evaluate_on and FLAGS.seed == recipe.seed
            config = registry.settings(recipe.family).config_class
            configs[recipe.name] = (
                commands.config_from_flags(config),
                commands.config_from_flags(training.TrainingConfig),
            )
    models = {name: dataclasses.replace(config[0], seed=0) for name, config in configs.items()}
    assert models["outlier_exposure"] == models["background"] == models["glow"] == models["glow_seed_1"]
    assert models["member_0"] == models["member_1"] and configs["background"][1].mutation_rate > 0
    assert models["cv_glow"].coupling == "additive"
    assert configs["outlier_exposure"][1].outlier_kinds


@pytest.mark.parametrize("experiment", reproduce_recipes.EXPERIMENTS)
def test_the_cpu_scale_leaves_time_for_the_rest_of_150_minutes(experiment):
    assert sum(r.minutes for r in reproduce_recipes.recipes(experiment, "cpu")) <= 125


def test_the_paper_scale_has_the_paper_sizes():
    sizes = {}
    for name in reproduce_recipes.EXPERIMENTS:
        recipe = reproduce_recipes.recipes(name, "paper")[0]
        with commands.flags_of(
            command_flags.define_flags, [*reproduce_training.recipe_arguments(recipe), "--run=x"]
        ):
            sizes[name] = (FLAGS.levels, FLAGS.steps_per_level, FLAGS.hidden_channels, FLAGS.optimizer)
    assert sizes == {"fashion_mnist": (2, 16, 200, "rmsprop"), "cifar10": (3, 8, 400, "rmsprop")}


def test_flag_files_say_what_is_reproduced():
    for path in sorted((pathlib.Path("flagfiles")).glob("reproduce_*.flags")):
        with commands.flags_of(reproduce.define_flags, [f"--flagfile={path}"]):
            assert FLAGS.out == f"reproduced/{path.stem.removeprefix('reproduce_')}"
    assert path.stem == "reproduce_quickstart"


def test_flags_of_another_command_are_put_back():
    values = flags.FlagValues()
    before = {name: FLAGS[name] for name in FLAGS}
    with commands.flags_of(command_flags.define_flags, ["--run=a", "--dataset=digits", "--steps=3"]):
        assert FLAGS.steps == 3
    with pytest.raises(UserError, match="stepz"):
        with commands.flags_of(command_flags.define_flags, ["--run=a", "--dataset=digits", "--stepz=3"]):
            pass
    assert {name: FLAGS[name] for name in FLAGS} == before and values is not FLAGS


def _folders(tmp_path, recipes):
    models = reproduce_training.models_of(recipes, tmp_path, {}, {"data_dir": None, "download": False})
    return {model.name: model.run.folder for model in models}


def test_another_flag_means_another_run_and_so_of_what_starts_from_it(tmp_path):
    recipes = reproduce_recipes.recipes("fashion_mnist", "smoke")
    before = _folders(tmp_path, recipes)
    changed = [
        dataclasses.replace(r, changes=(*r.changes, "--steps=61")) if r.name == "glow" else r
        for r in recipes
    ]
    after = _folders(tmp_path, changed)
    assert {name for name in before if before[name] != after[name]} == {"glow", "outlier_exposure"}
    assert before["glow"].name == "glow" and before["glow"].is_relative_to(tmp_path / "runs")


def test_progress_says_what_is_left_by_what_was_measured():
    now, computed, said = [0.0], [0], []

    def passing(seconds, results=1):
        def run():
            now[0] += seconds
            computed[0] += results

        return run

    tasks = [Task("evaluate", "a", 100.0, passing(260.0)), Task("evaluate", "b", 100.0, passing(99.0))]
    tasks.append(Task("evaluate", "kept", 60.0, passing(1.0, results=0)))
    Progress(said.append, lambda: computed[0], lambda: now[0]).run(tasks, later=40.0)
    # (260 + 60) / (100 + 60) = 2 times 160 s, and 40; then (359 + 60) / (200 + 60) times 60 s, and 40.
    assert said == [
        "[evaluate 1/3] a: 4 min; 6 min to go",
        "[evaluate 2/3] b: 99 s; 2 min to go",
    ]


@pytest.mark.parametrize(
    ("low", "high", "above", "expected"),
    [
        (0.6, 0.7, True, REPRODUCED),
        (0.6, 0.7, False, CONTRADICTED),
        (0.1, 0.2, False, REPRODUCED),
        (0.1, 0.2, True, CONTRADICTED),
        (0.4, 0.6, True, UNDECIDED),
        (None, None, False, UNDECIDED),
        (float("nan"), float("nan"), True, UNDECIDED),
    ],
)
def test_verdicts(low, high, above, expected):
    assert reproduce_claims.verdict(low, high, above) == expected


def test_verdicts_on_differences():
    values = [(3.0, 1.0), (-3.0, 1.0), (1.0, 1.0), (float("nan"), 1.0)]
    found = [reproduce_claims.of_difference(*value) for value in values]
    assert found == [REPRODUCED, CONTRADICTED, UNDECIDED, UNDECIDED]


def test_every_published_row_is_one_of_an_experiment():
    """So that no row of the paper is left out of both reports."""
    ours = set()
    for name in reproduce_recipes.EXPERIMENTS:
        for recipe in reproduce_recipes.recipes(name, "cpu"):
            if recipe.role != reproduce_recipes.JUDGED or recipe.name == "cv_glow":
                continue
            keys = [recipe.dataset.key, *(named.key for named in recipe.others)]
            keys += [reproduce_work.GREY] if recipe.name == "glow" else []
            ours |= {(recipe.family, recipe.dataset.key, key) for key in keys}
    assert {row[:3] for row in published_bits.ROWS} <= ours
    assert {row.source for row in published_bits.ROWS} == set(published_bits.SOURCES)


def test_numbers_whose_model_is_not_named_are_not_said_to_be_of_a_glow():
    numbers = {(n.detector, n.auroc): n for n in published.NUMBERS if n.pair == published.CIFAR10}
    for key in (("waic", 0.760), ("typicality", 0.714), ("density_of_states", 0.752)):
        assert numbers[key].model == published.UNNAMED
    serra = {n.auroc: n.source for n in published.numbers("input_complexity", *published.CIFAR10)}
    assert serra == dict.fromkeys((0.950, 0.929, 0.883, 0.737), "contradicted")
    assert numbers["likelihood", 0.08].model == "VAE (ELBO)"


def test_sets_that_are_not_here_say_so_and_others_how_many_there_are(tmp_path):
    where = {"data_dir": str(tmp_path), "download": False}
    named = reproduce_sets.to_judge_on("celeb_a", smoke=False)
    assert "'celeb_a' is not in" in reproduce_sets.why_missing(named.name, "test", where)
    tfds_layouts.write_celeb_a(tmp_path)
    assert reproduce_sets.why_missing(named.name, "train", where) == ""
    assert reproduce_sets.data_note(named, where) == "60 of 162,770 train, 24 of 19,962 test"
    file = next(tmp_path.glob("celeb_a/*/dataset_info.json"))
    values = json.loads(file.read_text())
    values |= {"moduleName": "x.adhoc_builder", "description": "drawn\nby hand"}
    file.write_text(json.dumps(values))
    assert reproduce_sets.remark(named, str(tmp_path)) == "drawn by hand"


def test_a_model_whose_data_are_there_is_no_longer_left_out(tmp_path):
    config = reproduce_work.Config("cifar10", "smoke", tmp_path / "out", data_dir=str(tmp_path / "data"))
    assert reproduce_work.Reproduction(config).model("glow_celeb_a").missing
    tfds_layouts.write_celeb_a(tmp_path / "data")
    tfds_layouts.write_imagenet32(tmp_path / "data")
    work = reproduce_work.Reproduction(config)
    assert not [model.name for model in work.models if model.missing]
    assert work.why_not("glow_celeb_a", "svhn_cropped").startswith("it is not trained yet")


def test_a_spread_needs_two_seeds(monkeypatch, tmp_path):
    config = reproduce_work.Config("fashion_mnist", "smoke", tmp_path, seeds=3)
    work = reproduce_work.Reproduction(config)
    assert [m.recipe.seed for m in work.headline()] == [0, 1, 2]
    monkeypatch.setattr(work, "has", lambda name: True)
    monkeypatch.setattr(work, "why_not", lambda name, key: "")
    bits = {"glow": 3.0, "glow_seed_1": 3.1, "glow_seed_2": 3.5}
    monkeypatch.setattr(work, "bits", lambda name, key, split="test": np.full(5, bits[name]))
    monkeypatch.setattr(work, "auroc", lambda name, key: (0.1, 0.05, 0.2))
    first = reproduce_rows.spread(work)[0]
    assert first["mean"] == pytest.approx(3.2) and first["standard deviation"] == pytest.approx(0.264575)
    (claim,) = reproduce_claims._seeds(work)
    assert claim.verdict == REPRODUCED
    high = {"glow": 0.2, "glow_seed_1": 0.6, "glow_seed_2": 0.2}
    monkeypatch.setattr(work, "auroc", lambda name, key: (0.1, 0.05, high[name]))
    assert reproduce_claims._seeds(work)[0].verdict == UNDECIDED
    low = {"glow": 0.05, "glow_seed_1": 0.55, "glow_seed_2": 0.05}
    monkeypatch.setattr(work, "auroc", lambda name, key: (0.1, low[name], high[name]))
    assert reproduce_claims._seeds(work)[0].verdict == CONTRADICTED
    monkeypatch.setattr(work, "auroc", lambda name, key: (0.8, 0.7, 0.9))
    assert reproduce_claims._seeds(work)[0].verdict == REPRODUCED  # whatever it is, it is so for each seed
    monkeypatch.setattr(work, "why_not", lambda name, key: "" if name == "glow" else "it is missing")
    assert reproduce_rows.spread(work) == [] and reproduce_claims._seeds(work) == []


@pytest.mark.parametrize(
    "volume, latent, verdict",
    [
        (300, -50, REPRODUCED),
        (-50, -2000, UNDECIDED),  # not likelier, so that nothing made it so
        (-50, 500, CONTRADICTED),
        (100, 500, CONTRADICTED),
    ],
)
def test_the_volume_is_guilty_only_where_it_makes_it_likelier(
    monkeypatch, tmp_path, volume, latent, verdict
):
    config = reproduce_work.Config("fashion_mnist", "smoke", tmp_path, seeds=1)
    work = reproduce_work.Reproduction(config)
    noise = np.random.default_rng(0).normal(size=100)
    terms = {
        "own": types.SimpleNamespace(log_det=noise, log_prob_z=-noise),
        "foreign": types.SimpleNamespace(log_det=noise + volume, log_prob_z=latent - noise),
    }
    study = types.SimpleNamespace(terms=terms.get, spec=types.SimpleNamespace(dataset="own"))
    monkeypatch.setattr(work, "why_not", lambda name, key: "")
    monkeypatch.setattr(work, "study", lambda name: study)
    monkeypatch.setattr(work, "set_name", lambda name, key: "foreign")
    assert reproduce_claims._volume(work).verdict == verdict


def test_unknown_names_are_refused():
    with pytest.raises(AnalysisError, match="`scale` must be one of smoke, cpu, paper"):
        reproduce_scales.scale_of("huge")
    with pytest.raises(AnalysisError, match="`experiment` must be one of"):
        reproduce_recipes.experiment_of("imagenet")
    with pytest.raises(AnalysisError, match="`stages` must be of"):
        reproduce_stages.check_stages(["cook"])
    assert reproduce_stages.check_stages(["report", "train"]) == ("train", "report")
