"""The house keeps its order: who imports whom, what the wheel holds, what the README promises."""

import ast
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

import tfp_flows

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("tfp_flows", "vae", "pixelcnn", "analysis")
# From the bottom up: a module imports from its own room and from the layers below it, never from the room
# beside it or from above. A room is a package or module of tfp_flows; vae, pixelcnn, analysis are rooms too.
LAYERS = (
    {"_start", "checks"},
    {"numerics", "commands"},
    {"networks", "data", "testing"},
    {"bijectors"},
    {"distributions"},
    {"models"},
    {"vae", "pixelcnn"},
    {"runs"},
    {"pages"},
    {"evaluation", "detectors"},
    {"training", "serving"},
    {"scoring", "monitoring", "estimators"},
    {"reporting"},
    {"tables"},
    {"tfp_flows", "__main__", "train", "evaluate", "detect", "export", "score", "monitor"},
    {"vae.train", "pixelcnn.train", "analysis"},
)
PRIVATE_TFP = "tensorflow_probability.python"
DRAWS = (
    "tfp_flows.pages.areas",
    "tfp_flows.pages.drawing",
    "tfp_flows.pages.histograms",
    "tfp_flows.pages.lines",
    "tfp_flows.pages.peaks",
    "tfp_flows.pages.pictures",
    "tfp_flows.pages.summary",
    "tfp_flows.monitoring.figures",
    "tfp_flows.pages.faces",
    "analysis.figures",
    "analysis.detector_figures",
    "analysis.foreign_sets",  # letters of its fonts
    "analysis.vector_figure",
)
KNOWS_FLAGS = (
    "tfp_flows.commands.flags",
    "tfp_flows.commands.help",
    "tfp_flows.commands.running",
    "tfp_flows.commands.within",
    "tfp_flows.training.command_flags",
    "analysis.report",
    "analysis.detectors",
    "analysis.reproduce",
)


def _modules():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts).removesuffix(".__init__"), path


def _bindings(path):
    """(local name, full name, whether for types alone) of each import; `from a import b` is a.b in full."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    for_types = {
        n for block in blocks if ast.unparse(block.test) == "TYPE_CHECKING" for n in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name, alias.name, node in for_types
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}", node in for_types


def _imports(path, types=True):
    """The full names that a module imports; with `types` false, without those for types alone."""
    return {full for _, full, for_types in _bindings(path) if types or not for_types}


def _used(path, types=True):
    """The full names that a module imports, or reaches through what it imports: `data.load` as well.

    With `types` false, without those that are imported for types alone.
    """
    names = {local: full for local, full, for_types in _bindings(path) if types or not for_types}
    yield from names.values()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            local, _, rest = ast.unparse(node).partition(".")
            if local in names:
                yield f"{names[local]}.{rest}"


def _stubs():
    """(name that a room offers, name under which it is defined), from the rooms' stubs."""
    for path in (ROOT / "tfp_flows").rglob("__init__.pyi"):
        room = ".".join(path.relative_to(ROOT).parent.parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom):
                module = f"{room}.{node.module}" if node.module else room
                yield from ((f"{room}.{alias.asname}", f"{module}.{alias.name}") for alias in node.names)


MODULES = dict(_modules())
STUBS = dict(_stubs())
LAYER = {room: number for number, layer in enumerate(LAYERS) for room in layer}


def _module(name):
    """The module of this project that a full name is, or is defined in; None for a stranger's."""
    known = name
    while known and known not in MODULES:
        if known in STUBS:
            return _module(STUBS[known] + name.removeprefix(known))
        known = known.rpartition(".")[0]
    return known or None


def _imported(name, types=True):
    """The modules of this project that a module imports, or uses by way of the rooms that offer them."""
    found = {_module(used) for used in _used(MODULES[name], types)}
    return sorted(found - {None, name})


def _room(name):
    first, *rest = name.split(".")
    if first != "tfp_flows":
        return name if name in LAYER else first
    return rest[0] if rest else first


def _layer(name):
    room = _room(name)
    assert room in LAYER, f"{name}: the room {room} has no place in the order of imports yet"
    return LAYER[room]


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_downward(name):
    upward = [i for i in _imported(name) if _room(i) != _room(name) and _layer(i) >= _layer(name)]
    # The package itself is on top, and beneath all: whoever imports a part of it has imported it.
    assert not [i for i in upward if i != "tfp_flows"], f"{name} imports upward"


def test_names_are_followed_to_the_modules_that_define_them():
    assert _module("tfp_flows.GlowConfig") == "tfp_flows.models.glow.config"
    assert _module("tfp_flows.data.load") == "tfp_flows.data.loading"
    assert _module("tfp_flows.data") == "tfp_flows.data"
    assert _module("tfp_flows.numerics.noise.part") == "tfp_flows.numerics.noise"
    assert _module("numpy.ndarray") is None
    assert "tfp_flows.data.loading" in _imported("tfp_flows.train")  # where it says data.load


