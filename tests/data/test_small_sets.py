"""The paper's own sets that come with the package: what they hold, and whose they are."""

import collections
import pathlib
import sys

import numpy as np
import pytest

from tfp_flows import data
from tfp_flows.data import DataError, small_sets, streams

FILES = pathlib.Path(small_sets.__file__).parent / "small"
SIZES = {"train": 6000, "validation": 1000, "calibration": 500, "test": 1000}
MOST_BYTES = 4_000_000


def _every():
    for name, splits in small_sets.SMALL_SPLITS.items():
        yield from (data.load(name, split) for split in splits)


def test_images_labels_and_keys_are_there_and_no_image_is_there_twice():
    seen = set()
    for found in _every():
        assert found.image_shape == (28, 28, 1) and found.images.dtype == np.uint8
        assert len(found) == (SIZES[found.split] if found.name == "fashion_mnist_small" else 1000)
        assert len(set(found.keys)) == len(found) and len(found.label_names) == 10
        counts = collections.Counter(found.labels.tolist())
        assert set(counts) == set(range(10)) and min(counts.values()) > len(found) / 20
        assert {key.partition("_")[0] for key in found.keys} == {
            "test" if found.split == "test" else "train"
        }
        contents = {image.tobytes() for image in found.images}
        assert len(contents) == len(found) and not contents & seen
        seen |= contents


def test_the_splits_of_fashion_mnist_look_alike_and_mnist_does_not():
    means = {(s.name, s.split): float(np.mean(s.images)) for s in _every()}
    own = [mean for (name, _), mean in means.items() if name == "fashion_mnist_small"]
    assert max(own) - min(own) < 5  # the mean of an image has a standard deviation of 37 grey levels
    assert means["mnist_small", "test"] < min(own) - 30


def test_all_are_the_splits_one_after_the_other():
    whole = data.load("fashion_mnist_small", "all")
    assert len(whole) == sum(SIZES.values()) and len(set(whole.keys[:7500])) == 7500
    np.testing.assert_array_equal(whole.images[-1000:], data.load("fashion_mnist_small", "test").images)
    np.testing.assert_array_equal(whole.labels[-1000:], data.load("fashion_mnist_small", "test").labels)
    assert len(data.load("mnist_small", "all")) == 1000


def test_mnist_is_there_to_compare_with_alone():
    for split in ("train", "validation", "calibration"):
        with pytest.raises(DataError, match=f"mnist_small: has only a test split, no {split} split"):
            data.load("mnist_small", split)
    assert data.evaluation_split("mnist_small") == "test"


def test_a_stream_gives_the_same_images():
    found = list(streams.stream("mnist_small@resize=14", (14, 14, 1)))
    whole = data.load("mnist_small@resize=14", "test")
    assert tuple(item.key for item in found) == whole.keys
    np.testing.assert_array_equal(np.stack([item.image for item in found]), whole.images)


def test_a_misspelled_name_is_guessed(tmp_path):
    with pytest.raises(DataError, match="did you mean 'fashion_mnist_small'"):
        data.load("fashion_mnist_smal", data_dir=tmp_path)


def test_packing_is_reversible_and_keeps_what_is_known(rng):
    images = rng.integers(0, 256, [100, 28, 28, 1], dtype=np.uint8)
    about = {"keys": ["a"] * 100, "labels": list(range(100))}
    content = small_sets.pack(images, about)
    found, known = small_sets.unpack(content)
    np.testing.assert_array_equal(found, images)
    assert known == about and small_sets.pack(images, about) == content


def test_a_damaged_sheet_is_refused_in_one_line(monkeypatch, tmp_path):
    good = (FILES / "mnist_small-test.png").read_bytes()
    for content in (b"", b"no picture", good[:1000], good[:-5000]):
        (tmp_path / "small").mkdir(exist_ok=True)
        (tmp_path / "small" / "mnist_small-test.png").write_bytes(content)
        monkeypatch.setattr(small_sets.importlib.resources, "files", lambda _: tmp_path)
        small_sets.clear_cache()
        with pytest.raises(DataError, match="mnist_small-test.png: cannot be read.*install") as raised:
            small_sets.small_set("mnist_small", "test")
        assert "\n" not in str(raised.value)
    monkeypatch.undo()
    small_sets.clear_cache()
    assert len(small_sets.small_set("mnist_small", "test")) == 1000


def test_they_are_small_and_say_whose_they_are():
    files = sorted(FILES.iterdir())
    assert sum(file.stat().st_size for file in files) < MOST_BYTES
    sheets = [file for file in files if file.suffix == ".png"]
    assert len(sheets) == 5
    for file in sheets:
        _, about = small_sets.unpack(file.read_bytes())
        fashion = file.name.startswith("fashion")
        assert ("Zalando" if fashion else "LeCun, Corinna Cortes") in about["licence"] + about["origin"]
        assert ("MIT" if fashion else "CC BY-SA 3.0") in about["licence"]
    readme = (FILES / "README.md").read_text(encoding="utf-8")
    for text in ("Zalando", "MIT", "LeCun", "Cortes", "CC BY-SA 3.0", "LICENSE-mnist.txt"):
        assert text in readme
    assert "Zalando SE" in (FILES / "LICENSE-fashion_mnist.txt").read_text(encoding="utf-8")
    assert "Share\nAlike 3.0" in (FILES / "LICENSE-mnist.txt").read_text(encoding="utf-8")


def test_they_are_those_that_are_drawn_from_the_whole_sets(shared_images, monkeypatch):
    """The tool makes the same sheets again: the same pixels, labels, keys; and they are the originals."""
    monkeypatch.syspath_prepend(str(FILES.parents[2]))
    from tools import small_sets as tool

    assert "tools" in sys.modules
    for name, content in tool.sheets(shared_images):
        made, about = small_sets.unpack(content)
        kept, known = small_sets.unpack((FILES / name).read_bytes())
        np.testing.assert_array_equal(made, kept)
        assert about == known
    whole = data.load("mnist", "test", data_dir=shared_images)
    place = {key: i for i, key in enumerate(whole.keys)}
    digits = data.load("mnist_small", "test")
    chosen = [place[key] for key in digits.keys]
    np.testing.assert_array_equal(digits.images, whole.images[chosen])
    np.testing.assert_array_equal(digits.labels, whole.labels[chosen])
