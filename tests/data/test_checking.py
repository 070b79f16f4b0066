"""Whether what a name stands for is there, without reading it."""

import numpy as np
import pytest

from tfp_flows import data
from tfp_flows.data import known_sets


@pytest.mark.parametrize(
    "name", ["digits", "photos", "noise", "fashion_mnist_small@resize=32", "constant=3"]
)
def test_what_needs_no_files_is_there(name):
    data.check_there([name])


def test_it_refuses_what_load_refuses_in_the_same_words(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.npz").write_bytes(b"")
    for name in (
        f"folder:{tmp_path}/none",
        f"folder:{tmp_path}/empty",
        f"npz:{tmp_path}/none.npz",
        f"npz:{tmp_path}/x.npz",
        f"tfrecord:{tmp_path}/none*",
        f"{tmp_path}/empty",
        "digits@nonsense",
        "nonsense",
        "mnist",
    ):
        with pytest.raises(data.DataError) as checked:
            data.check_there(["digits", name], data_dir=tmp_path / "empty")
        with pytest.raises(data.DataError) as loaded:
            data.load(name, data_dir=tmp_path / "empty")
        assert str(checked.value) == str(loaded.value)


def test_a_stream_needs_files_and_says_of_each_what_is_wrong_with_it(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.heic").write_bytes(b"x")
    np.savez(tmp_path / "x.npz", **{n: np.zeros([1, 4, 4, 1], np.uint8) for n in ("images", "train")})
    for name in (f"folder:{tmp_path}/images", f"npz:{tmp_path}/x.npz", "digits"):
        data.check_stream(name)
        assert len(list(data.streams.stream(name, (8, 8, 1)))) > 0
    with pytest.raises(data.DataError):  # what is trained on must be fit as a whole
        data.check_there([f"npz:{tmp_path}/x.npz"])
    for name in (f"folder:{tmp_path}/none", f"npz:{tmp_path}/none.npz", "nonsense", f"{tmp_path}/images"):
        with pytest.raises(data.DataError):
            data.check_stream(name)


def test_a_stream_of_a_set_that_needs_no_files_has_its_splits_alone():
    for name, split in (("digits", "none"), ("noise", "train"), ("digits", "all")):
        with pytest.raises(data.DataError) as checked:
            data.check_stream(name, split=split)
        with pytest.raises(data.DataError) as streamed:
            list(data.streams.stream(name, (8, 8, 1), split=split))
        assert str(checked.value) == str(streamed.value)
    data.check_stream("digits", split="validation")


def test_with_leave_to_download_a_set_need_not_be_there(tmp_path):
    data.check_there(["mnist"], data_dir=tmp_path, download=True)


@pytest.mark.parametrize("name", ["noise", "constant", "mnist_small"])
def test_a_split_that_is_not_there_is_refused(name):
    data.check_there([name])
    with pytest.raises(data.DataError, match=f"{name}: has only a test split, no train split"):
        data.check_there([name], split="train")


def test_the_sets_that_tfds_knows_are_known_without_asking_it():
    tfds = pytest.importorskip("tensorflow_datasets")
    asked = set(tfds.list_builders())
    assert len(asked - known_sets.names()) < 0.02 * len(asked)
    assert {"mnist", "cifar10", "svhn_cropped", "celeb_a", "i_naturalist2017"} <= known_sets.names()
    assert "minst" not in known_sets.names()
