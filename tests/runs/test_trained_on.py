"""What a run says that it was trained on, and what has changed since."""

import dataclasses
import warnings

import numpy as np
import pytest

from tfp_flows import data, detectors, runs
from tfp_flows.runs import TrainedOn
from tfp_flows.runs.trained_on import hashes_of


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (50, 4, 3, 2), np.uint8)


def test_hashes_are_of_each_image_alone(images):
    hashes = hashes_of(images)
    assert hashes.dtype == np.uint64 and len(set(hashes.tolist())) == 50
    order = np.random.default_rng(1).permutation(50)
    np.testing.assert_array_equal(hashes_of(images[order]), hashes[order])
    np.testing.assert_array_equal(
        hashes_of(images[:, ::-1][:, ::-1]), hashes
    )  # a view that is not contiguous
    changed = images.copy()
    changed[7, 3, 2, 1] ^= 1
    np.testing.assert_array_equal(np.flatnonzero(hashes_of(changed) != hashes), [7])


def test_every_change_is_told(images):
    before = TrainedOn.of(images)
    assert before.difference(TrainedOn.of(images.copy())) == ""
    fewer, more = TrainedOn.of(images[5:]), TrainedOn.of(np.concatenate([images, images[:2] // 2]))
    assert before.difference(fewer) == "0 of 45 are new, and 5 of the 50 that were trained on are gone"
    assert before.difference(more) == "2 of 52 are new, and 0 of the 50 that were trained on are gone"
    turned = TrainedOn.of(images[::-1])
    assert before.difference(turned) == "50 were trained on and 50 are there, in another order"
    assert before.difference(turned, in_order=False) == ""
    twice = TrainedOn.of(np.concatenate([images, images[:1]]))
    assert before.difference(twice) == "50 were trained on and 51 are there, in another order"


def test_conditions_are_part_of_it(images):
    conditions = np.arange(50.0)
    before = TrainedOn.of(images, conditions)
    assert before.difference(TrainedOn.of(images, conditions)) == ""
    assert (
        before.difference(TrainedOn.of(images, conditions + 1)) == "their conditions are not what they were"
    )
    assert before.difference(TrainedOn.of(images), in_order=False) == ""
    assert before.holds(images[:3]).all() and not before.holds(images[:3] + 1).any()


def test_type_and_shape_are_part_of_it(images):
    other = images.view(np.int8)
    assert TrainedOn.of(images).digest != TrainedOn.of(other).digest
    assert TrainedOn.of(images).digest != TrainedOn.of(images.reshape(50, 3, 4, 2)).digest


def test_who_goes_on_with_other_images_was_trained_on_all(images, tmp_path):
    first, second = TrainedOn.of(images[:30]), TrainedOn.of(images[20:])
    both = first.then(second)
    assert both.holds(images).all() and both.digest == second.digest
    assert both.difference(second) == "" and len(both.earlier) == 20
    third = both.then(TrainedOn.of(images[:5]))
    assert third.holds(images).all() and len(third.images) == 5 and len(third.earlier) == 45
    third.write(tmp_path / "file.npz")
    read = TrainedOn.read(tmp_path / "file.npz", third.digest)
    for name in ("digest", "images", "earlier"):
        np.testing.assert_array_equal(getattr(read, name), getattr(third, name))
    assert (tmp_path / "file.npz").stat().st_size < 8 * 50 + 1000


def test_files_that_are_gone_or_damaged(images, tmp_path):
    file, record = tmp_path / "file.npz", TrainedOn.of(images)
    assert TrainedOn.read(file, "") is None
    gone = TrainedOn.read(file, record.digest)
    assert gone.difference(record) == "" and not gone.holds(images).any()
    assert gone.difference(TrainedOn.of(images[:3])) == "they are not what they were"
    gone.then(record).write(file)  # what is still known is written again
    assert TrainedOn.read(file, record.digest).holds(images).all()
    sound = file.read_bytes()
    for damaged in (b"", b"no archive", sound[:100], sound[:-30]):
        file.write_bytes(damaged)
        with pytest.raises(runs.RunError, match="file.npz is damaged"):
            TrainedOn.read(file, record.digest)
    np.savez(file, images=np.zeros([3]), earlier=np.zeros([0], np.uint64))
    with pytest.raises(runs.RunError, match="holds no hashes"):
        TrainedOn.read(file, record.digest)
    np.savez(file, images=np.zeros([3], np.uint64))
    with pytest.raises(runs.RunError, match="file.npz is damaged"):
        TrainedOn.read(file, record.digest)


def spec(**changes):
    values = {"steps": 3, "seed": 0, "ema_decay": 0.9}
    made = runs.RunSpec(runs.spec.registry.NO_FAMILY, {"class": "X"}, values, "digits", (8, 8, 1))
    return dataclasses.replace(made, **changes)


def test_a_spec_keeps_its_division(tmp_path):
    run = runs.Run(tmp_path / "run")
    run.create(spec(), None)
    assert run.spec().division == data.DIVISION == 2 and run.trained_on() is None
    values = run.spec().to_json()
    assert runs.RunSpec.from_json(values) == spec()
    del values["division"], values["trained_on"]
    assert runs.RunSpec.from_json(values) == spec(division=1)
    with pytest.raises(runs.RunError, match="division: 2 -> 1"):
        run.check_same(spec(division=1), {})
    run.check_same(spec(trained_on="0" * 64), {})
    for key, bad in (("division", 7), ("division", "2"), ("trained_on", None)):
        with pytest.raises(ValueError, match="division"):
            runs.RunSpec.from_json({**values, key: bad})


def test_runs_of_two_divisions_of_one_set_share_no_detector(tmp_path):
    made = []
    for name, changes in {
        "new": {},
        "old": {"division": 1},
        "other": {"division": 1, "dataset": "photos"},
    }.items():
        made.append(runs.Run(tmp_path / name))
        made[-1].create(spec(**changes), None)
    new, old, other = made
    with pytest.raises(
        detectors.DetectorError, match=r"holds out other images of digits \(division 2\).*old"
    ):
        detectors.check_divisions([new, old])
    detectors.check_divisions([new, other])
    detectors.check_divisions([old, old])


def test_a_set_that_has_changed_is_warned_of(tmp_path, images):
    run = runs.Run(tmp_path / "run")
    name = f"npz:{tmp_path}/a.npz"
    np.savez(tmp_path / "a.npz", train=images, test=images[:1])
    trained = TrainedOn.of(data.load(name, "train").images)
    run.create(spec(dataset=name, image_shape=(4, 3, 2), trained_on=trained.digest), None)
    trained.write(run.trained_on_file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runs.warn_of_changed_images(run, run.spec())
    np.savez(tmp_path / "a.npz", train=images[1:], test=images[:1])
    with pytest.warns(
        data.DataWarning, match=rf"a.npz: the training images are not those that {run.folder}"
    ):
        runs.warn_of_changed_images(run, run.spec())
