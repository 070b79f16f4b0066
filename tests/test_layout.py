"""The house keeps its order: who imports whom, what the wheel holds, what the README promises."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("tfp_flows", "vae", "pixelcnn", "analysis")
# Room (a module or package of this project, "tfp_flows." left out) -> the rooms that it may import.
ALLOWED = {
    "bijectors": set(),
    "networks": {"precision"},
    "precision": set(),
    "strategies": set(),
    "priors": {"noise"},
    "parts": {"bijectors", "noise", "priors"},
    "data": set(),
    "quantization": set(),
    "noise": set(),
    "hessian": set(),
    "discretized_logistic": set(),
    "image_distribution": {"quantization"},
    "dequantized": {"image_distribution", "noise", "parts", "quantization"},
    "family": set(),
    "glow_family": {"bijectors", "dequantized", "family", "glow", "noise", "quantization"},
    "plots": set(),
    "testing": set(),
    "cli": set(),
    "_start": set(),
    "glow": {"bijectors", "networks", "priors"},
    "families": {"glow_family"},
    "stablehlo": set(),
    "stablehlo_runner": set(),
    "serving": {"detectors", "noise", "quantization"},
    "model_card": set(),
    "scoring": {"checkpoint"},
    "exported": set(),
    "beam": {"data", "exported", "scoring"},
    "beam_job": {"_start", "beam", "data", "exported", "scoring"},
    "checkpoint": {"families"},
    "evaluation": {"checkpoint", "data", "families", "parts", "plots", "quantization"},
    "metrics": {"checkpoint"},
    "mutation": {"noise", "quantization"},
    "objective": {"mutation", "noise", "quantization"},
    "training_config": {"precision"},
    "train_step": {"checkpoint", "noise", "objective", "parts", "precision"},
    "training": {
        *("metrics", "checkpoint", "data", "evaluation", "families", "quantization", "strategies"),
        *("train_step", "training_config"),
    },
    "analysis": {"tfp_flows"},  # for its quiet start
    "vae": {"tfp_flows", "vae.importance", "vae.model"},
    "vae.importance": {"noise"},
    "vae.posterior": {"noise"},
    "vae.networks": {"precision"},
    "vae.likelihoods": {"discretized_logistic", "noise"},
    "vae.model": {
        *("image_distribution", "noise", "vae.importance", "vae.likelihoods", "vae.networks"),
        "vae.posterior",
    },
    "vae.family": {"family", "vae.likelihoods", "vae.model", "vae.networks"},
    "pixelcnn": {"tfp_flows", "pixelcnn.autoencoder", "pixelcnn.model", "pixelcnn.tfp_weights"},
    "pixelcnn.layers": {"precision"},
    "pixelcnn.network": {"noise", "pixelcnn.layers"},
    "pixelcnn.mixture": {"discretized_logistic"},
    "pixelcnn.sampling_weights": set(),
    "pixelcnn.sampling_state": {"pixelcnn.sampling_weights"},
    "pixelcnn.vertical_row": {"pixelcnn.layers", "pixelcnn.network"},
    "pixelcnn.horizontal_row": {
        *("pixelcnn.layers", "pixelcnn.mixture", "pixelcnn.network", "pixelcnn.sampling_state"),
    },
    "pixelcnn.sampler": {
        *("noise", "pixelcnn.horizontal_row", "pixelcnn.mixture", "pixelcnn.sampling_state"),
        *("pixelcnn.sampling_weights", "pixelcnn.vertical_row"),
    },
    "pixelcnn.model": {"image_distribution", "pixelcnn.mixture", "pixelcnn.network", "pixelcnn.sampler"},
    "pixelcnn.tfp_weights": {"pixelcnn.model"},
    "pixelcnn.autoencoder": {"pixelcnn.model"},
    "pixelcnn.family": {"family", "pixelcnn.model"},
    "detectors": {"checkpoint", "data", "hessian", "noise", "parts", "quantization"},
    "analysis.errors": set(),
    "analysis.separation": set(),
    "analysis.published": set(),
    "analysis.audit": {"data"},
    "analysis.detector_study": {
        *("analysis.errors", "analysis.separation", "checkpoint", "data", "detectors"),
    },
    "analysis.detector_figures": {"plots"},
    "analysis.detector_chapters": {"analysis.detector_figures", "analysis.published", "detectors"},
    "analysis.cache": set(),
    "analysis.page": {"checkpoint", "plots"},
    "analysis.levels": {"bijectors"},
    "analysis.moments": {"analysis.errors", "data", "quantization"},
    "analysis.decomposition": {"analysis.errors", "analysis.levels", "bijectors", "data", "quantization"},
    "analysis.second_order": {"analysis.errors", "analysis.levels", "bijectors", "hessian"},
    "analysis.comparison": {"analysis.errors", "analysis.second_order"},
    "analysis.sweeps": {"data", "evaluation", "quantization"},
    "analysis.figures": {"plots", "quantization"},
    "analysis.study": {
        *("analysis." + name for name in ("cache", "comparison", "decomposition", "errors", "moments")),
        *("analysis.second_order", "analysis.sweeps", "checkpoint", "data", "evaluation"),
    },
    "analysis.sign_table": {"analysis.comparison"},
    "analysis.chapters": {"analysis.comparison", "analysis.figures", "analysis.sweeps", "quantization"},
}
MAINS = (
    *(
        "tfp_flows",
        "train",
        "evaluate",
        "detect",
        "export",
        "score",
        "analysis.report",
        "analysis.detectors",
    ),
    *("pixelcnn.train", "vae.train"),
)
PRIVATE_TFP = "tensorflow_probability.python"


def _modules():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts).removesuffix(".__init__"), path


def _imports(path):
    """The full names that a module imports, `from a import b` as a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = dict(_modules())


