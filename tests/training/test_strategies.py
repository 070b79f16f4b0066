"""Training on several devices and hosts takes the same steps as training on one."""

import csv
import functools
import json
import signal
import socket
import sys
import time

import numpy as np
import pytest

from tests import forked
from tfp_flows import data, runs
from tfp_flows.training import strategies

FLAGS = [
    *("--dataset=digits", "--levels=1", "--steps_per_level=1", "--hidden_channels=8", "--batch_size=16"),
    *("--validate_every=100", "--log_every=1", "--checkpoint_every=4", "--clip_norm=50", "--noprogress"),
]
FAMILIES = {
    "glow": dict(levels=1, steps_per_level=3, hidden_channels=8),  # steps enough to be traced once
    "vae": dict(architecture="small", latent_size=3, num_importance_samples=3),
    "pixelcnn": dict(num_resnet=1, num_hierarchies=2, num_filters=4, dropout=0.2),
}
TRAINING = dict(
    steps=6,
    batch_size=16,
    validate_every=4,
    log_every=1,
    clip_norm=50.0,
    ema_decay=0.5,
    mutation_rate=0.1,
    outlier_dataset="photos",
    outlier_kinds="shuffled+mutated",  # a smooth one comes to a threshold of the PixelCNN at step 6
)
# Trains each family on one logical CPU; there, in two parts side by side; and on two CPUs for two GPUs.
WHERE = """
import json, pathlib, sys
import tensorflow as tf
from tfp_flows import data, runs, training
from tfp_flows.training import strategies
from tfp_flows.models import registry

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
folder, settings, values = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
two = strategies.make_strategy("mirrored")
assert two.num_replicas_in_sync == 2
images, held_out = data.load("digits", "train").images, data.load("digits", "validation").images
outliers = data.load("photos@resize=8@luminance", "train").images
for name, config in settings.items():
    model = registry.family(name).config_class(**config)
    trained = vars(training.TrainingConfig(**values))
    spec = runs.RunSpec(name, model, trained, "digits", images.shape[1:])
    for where, strategy, parts in (("one", None, 1), ("parts", None, 2), ("two", two, 1)):
        run = runs.Run(folder / where / name)
        training.train(run, spec, "", images, held_out, False, outliers, strategy, parts)
    if name == "glow":  # and given labels, which its outliers have not
        classes = data.Classes.of(data.load("digits", "train"))
        own, others = (classes.indices(data.load("digits", split)) for split in ("train", "validation"))
        without = {**trained, "outlier_dataset": "", "outlier_kinds": ""}
        spec = runs.RunSpec(name, model, without, "digits", images.shape[1:], classes=classes)
        for where, strategy, parts in (("one", None, 1), ("parts", None, 2), ("two", two, 1)):
            given = dict(conditions=own, validation_conditions=others)
            run = runs.Run(folder / where / "by_class")
            training.train(run, spec, "", images, held_out, False, None, strategy, parts, **given)
"""


def _rows(folder):
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _column(folder, name):
    return [float(row[name]) for row in _rows(folder) if row[name]]


def _check_same(one, other, rtol=2e-5):
    for column in ("bits_per_dim", "gradient_norm", "validation_bits_per_dim"):
        first, second = _column(one, column), _column(other, column)
        np.testing.assert_allclose(second, first, rtol=10 * rtol if column == "gradient_norm" else rtol)
    ours, _ = runs.load_model(runs.Run(one))
    theirs, _ = runs.load_model(runs.Run(other))
    for a, b in zip(ours.variables, theirs.variables, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4)


def _run(*command):
    result = forked.command(*command, timeout=900)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of the runs one/FAMILY, parts/FAMILY and two/FAMILY."""
    folder = tmp_path_factory.mktemp("trained")
    _run("tests.python_code", WHERE, folder, json.dumps(FAMILIES), json.dumps(TRAINING))
    return folder


@pytest.mark.parametrize("family", [*FAMILIES, "by_class"])
@pytest.mark.parametrize("where", ["parts", "two"])
def test_parts_and_devices_take_the_steps_of_one(trained, where, family):
    """Noise, dropout, mutations and outliers included; and labels."""
    _check_same(trained / "one" / family, trained / where / family)


def _start_host(index, ports, command):
    """Starts one of two hosts of a training, with loopback addresses."""
    addresses = [f"127.0.0.1:{port}" for port in ports]
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    before = functools.partial(_as_typed, command)
    return forked.start(*command, env={"TF_CONFIG": json.dumps(config)}, before=before)


def _as_typed(command):
    """The command line as Python keeps it: a host that starts again runs it."""
    sys.orig_argv = [sys.executable, "-m", *command]


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait_for(path, *processes):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline and all(p.poll() is None for p in processes)
        time.sleep(0.002)


def test_a_host_is_killed_and_comes_back(tmp_path):
    """Two hosts take the steps of one, also where one of them is killed and started again."""
    steps = 120
    alone, folder = tmp_path / "alone", tmp_path / "hosts"
    command = ["tfp_flows.train", *FLAGS, f"--steps={steps}"]
    _run(*command, f"--run={alone}")
    command += [f"--run={folder}", "--distribute=multi_worker"]
    ports = _free_ports(2)
    chief, other = (_start_host(index, ports, command) for index in range(2))
    _wait_for(folder / "checkpoints" / "ckpt-8.index", chief, other)
    other.send_signal(signal.SIGKILL)
    other.wait()
    other = _start_host(1, ports, command)
    outputs = [process.wait(timeout=200) for process in (chief, other)]
    assert outputs[0].returncode == outputs[1].returncode == 0, outputs
    said = outputs[0].stdout
    assert "another host is gone" in said and "Starting again from the last" in said
    assert f"Trained to step {steps}" in said and outputs[1].stdout == ""
    assert [int(row["step"]) for row in _rows(folder)] == list(range(1, steps + 1))
    first, second = (_column(each, "bits_per_dim") for each in (alone, folder))
    np.testing.assert_allclose(second[:30], first[:30], rtol=1e-4)
    np.testing.assert_allclose(second, first, rtol=1e-2)
    assert runs.load_model(runs.Run(folder))[1] == steps


@pytest.mark.parametrize(
    "tf_config, message",
    [
        (None, "needs the environment variable TF_CONFIG"),
        ("{", "does not say which"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "does not say which"),
        ('{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}', "of type chief or worker"),
    ],
)
def test_hosts_that_are_not_named(monkeypatch, tf_config, message):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if tf_config:
        monkeypatch.setenv("TF_CONFIG", tf_config)
    with pytest.raises(strategies.DistributionError, match=message):
        strategies.make_strategy("multi_worker")


def test_a_batch_that_cannot_be_shared():
    with pytest.raises(data.DataError, match="`batch_size=15` cannot be shared by 2 devices in equal parts"):
        data.training_batches(np.zeros([30, 4, 4, 1], np.uint8), 15, seed=0, num_parts=2)


def test_parts_of_batches_make_the_batches():
    images = np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1)
    whole = [batch.numpy() for batch in data.training_batches(images, 12, seed=3, start_step=1, num_steps=4)]
    hosts = [
        list(data.training_batches(images, 12, 3, 1, 4, parts=range(begin, end), num_parts=3))
        for begin, end in ((0, 1), (1, 3))
    ]
    assert [len(parts) for parts in hosts] == [4, 8]
    for step, batch in enumerate(whole):
        parts = [hosts[0][step], *hosts[1][2 * step : 2 * step + 2]]
        np.testing.assert_array_equal(np.concatenate(parts), batch)
