"""Training: resumable to the bit, safe against divergence, and judged by the same numbers."""

import csv
import dataclasses
import json
import os
import re
import shutil
import signal
import time

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

import tfp_flows
from tests import forked
from tfp_flows import data, evaluation, runs, testing, training
from tfp_flows.pages import pictures
from tfp_flows.training import beginning

FLAGS = [
    "--dataset=digits",
    "--levels=1",
    "--steps_per_level=1",
    "--hidden_channels=8",
    "--batch_size=16",
    "--log_every=3",
    "--checkpoint_every=5",
    "--validate_every=10",
    "--noprogress",
]


def _train(folder, *arguments, check=True):
    result = forked.command("tfp_flows.train", f"--run={folder}", *FLAGS, *arguments)
    assert not check or result.returncode == 0, result.stderr
    return result


def _metrics(folder):
    """The rows of metrics.csv without the one column that is a time."""
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return [
            {key: value for key, value in row.items() if key != "images_per_second"}
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of 24 steps without interruption, evaluated."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    result = _train(folder, "--steps=24", "--evaluate_on=digits@contrast=0.5,noise")
    return folder, result


def test_killed_and_resumed_run_is_identical(finished, tmp_path):
    folder = tmp_path / "killed"
    process = forked.start("tfp_flows.train", f"--run={folder}", *FLAGS, "--steps=24")
    deadline = time.monotonic() + 120
    while not (folder / "checkpoints" / "ckpt-5.index").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    reached = len(_metrics(folder))
    _train(folder, "--steps=24")
    assert reached < len(_metrics(folder)), "the run had ended before it was killed"
    assert _metrics(folder) == _metrics(finished[0])
    ours, _ = runs.load_model(runs.Run(folder))
    theirs, _ = runs.load_model(runs.Run(finished[0]))
    for a, b in zip(ours.variables, theirs.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_interrupted_run_saves_and_resumes(finished, tmp_path):
    folder = tmp_path / "interrupted"
    process = forked.start("tfp_flows.train", f"--run={folder}", *FLAGS, "--steps=100000")
    deadline = time.monotonic() + 120
    while not (folder / "checkpoints" / "ckpt-5.index").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    result = process.wait()
    assert result.returncode == 130
    step = int(re.search(r"Interrupted at step ([\d,]+)", result.stdout)[1].replace(",", ""))
    assert runs.load_model(runs.Run(folder))[1] == step
    assert int(_metrics(folder)[-1]["step"]) <= step


def test_run_folder_rebuilds_the_model_and_its_flags_repeat_the_run(finished, tmp_path):
    folder, _ = finished
    lines = (folder / "flags.flags").read_text().splitlines()
    assert "--dataset=digits" in lines and "--steps=24" in lines and "--seed=0" in lines
    again = [f"--flagfile={folder / 'flags.flags'}", f"--run={tmp_path / 'again'}", "--evaluate_on="]
    result = forked.command("tfp_flows.train", *again)
    assert result.returncode == 0, result.stderr
    assert _metrics(tmp_path / "again") == _metrics(folder)


def test_evaluation_files_and_numbers(finished):
    folder, result = finished
    with open(folder / "evaluation" / "bits_per_dim.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["dataset"], row["split"]) for row in rows] == [
        ("digits", "test"),
        ("digits", "train"),
        ("digits@contrast=0.5", "test"),
        ("noise", "test"),
    ]
    model, _ = runs.load_model(runs.Run(folder))
    images = data.load("digits", "test").images
    log_prob = model.log_prob(images).numpy().astype(np.float64)
    bits = -log_prob / 64 / np.log(2)
    np.testing.assert_allclose(float(rows[0]["bits_per_dim"]), bits.mean(), rtol=1e-5)
    error = bits.std(ddof=1) / np.sqrt(len(bits))
    np.testing.assert_allclose(float(rows[0]["bits_per_dim_se"]), error, rtol=1e-3)
    assert rows[0]["auroc"] == ""
    assert "digits@contrast=0.5" in result.stdout and "AUROC" in result.stdout
    for name in ("likelihoods.png", "samples.png", "summary.png"):
        assert (folder / "evaluation" / name).read_bytes().startswith(b"\x89PNG")
    with np.load(folder / "evaluation" / "log_probs.npz") as scores:
        np.testing.assert_allclose(scores["digits (test)"], log_prob, rtol=1e-5)
        inside, outside = -scores["digits (test)"], -scores["noise (test)"]
    pairs = np.sign(outside[:, None] - inside[None, :])  # a tie counts half
    expected = np.mean((pairs + 1) / 2)
    np.testing.assert_allclose(float(rows[3]["auroc"]), expected, rtol=1e-9)


def test_evaluate_command_gives_the_numbers_of_train(finished):
    folder, _ = finished
    before = (folder / "evaluation" / "bits_per_dim.csv").read_text()
    arguments = [f"--run={folder}", "--noprogress", "--batch_size=100", "--num_samples=0"]
    result = forked.command("tfp_flows.evaluate", *arguments, "--datasets=digits@contrast=0.5,noise")
    assert result.returncode == 0, result.stderr
    said = r"in grey levels: test images below 0.001; noise [^;]+; checkerboard [^;]+\.\n"
    assert re.search(said, result.stdout), "no samples were drawn"
    after = (folder / "evaluation" / "bits_per_dim.csv").read_text()
    for old, new in zip(before.splitlines()[1:], after.splitlines()[1:], strict=True):
        old, new = old.split(","), new.split(",")
        assert old[:3] == new[:3]
        np.testing.assert_allclose(
            [float(v or 0) for v in new[3:]], [float(v or 0) for v in old[3:]], rtol=2e-4
        )


def test_a_run_that_stops_early_grows_by_steps_alone_and_says_that_it_would_help(tmp_path):
    tiny = ("--dataset=digits", "--levels=1", "--steps_per_level=1", "--hidden_channels=4", "--noprogress")
    command = ("tfp_flows.train", f"--run={tmp_path / 'run'}", *tiny, "--batch_size=8", "--evaluate_on=")
    first = forked.command(*command, "--steps=4", "--early_stopping=2", "--validate_every=2")
    assert first.returncode == 0, first.stderr
    assert "still improving: the same command with --steps=8 goes on" in first.stdout
    grown = forked.command(*command, "--steps=6")
    assert grown.returncode == 0 and "Trained to step 6" in grown.stdout, grown.stderr
    own = json.loads((tmp_path / "run" / "run.json").read_text())["training"]
    assert (own["steps"], own["early_stopping"], own["validate_every"]) == (6, 2, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps=24", "--batch_size=8"], "made with other settings .training.batch_size: 16 -> 8"),
        (["--steps=24", "--coupling=additive"], "model.coupling: 'affine' -> 'additive'"),
        (["--steps=12"], "--steps=24, which may grow but not shrink to 12"),
    ],
)
def test_resuming_with_other_settings_is_refused(finished, arguments, message):
    result = _train(finished[0], *arguments, check=False)
    assert result.returncode == 1
    assert re.search(message, result.stderr), result.stderr
    assert "Traceback" not in result.stderr and result.stderr.strip().count("\n") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps=0"], "--steps must be a positive integer, got 0"),
        (["--steps=9", "--learning_rate=inf"], "--learning_rate must be positive and finite, got inf"),
        (["--steps=9", f"--seed={2**70}"], "--seed must be below 2**63"),
        (["--steps=9", "--run=README.md/run"], "README.md/run: Not a directory"),
        (["--steps=9", "--dataset=mnits"], "mnits"),
        (["--steps=9", "--evaluate_on=photos"], "photos"),
        (["--steps=9", "--levels=4"], "halve evenly 4 times"),
        (["--steps=9", "--warmup=0.8"], "more than the whole training"),
        (["--steps=9", "extra"], "unexpected argument 'extra'"),
    ],
)
def test_mistakes_get_one_line(tmp_path, arguments, message):
    result = _train(tmp_path / "run", *arguments, check=False)
    assert result.returncode != 0
    assert message in result.stderr and "Traceback" not in result.stderr
    assert result.stderr.strip().count("\n") == 0, result.stderr
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())