def test_no_circle_among_modules():
    """Nor among those of one room, none of which uses the names that its `__init__` offers."""
    open_names, done = [], set()

    def visit(name):
        assert name not in open_names, (
            f"circle: {' -> '.join([*open_names[open_names.index(name) :], name])}"
        )
        if name in done:
            return
        open_names.append(name)
        for imported in _imported(name, types=False):
            if imported != "tfp_flows":
                visit(imported)
        open_names.pop()
        done.add(name)

    for name in MODULES:
        visit(name)


@pytest.mark.parametrize("name", MODULES)
def test_what_few_modules_may_import(name):
    imports = _imports(MODULES[name])
    assert not any(i.startswith(PRIVATE_TFP) for i in imports), "TFP's private modules"
    assert not any(i.split(".")[0] == "keras" or ".keras" in i for i in imports), "Keras 3"
    if name not in DRAWS:
        drawing = {i for i in _imports(MODULES[name], types=False) if i.startswith("matplotlib")}
        assert not drawing, "matplotlib"
    if name not in KNOWS_FLAGS and _layer(name) < LAYER["train"]:
        assert not any(i.startswith("absl.flags") or i == "absl.app" for i in imports), "flags"


MOST_LINES = 400
MOST_FILES = 9  # at the root of tfp_flows: what it is, and its commands


@pytest.mark.parametrize("name", MODULES)
def test_no_module_is_long(name):
    num_lines = MODULES[name].read_text(encoding="utf-8").count("\n")
    assert num_lines <= MOST_LINES


def test_the_root_holds_the_commands_alone():
    assert len(list((ROOT / "tfp_flows").glob("*.py"))) <= MOST_FILES


def test_wheel_holds_only_the_toolkit(tmp_path):
    checkout = tmp_path / "checkout"  # a fresh one: a wheel also holds what is left of earlier builds
    for package in PACKAGES:
        shutil.copytree(ROOT / package, checkout / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, checkout)
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "-q", "-w", str(tmp_path)]
    subprocess.run(command, cwd=checkout, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (info,) = {name.split("/")[0] for name in names} - {"tfp_flows"}
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    assert info == f"tfp_flows-{tfp_flows.__version__}.dist-info"
    assert entry_points.split() == ["[console_scripts]", "tfp-flows", "=", "tfp_flows.__main__:main"]
    held = {name for name in names if name.startswith("tfp_flows/")}
    files = [*(ROOT / "tfp_flows").rglob("*.py"), *(ROOT / "tfp_flows").rglob("*.pyi")]
    others = {"tfp_flows/py.typed", "tfp_flows/checks/allowed_operations.txt"}
    others |= {f"tfp_flows/pages/templates/{name}.j2" for name in ("report.html", "page.css")}
    others |= {str(path.relative_to(ROOT)) for path in (ROOT / "tfp_flows/data/small").iterdir()}
    assert held == {str(path.relative_to(ROOT)) for path in files} | others


def test_readme_states_two_commands_and_true_files():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\s*(python3 -m venv .*)$", readme, re.MULTILINE)
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    commands += re.findall(r"^\s*(python3 -m venv .*)$", contributing, re.MULTILINE)
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
from tfp_flows import commands, training
from tfp_flows.training import command_flags

command_flags.define_flags()
for path in sys.argv[1:]:
    with flagsaver.flagsaver():
        flags.FLAGS(["train", f"--flagfile={path}"])
        commands.config_from_flags(training.TrainingConfig)
        config = command_flags.config_classes()[flags.FLAGS.family]
        commands.config_from_flags(config)
        print(path, flags.FLAGS.run)
"""


def test_flag_files_are_accepted():
    """Every flag is known and every value makes sense; each names the run after itself."""
    files = sorted(f"flagfiles/{path.name}" for path in (ROOT / "flagfiles").glob("*.flags"))
    files = [file for file in files if not file.startswith("flagfiles/reproduce_")]  # of analysis.reproduce
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
EXECUTES_ALLOWED = {
    "tfp_flows._start": {"exec_module"},  # of TensorFlow, found as any import finds it
    "tfp_flows.models.registry": {"exec_module", "import_module"},
    "tfp_flows.data.batches": {"numpy_function"},  # in a pipeline of this process, which no file holds
}


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


SPECIAL = ("__init__", "__call__", "__len__", "__enter__", "__iter__")  # methods that a user's code calls


def _public(body, of_class=None):
    """(name, function, whether it takes self) of the public functions and methods in a body."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public(node.body, node.name)
        elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name in SPECIAL):
            static = any(ast.unparse(decorator) == "staticmethod" for decorator in node.decorator_list)
            name = f"{of_class}.{node.name}" if of_class else node.name
            yield name, node, of_class is not None and not static


def _unannotated(function, takes_self):
    """The arguments of a function that have no type, and "return" where its result has none."""
    given = function.args
    arguments = [*given.posonlyargs, *given.args][takes_self:] + given.kwonlyargs
    arguments += [argument for argument in (given.vararg, given.kwarg) if argument]
    missing = [argument.arg for argument in arguments if argument.annotation is None]
    return missing + ["return"] * (function.returns is None and function.name != "__init__")


@pytest.mark.parametrize("name", MODULES)
def test_what_is_public_is_annotated(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    found = {name: _unannotated(function, takes_self) for name, function, takes_self in _public(tree.body)}
    assert not {name: missing for name, missing in found.items() if missing}
