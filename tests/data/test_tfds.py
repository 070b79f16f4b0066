"""Data sets of TFDS, and names that are none."""

from tests.data.images import error_of
from tfp_flows import data


def test_mnist_from_tfds(shared_images):
    test = data.load("mnist", data_dir=shared_images)
    assert test.images.shape == (10_000, 28, 28, 1)
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4] and test.keys[:2] == ("test_0", "test_1")
    name = "mnist@resize=32@rgb"
    few = data.load(name, data_dir=shared_images, image_shape=(32, 32, 3), max_images=3)
    assert few.name == name and len(few) == 3
    message = error_of("mnist", data_dir=shared_images, image_shape=(32, 32, 3))
    assert message.endswith("load 'mnist@resize=32@rgb'")


def test_tfds_ids_become_keys_and_splits_are_disjoint(shared_images):
    parts = [data.load("svhn_cropped", split, data_dir=shared_images) for split in data.SPLITS]
    keys = [key for part in parts for key in part.keys]
    assert len(set(keys)) == len(keys) == 4434 + 1952
    assert parts[-1].keys[0] == "test_00000" and parts[-1].image_shape == (32, 32, 3)


def test_missing_tfds_set_names_those_that_are_there(tmp_path):
    (tmp_path / "mnist" / "9.9.9").mkdir(parents=True)
    (tmp_path / "mnist" / "9.9.9" / "dataset_info.json").write_text("{}")
    message = error_of("cifar100", data_dir=tmp_path)
    assert f"'cifar100' is not in {tmp_path} (there: mnist)" in message
    assert "`download`" in message
    message = error_of("cifar100", data_dir=tmp_path / "no")
    assert f"is not in {tmp_path / 'no'} (there: none)" in message


def test_unknown_name_lists_the_choices(tmp_path):
    message = error_of("minst@rgb", data_dir=tmp_path)
    assert "unknown data set 'minst' (did you mean 'mnist'?)" in message
    for choice in ("photos", "digits", "constant", "noise", "folder:PATH", "npz:PATH", "TFDS"):
        assert choice in message
    assert "did you mean 'photos'" in error_of("photo", data_dir=tmp_path)
    assert "unknown data set 'folder'" in error_of("folder", data_dir=tmp_path)
    assert "unknown data set ''" in error_of("", data_dir=tmp_path)
