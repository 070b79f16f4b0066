"""Settings for every test: TensorFlow as commands start it, which tests there are, what many share."""

import fcntl
import functools
import gc
import os
import pathlib
import platform
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# One worker of pytest-xdist for each core: more threads wait for each other, which costs as much as work.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import numpy as np
import pytest

TESTS = pathlib.Path(__file__).resolve().parent
# Files that take minutes start first: else, at the end, one process works and the others have nothing to do.
LONGEST = (
    "benchmarks/test_benchmarks.py",
    "training/test_conditions.py",
    "training/test_strategies.py",
    "serving/test_allowed_operations.py",
    "analysis/test_report.py",
    "serving/test_stablehlo.py",
    "models/test_glow.py",
    "faults/test_training_faults.py",
    "analysis/test_detector_comparison.py",
    "faults/test_score_faults.py",
    "bijectors/test_bijector_contract.py",
    "pixelcnn/test_pixelcnn.py",
    "documents/test_tutorials.py",
    "serving/test_export.py",
    "models/test_families.py",
    "cases/test_kind_06.py",
    "faults/test_folder_faults.py",
    "analysis/test_second_order.py",
    "documents/test_vectors.py",
    "detectors/test_contract.py",
)
SHARED_IMAGES = pathlib.Path(__file__).resolve().parents[2] / "shared" / "tfds"

# Settings of a tiny model of each family.
SMALL = {
    "glow": dict(levels=1, steps_per_level=2, hidden_channels=4),
    "vae": dict(architecture="small", latent_size=3, likelihood="logistic"),
    "pixelcnn": dict(num_resnet=1, num_hierarchies=2, num_filters=4),
}


@functools.cache
def _quick():
    """The files of `quick.txt`."""
    return frozenset((TESTS / "quick.txt").read_text(encoding="utf-8").split())


def pytest_ignore_collect(collection_path, config):
    """With `-m quick` or `-m beam`, files that have no such test are not even imported."""
    if collection_path.suffix != ".py" or collection_path.name == "conftest.py":
        return None
    if config.option.markexpr == "quick" and _name(collection_path) not in _quick():
        return True
    if config.option.markexpr == "beam" and "mark.beam" not in collection_path.read_text(encoding="utf-8"):
        return True
    return None


def pytest_collection_finish():
    """The garbage collector leaves what was imported alone, and comes less often: 10 to 17 % of the work."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 50)


def pytest_collection_modifyitems(items):
    """Marks the quick ones; the longest files come first, which changes no order within a file."""
    for item in items:
        if _name(item.path) in _quick():
            item.add_marker(pytest.mark.quick)
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(_name(item.path), len(rank)))


def _name(path):
    return path.relative_to(TESTS).as_posix() if path.is_relative_to(TESTS) else path.name


@pytest.fixture(scope="session")
def train_run():
    """Function of (folder, family) that trains a tiny run for a moment, and calibrates a detector.

    They are FOLDER/FAMILY and FOLDER/FAMILY_detector; images are scikit-learn's digits, 8x8x1.
    """
    from tfp_flows import data, detectors, training
    from tfp_flows.models import registry
    from tfp_flows.runs import Run, RunSpec, load_model

    images = {split: data.load("digits", split).images for split in ("train", "validation", "calibration")}

    def make(folder, name):
        config = registry.family(name).config_class(**SMALL[name])
        values = training.TrainingConfig(steps=3, batch_size=32, validate_every=3)
        spec = RunSpec(name, config, vars(values), "digits", (8, 8, 1))
        run = Run(folder / name)
        training.train(run, spec, "", images["train"], images["validation"], progress=False)
        model, _ = load_model(run)
        detector = detectors.Typicality(model).fit(images["validation"]).calibrate(images["calibration"])
        detector.save(folder / f"{name}_detector")

    return make


@pytest.fixture(scope="session")
def once(tmp_path_factory, worker_id):
    """Function of (name, write) that gives the folder of that name, which all workers share.

    `write(folder)` fills it where no test has yet. Nothing may be changed there.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "once"
    shared.mkdir(exist_ok=True)

    def get(name, write):
        folder, done = shared / name, shared / f"{name}.done"
        with open(shared / f"{name}.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                write(folder)
                done.touch()
        return folder

    return get


@pytest.fixture(scope="session")
def make_run(once, train_run):
    """As `train_run`, but each family is trained once for all tests: the caller's are copies."""

    def make(folder, name):
        shutil.copytree(once(name, lambda new: train_run(new, name)), folder, dirs_exist_ok=True)

    return make


@pytest.fixture(scope="session")
def make_export(once, train_run):
    """Function of (folder, family), after `make_run`: a copy of the export of both is FOLDER/exported."""

    def write(new, name):
        from tfp_flows import serving
        from tfp_flows.runs import Run

        made = once(name, lambda run: train_run(run, name))
        serving.export(Run(made / name), new / "exported", made / f"{name}_detector")

    def make(folder, name):
        exported = once(f"{name}_exported", lambda new: write(new, name))
        shutil.copytree(exported, folder, dirs_exist_ok=True)

    return make


@pytest.fixture(scope="session")
def damaged_folder():
    """Function of (path, images [N, H, W, 1]) that writes PNGs: the fourth is none, the sixth too small."""
    from PIL import Image

    def make(path, digits, count=9):
        path.mkdir()
        for i in range(count):
            Image.fromarray(digits[i, ..., 0]).save(path / f"{i:02d}.png")
        (path / "03.png").write_bytes(b"no picture")
        Image.fromarray(np.zeros([4, 4], np.uint8)).save(path / "05.png")
        return path

    return make


@pytest.fixture
def shared_images():
    """Folder of real data sets in TFDS layout, beside the checkout; skips where there is none."""
    if not SHARED_IMAGES.is_dir():
        pytest.skip("no ../shared/tfds beside the checkout")
    return str(SHARED_IMAGES)


@pytest.fixture(scope="session")
def runs(tmp_path_factory, make_run):
    """Folder of a run of each family on digits, trained for a moment, and a calibrated detector of each."""
    folder = tmp_path_factory.mktemp("runs")
    for name in SMALL:
        make_run(folder, name)
    return folder
