"""What importing the package imports: what TFP does, and nothing more."""

import json
import subprocess
import sys

import pytest

from tests.forked import ROOT

# Keras 2 is what TFP needs: without the word, TensorFlow imports Keras 3 as well, with scikit-learn and
# Matplotlib, and nothing could be seen.
CODE = """
import json, sys

def others():
    return sorted({m.split(".")[0] for m in sys.modules} - set(sys.stdlib_module_names))

before = set(others())
import tfp_flows
found = {"": sorted(set(others()) - before)}

from tfp_flows import _start
_start.when_needed()
import tensorflow as tf
found["tensorflow"] = [m for m in ("keras", "sklearn", "matplotlib") if m in sys.modules]
import tensorflow_probability as tfp
tfp.bijectors.Shift(1.0)
tfp.distributions.Normal(0.0, 1.0).sample()
from PIL import Image  # TensorFlow's own, or Keras's: of an image nothing can be said without

known = {m for m in sys.modules}
for room in sys.argv[1:]:
    here = getattr(tfp_flows, room)
    [getattr(here, name) for name in dir(here) if not name.startswith("__")]
    new = {m for m in sys.modules} - known
    names = {m.split(".")[0] for m in new} - set(sys.stdlib_module_names)
    found[room] = sorted(names - {"tfp_flows", "lazy_loader", "PIL"})
    known |= new
print(json.dumps(found))
"""
ROOMS = ("numerics", "networks", "bijectors", "distributions", "models", "runs", "testing")
SLOW = {"sklearn", "matplotlib", "scipy", "tensorflow_datasets", "pandas", "pyarrow", "jax"}


@pytest.fixture(scope="module")
def imported():
    """(top-level packages by what brought them in, what was written to stderr)."""
    command = [sys.executable, "-c", CODE, *ROOMS, "data", "training", "scoring"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(found.stdout.splitlines()[-1]), found.stderr


def test_the_package_alone_imports_next_to_nothing(imported):
    assert set(imported[0][""]) <= {"tfp_flows", "lazy_loader"}


def test_a_command_starts_tensorflow_without_keras_3_and_quietly(imported):
    assert imported[0]["tensorflow"] == []
    assert "oneDNN" not in imported[1] and "cuda" not in imported[1].lower()


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_flow_is_made_of_imports_what_tfp_does(imported, room):
    assert imported[0][room] == []


@pytest.mark.parametrize("room", ["data", "training", "scoring"])
def test_images_are_read_and_flows_trained_without_what_is_slow(imported, room):
    assert not SLOW & set(imported[0][room])