def _spec(**settings):
    config = training.TrainingConfig(**{"steps": 20, "batch_size": 16, **settings})
    model = tfp_flows.GlowConfig(levels=1, steps_per_level=1, hidden_channels=8)
    return runs.RunSpec("glow", model, dataclasses.asdict(config), "digits", (8, 8, 1))


def _images(split):
    return data.load("digits", split).images


def test_divergence_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    run = runs.Run(tmp_path / "run")
    spec = _spec(learning_rate=1e9, warmup=0.0, checkpoint_every=1)
    with pytest.raises(training.TrainingDiverged, match="diverged at step .* is intact"):
        training.train(run, spec, "", _images("train"), _images("validation"), progress=False)
    model, _ = runs.load_model(run)
    assert np.isfinite(model.log_prob(_images("test")[:4])).all()


def test_early_stopping_keeps_the_best(tmp_path):
    run = runs.Run(tmp_path / "run")
    # The averages never move from the initial weights, so no validation is better than the first.
    spec = _spec(steps=500, validate_every=2, early_stopping=3, learning_rate=1e-12)
    noise = np.random.default_rng(0).integers(0, 256, [32, 8, 8, 1], dtype=np.uint8)
    step, interrupted, improving = training.train(run, spec, "", _images("train"), noise, progress=False)
    assert step < 500 and not interrupted and not improving
    assert runs.load_model(run)[1] < step
    assert tf.train.latest_checkpoint(run.checkpoints).endswith(f"ckpt-{step}")
    again = training.train(run, spec, "", _images("train"), noise, progress=False)
    assert again.step == step


