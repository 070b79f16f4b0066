"""Weights alone, as safetensors: what is written is read, what lies is refused."""

import json
import pathlib
import shutil
import sys

import numpy as np
import pytest
import safetensors.numpy

import tfp_flows
from tfp_flows import data
from tfp_flows import runs as runs_room
from tfp_flows.runs import weights_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.float64(0.5).reshape(()),
    "c": np.array([True, False]),
    "d": np.zeros([0, 3], np.int64),
}


def test_what_is_written_is_read_here_and_by_the_library_of_the_format(tmp_path):
    path = tmp_path / "w.safetensors"
    weights_file.write(path, ARRAYS, 12)
    found, step = weights_file.read(path)
    theirs = safetensors.numpy.load_file(path)
    assert step == 12 and list(found) == list(ARRAYS) and set(theirs) == set(ARRAYS)
    for name, array in ARRAYS.items():
        for other in (found[name], theirs[name]):
            assert other.dtype == array.dtype and other.shape == array.shape
            np.testing.assert_array_equal(other, array)


def _lying(header, change):
    header = json.loads(json.dumps(header))
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.pop("__metadata__"),
        lambda h: h["__metadata__"].update(format="another"),
        lambda h: h["__metadata__"].pop("step"),
        lambda h: h["a"].update(shape=[2**40, 2**40]),
        lambda h: h["a"].update(shape=[-2, -3]),
        lambda h: h["a"].update(shape="many"),
        lambda h: h["a"].update(data_offsets=[0, 10**12]),
        lambda h: h["b"].update(data_offsets=[0, 8]),
        lambda h: h["a"].update(dtype="PICKLE"),
        lambda h: h.update(a=None),
        lambda h: h.pop("d") and h.pop("c"),
    ],
)
def test_a_header_that_lies_is_refused_in_one_line(tmp_path, change):
    path = tmp_path / "w.safetensors"
    weights_file.write(path, ARRAYS, 12)
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    path.write_bytes(_lying(json.loads(content[8:end]), change) + content[end:])
    with pytest.raises(runs_room.RunError, match="w.safetensors cannot be read") as raised:
        weights_file.read(path)
    assert "\n" not in str(raised.value)


def test_each_shorter_file_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    weights_file.write(path, ARRAYS, 12)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(runs_room.RunError):
            weights_file.read(path)


@pytest.fixture(scope="module")
def pretrained(runs, tmp_path_factory):
    """Folder of a pretrained model made of each tiny run."""
    sys.path.insert(0, str(ROOT))
    try:
        from tools.pretrained import make
    finally:
        sys.path.pop(0)
    folder = tmp_path_factory.mktemp("models")
    for name in ("glow", "vae", "pixelcnn"):
        make(runs_room.Run(runs / name), folder / name)
    return folder


@pytest.mark.parametrize("name", ["glow", "vae", "pixelcnn"])
def test_a_pretrained_model_is_the_runs_own(pretrained, runs, name):
    assert not (pretrained / name / "checkpoints").exists()
    images = data.load("digits", "test").images[:5]
    own, theirs = tfp_flows.load(runs / name), tfp_flows.load(pretrained / name)
    np.testing.assert_array_equal(theirs.log_prob(images), own.log_prob(images))
    run = runs_room.Run(pretrained / name)
    assert runs_room.load_model(run)[1] == runs_room.load_model(runs_room.Run(runs / name))[1] == 3
    assert theirs.run_reference.load_model() is not None
    assert run.trained_on() is None  # it holds no digests of images


def test_its_card_says_what_it_is_and_no_path_of_a_machine(pretrained, runs):
    card = (pretrained / "glow" / "README.md").read_text(encoding="utf-8")
    assert "`digits`" in card and "step 3" in card and 'load("models/glow")' in card
    assert str(runs) not in card + (pretrained / "glow" / "run.json").read_text(encoding="utf-8")


def test_weights_of_another_model_are_refused(pretrained, tmp_path):
    shutil.copytree(pretrained / "glow", tmp_path / "glow")
    shutil.copy(pretrained / "vae" / "weights.safetensors", tmp_path / "glow")
    with pytest.raises(runs_room.RunError, match="weights of another model"):
        tfp_flows.load(tmp_path / "glow")


def test_training_does_not_go_on_with_it_and_says_what_to_do(pretrained):
    from tfp_flows import training

    run = runs_room.Run(pretrained / "glow")
    images = {split: data.load("digits", split).images for split in ("train", "validation")}
    before = sorted(path.name for path in run.folder.iterdir())
    with pytest.raises(runs_room.RunError, match="cannot go on.*`init_from="):
        training.train(run, run.spec(), "", images["train"], images["validation"], progress=False)
    assert [n for n in sorted(p.name for p in run.folder.iterdir()) if not n.startswith(".")] == before


def test_the_models_of_the_repository_are_small_and_load():
    folders = [path for path in sorted((ROOT / "models").iterdir()) if path.is_dir()]
    assert folders
    files = [file for folder in folders for file in folder.iterdir() if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 4_000_000
    for folder in folders:
        model = tfp_flows.load(folder)
        images = np.zeros([2, *model.event_shape], np.uint8)
        assert np.isfinite(model.log_prob(images)).all()