def _room(name):
    return ".".join(name.split(".")[:2]).removeprefix("tfp_flows.")


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_downward(name):
    room = _room(name)
    imported = {i for i in _imports(MODULES[name]) if i.split(".")[0] in PACKAGES}
    ours = {_room(i) for i in imported}
    if room not in MAINS:
        assert room in ALLOWED, f"{room} has no place in the order of imports yet"
        assert ours - {room} <= ALLOWED[room]
    imports = set(_imports(MODULES[name]))
    if name != "tfp_flows.bijectors._one_pass":
        assert not any(i.startswith(PRIVATE_TFP) for i in imports), "TFP's private modules"
    assert not any(i.split(".")[0] == "keras" or ".keras" in i for i in imports), "Keras 3"
    if room not in ("plots", "analysis.figures", "analysis.detector_figures"):
        assert not any(i.startswith("matplotlib") for i in imports), "matplotlib"
    if room not in ("cli", *MAINS):
        assert not any(i.startswith("absl.flags") or i == "absl.app" for i in imports), "flags"


def test_wheel_holds_only_the_toolkit(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "-q", "-w", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)], capture_output=True, text=True, check=True
    ).stdout.splitlines()[1:]
    tops = {line.split("/")[0] for line in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tfp_flows"}, tops


def test_readme_states_two_commands_and_true_files():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\s*(python3 -m venv .*)$", readme, re.MULTILINE)
    assert len(commands) == 3
    assert commands[0].endswith("-m tfp_flows.train --flagfile=flagfiles/quickstart.flags")
    assert commands[1].endswith('-e ".[test]" && .venv/bin/python -m pytest')
    assert commands[2].endswith('-e ".[beam,test]" && .venv-beam/bin/python -m pytest -m beam')
    for link in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (ROOT / link).exists(), f"README links to {link}"
    for flagfile in re.findall(r"flagfiles/\w+\.flags", readme):
        assert (ROOT / flagfile).exists(), flagfile


def test_readme_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names = {}
    exec(code, names)
    assert names["log_prob"].shape == [4]


FLAG_FILES = """
import sys
from absl import flags
from absl.testing import flagsaver
from tfp_flows import cli, train, training

train.define_flags()
for path in sys.argv[1:]:
    with flagsaver.flagsaver():
        flags.FLAGS(["train", f"--flagfile={path}"])
        cli.config_from_flags(training.TrainingConfig)
        config = train.families.family(flags.FLAGS.family).config_class
        cli.config_from_flags(config)
        print(path, flags.FLAGS.run)
"""


def test_flag_files_are_accepted():
    """Every flag is known and every value makes sense; each names the run after itself."""
    files = sorted(f"flagfiles/{path.name}" for path in (ROOT / "flagfiles").glob("*.flags"))
    command = [sys.executable, "-c", FLAG_FILES, *files]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for line in result.stdout.splitlines():
        path, run = line.split()
        assert run.removeprefix("runs/").startswith(pathlib.Path(path).stem), line
    assert len(result.stdout.splitlines()) == len(files)


def test_no_path_of_a_machine_is_committed():
    pattern = re.compile(r"(/work/|/home/\w|/root/|/tmp/\w)")
    for path in [*MODULES.values(), ROOT / "README.md", ROOT / "setup.py"]:
        assert not pattern.search(path.read_text(encoding="utf-8")), path


# What would run code that a file names or holds; `families` imports two packages of the checkout by path.
EXECUTES = re.compile(
    r"\b(pickle|dill|joblib|marshal|shelve|eval|exec|__import__|import_module|exec_module|extractall|"
    r"unpack_archive|load_model_weights|py_function|numpy_function|allow_pickle=True)\b"
)
EXECUTES_ALLOWED = {"tfp_flows.families": {"exec_module", "import_module"}}


def _code(path):
    """The names, attributes and keyword arguments of a module, without its strings and comments."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name | ast.alias):
            yield node.id if isinstance(node, ast.Name) else node.name
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.keyword):
            yield f"{node.arg}={ast.unparse(node.value)}"


@pytest.mark.parametrize("name", MODULES)
def test_nothing_that_is_loaded_is_executed(name):
    found = {match[0] for text in _code(MODULES[name]) for match in EXECUTES.finditer(text)}
    assert found <= EXECUTES_ALLOWED.get(name, set())