def test_schedule():
    config = training.TrainingConfig(steps=100, learning_rate=2.0, warmup=0.1, decay=0.5)
    rates = [float(training.Schedule(config)(step)) for step in range(101)]
    np.testing.assert_allclose(rates[0], 0.2, rtol=1e-6)
    np.testing.assert_allclose(rates[9:51], 2.0, rtol=1e-6)
    np.testing.assert_allclose(rates[75], 1.0, rtol=1e-5)
    np.testing.assert_allclose(rates[100], 0.0, atol=1e-6)


def test_weight_average_by_hand():
    variable = tf.Variable([0.0])
    average = runs.WeightAverage([variable], 0.9)
    expected = 0.0
    for step in range(30):
        variable.assign([float(step)])
        average.update(tf.constant(step))
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    with average:
        np.testing.assert_allclose(variable, [expected], rtol=1e-5)
    np.testing.assert_array_equal(variable, [29.0])


def test_training_lowers_the_loss_and_uses_fresh_noise(tmp_path):
    run = runs.Run(tmp_path / "run")
    spec = _spec(steps=60, log_every=1, learning_rate=5e-3)
    training.train(run, spec, "", _images("train"), _images("validation"), progress=False)
    losses = [float(row["bits_per_dim"]) for row in _metrics(tmp_path / "run") if row["bits_per_dim"]]
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.3


def test_training_leaves_tensorflow_as_it_was(tmp_path):
    training.train(runs.Run(tmp_path / "run"), _spec(steps=1), "", _images("train"), _images("test"), False)
    tf.random.normal([1])  # raises where operations must be deterministic
    next(iter(tf.data.Dataset.range(3).shuffle(3)))


def test_auroc_against_brute_force():
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(0.0, 1.0, 60), rng.normal(0.7, 1.0, 40)
    expected = np.mean(outside[:, None] > inside[None, :])
    value, low, high = evaluation.auroc(inside, outside)
    np.testing.assert_allclose(value, expected)
    assert low < value < high and high - low < 0.3


def test_damaged_runs_are_named(finished, tmp_path):
    with pytest.raises(runs.RunError, match="no run in"):
        runs.Run(tmp_path / "nothing").spec()
    run = runs.Run(tmp_path / "damaged")
    run.create(_spec(), "")
    with pytest.raises(runs.RunError, match="has no checkpoint yet"):
        runs.load_model(run)
    run.spec_file.write_text('{"format": 1}')
    with pytest.raises(runs.RunError, match="run.json is damaged"):
        run.spec()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    with pytest.raises(runs.RunError, match="is no run of this program"):
        runs.Run(tmp_path / "other").create(_spec(), "")


def _copy(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "copy")
    run = runs.Run(tmp_path / "copy")
    return run, dataclasses.replace(run.spec(), training=run.spec().training | {"steps": 26})


def _resume(run, spec):
    training.train(run, spec, "", _images("train"), _images("validation"), progress=False)


def test_a_damaged_index_of_checkpoints_does_not_restart_the_run(finished, tmp_path):
    run, spec = _copy(finished, tmp_path)
    (run.checkpoints / "checkpoint").write_text("garbage{")
    with pytest.warns(runs.RunWarning, match="names the newest checkpoint, is damaged.*ckpt-24 is taken"):
        _resume(run, spec)
    assert runs.load_model(run)[1] == 26


