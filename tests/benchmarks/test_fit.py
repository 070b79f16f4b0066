"""The table of fit: steps that fill the minutes, kept results, variants that mean what they say."""

import csv
import json

import pytest

from benchmarks import fit, fit_flags, fit_table, fit_timing, fit_variants
from tfp_flows import training
from tfp_flows.checks import UserError

TINY = "--levels=1 --steps_per_level=1 --hidden_channels=4 --batch_size=8"


def _call(folder, *arguments):
    fit.main(
        ["--dataset=photos", f"--flags={TINY}", "--minutes=0.001", "--rounds=2", "--max_images=24"]
        + [f"--out={folder}", *arguments]
    )


def test_every_variant_means_something_and_only_what_it_says():
    for base in fit_variants.BASES.values():
        reference = fit_flags.variant(fit_variants.VARIANTS[fit_variants.REFERENCE], base.flags)
        for name, flags in fit_variants.VARIANTS.items():
            found = fit_flags.variant(flags, base.flags)
            same = (found.model, found.training) == (reference.model, reference.training)
            assert same == (name == fit_variants.REFERENCE), name
            assert found.training.batch_size % 2 == 0


def test_the_last_of_a_flag_counts_and_texts_become_what_they_mean():
    found = fit_flags.variant(
        "--flip --steps_per_level=3 --nolearned_prior", "--steps_per_level=8", "--decay=0"
    )
    assert (found.model.steps_per_level, found.model.learned_prior) == (3, False)
    assert (found.training.flip, found.training.decay) == (True, 0.0)
    whole = found.of(steps=7, seed=5)
    assert (whole.training.steps, whole.training.seed, whole.model.seed) == (7, 5, 5)
    assert whole.training.validate_every == 0 and "--steps=7\n" in whole.flag_file


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("nothing", "`variants`: no 'nothing'; there are sigmoid, tanh"),
        ("mine=--width=3", "`variants`: mine: there is no flag --width"),
        ("mine=--levels=two", "mine: --levels is a number, got 'two'"),
        ("mine=--flip=maybe", "--flip is true or false"),
        ("mine=--scale=cubic", "`scale` must be one of"),
    ],
)
def test_mistakes_get_one_line(names, message):
    with pytest.raises(UserError, match=message) as error:
        fit_flags.chosen(names, TINY)
    assert "\n" not in str(error.value)


def test_names_and_flags_by_commas():
    found = fit_flags.chosen("tanh,mine=--scale=exp --flip,flip", TINY)
    assert list(found) == ["tanh", "mine", "flip"]
    assert (found["mine"].model.scale, found["mine"].training.flip) == ("exp", True)
    assert list(fit_flags.chosen("", TINY)) == list(fit_variants.VARIANTS)


def test_each_is_trained_for_its_share_of_the_time_judged_and_kept(tmp_path, monkeypatch):
    _call(tmp_path, "--variants=tanh,variational")
    first = (tmp_path / "0.001_minutes" / "tanh" / "seed0" / fit_table.RESULT).read_bytes()
    _call(tmp_path, "--variants=tanh", "--seeds=0,1")
    assert (tmp_path / "0.001_minutes" / "tanh" / "seed0" / fit_table.RESULT).read_bytes() == first
    seconds = json.loads((tmp_path / "seconds.json").read_text())
    with open(tmp_path / "fit.csv", newline="") as file:
        rows = {row["variant"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"tanh", "variational"}
    for name, row in rows.items():
        of_step = seconds[name]["seconds"]
        assert 0 < of_step["low"] <= of_step["median"] <= of_step["high"]
        assert int(row["steps"]) == max(1, round(0.06 / of_step["median"]))
        assert 3 < float(row["bits_per_dim"]) < 12 and 0 <= float(row["auroc"]) <= 1
        assert row["images"] == "24"
    assert rows["tanh"]["seeds"] == "2" and float(rows["tanh"]["spread"]) > 0
    assert (rows["variational"]["seeds"], rows["variational"]["spread"]) == ("1", "")
    page = (tmp_path / fit_table.PAGE).read_text()
    assert "| tanh | `--scale=tanh` |" in page and "(2 seeds, " in page
    one = tmp_path / "0.001_minutes" / "tanh" / "seed1"
    flags = (one / "run" / "flags.flags").read_text()
    assert "--seed=1\n" in flags and "--dataset=photos\n" in flags

    def refuse(*args, **kwargs):
        raise AssertionError("all of it is done")

    monkeypatch.setattr(training, "train", refuse)
    monkeypatch.setattr(fit_timing, "measured", refuse)
    _call(tmp_path, "--variants=variational,tanh")
    assert (tmp_path / fit_table.PAGE).read_text() == page
    _call(tmp_path, "--variants=tanh", "--plan")


def test_new_variants_are_timed_beside_the_reference(tmp_path, monkeypatch):
    asked = []

    def measured(variants, images, rounds, num_parts):
        asked.append(sorted(variants))
        slow = 2.0 if len(asked) > 1 else 1.0  # the machine has become slower
        return {name: fit_timing.Seconds(slow, slow, slow) for name in variants}

    monkeypatch.setattr(fit_timing, "measured", measured)
    file = tmp_path / "seconds.json"
    variants = fit_flags.chosen("tanh,flip,sigmoid", TINY)
    first = {name: variants[name] for name in ("tanh", "flip")}
    fit_timing.of_variants(file, first, None, 1, 1)
    found = fit_timing.of_variants(file, variants, None, 1, 1)
    assert asked == [["flip", "tanh"], ["sigmoid", "tanh"]]
    assert {name: of.median for name, of in found.items()} == {"tanh": 1, "flip": 1, "sigmoid": 1}


def test_a_result_of_other_flags_is_not_taken_for_one_of_these(tmp_path, monkeypatch):
    seconds = fit_timing.Seconds(1.0, 1.0, 1.0)
    monkeypatch.setattr(fit_timing, "of_variants", lambda _, variants, *__: dict.fromkeys(variants, seconds))
    monkeypatch.setattr(fit, "_trained", lambda *_: {"bits_per_dim": 4.0, "images": 24})
    monkeypatch.setattr(fit_table, "write", lambda *_: (tmp_path / fit_table.PAGE).write_text(""))
    _call(tmp_path, "--variants=mine=--flip")
    _call(tmp_path, "--variants=mine=--flip")
    for flags in ("--variants=mine=--decay=0.9", f"--flags={TINY} --clip_norm=1"):
        with pytest.raises(UserError, match="mine/seed0 was trained with other flags"):
            _call(tmp_path, "--variants=mine=--flip", flags)


def test_a_training_that_diverged_is_a_row_with_a_reason(tmp_path):
    _call(tmp_path, "--variants=wild=--learning_rate=1e9 --warmup=0 --scale=exp --steps_per_level=4")
    with open(tmp_path / "fit.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["bits_per_dim"] == "" and "diverged at step" in row["note"]