def test_a_checkpoint_that_was_cut_short_is_named(finished, tmp_path):
    run, spec = _copy(finished, tmp_path)
    for path in run.checkpoints.glob("ckpt-24.data*"):
        os.truncate(path, 200)
    for read in (lambda: runs.load_model(run), lambda: _resume(run, spec)):
        with pytest.warns(runs.RunWarning, match="ckpt-24 cannot be read: .*ckpt-20 is taken"):
            read()
    assert runs.load_model(run)[1] == 26
    for path in run.checkpoints.glob("ckpt-*.data*"):
        os.truncate(path, 200)
    for read in (lambda: runs.load_model(run), lambda: _resume(run, spec)):
        with pytest.raises(runs.RunError, match="ckpt-26 cannot be read: .*; nor can any before it"):
            read()


def test_damaged_metrics_and_settings_are_named(finished, tmp_path):
    run, spec = _copy(finished, tmp_path)
    run.metrics_file.write_text("a,b\n1,2\n")
    with pytest.raises(runs.RunError, match="metrics.csv is damaged"):
        _resume(run, spec)
    for change in ({"dataset": 3}, {"training": {}}, {"model": None}):
        run.spec_file.write_text(json.dumps({"format": 1, **spec.to_json(), **change}))
        with pytest.raises(runs.RunError, match="run.json is damaged: '(dataset|training|model)'"):
            run.spec()


def test_a_dollar_in_a_name_starts_no_formula(tmp_path):
    values = {"a$_$b (test)": np.random.default_rng(0).normal(size=50)}
    pictures.likelihood_histograms(tmp_path / "picture.png", values, "c$_$d")
    assert (tmp_path / "picture.png").stat().st_size > 1000
    figure = Figure()
    axes = figure.add_subplot(title="$a")
    axes.set_yscale("symlog")
    axes.plot([1, 1e6])
    pictures.save(figure, tmp_path / "symlog.png")
    assert not axes.title.get_parse_math()
    labels = [label for label in axes.get_yticklabels() if "mathdefault" in label.get_text()]
    assert labels and all(label.get_parse_math() for label in labels)


def test_a_data_set_named_twice_is_scored_once(finished):
    spec = runs.Run(finished[0]).spec()
    sets = evaluation.load_sets(spec, ["noise", "digits", "noise"])
    assert [s.name for s in sets] == ["digits", "digits", "noise"]


def test_model_of_a_run_keeps_the_contract(finished):
    model, step = runs.load_model(runs.Run(finished[0]))
    assert step == 24
    testing.check_density_model(model, _images("test")[:5])


def test_every_config_field_is_a_documented_flag():
    for config_class in (training.TrainingConfig, tfp_flows.GlowConfig):
        for field in dataclasses.fields(config_class):
            assert field.metadata["help"].endswith((".", "?")), field.name


def test_a_reversible_run_gives_the_metrics_of_an_ordinary_one(finished, tmp_path):
    folder = tmp_path / "reversible"
    _train(folder, "--steps=24", "--reversible")
    assert runs.Run(folder).spec().model.reversible
    model, _ = runs.load_model(runs.Run(folder))
    assert not model.flow.bijector.reversible  # which evaluation and export have no use for
    for ours, theirs in zip(_metrics(folder), _metrics(finished[0]), strict=True):
        for key, value in theirs.items():
            assert ours[key] == value or float(ours[key]) == pytest.approx(float(value), rel=1e-4)


def test_a_run_made_before_there_was_a_reversible_mode_still_loads(finished, tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(finished[0], folder)
    values = json.loads((folder / "run.json").read_text())
    assert values["model"].pop("reversible") is False
    (folder / "run.json").write_text(json.dumps(values))
    run, new = runs.Run(folder), runs.Run(finished[0]).spec()
    run.check_same(new, beginning.defaults())
    assert not run.spec().model.reversible
    runs.load_model(run)
    reversible = dataclasses.replace(new, model=dataclasses.replace(new.model, reversible=True))
    with pytest.raises(runs.RunError, match="model.reversible: False -> True"):
        run.check_same(reversible, beginning.defaults())
    runs.load_twin(run, reversible)  # but its weights may go on without kept activations
