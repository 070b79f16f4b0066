"""`--help` answers at once, with a screen, and is no failure."""

import re
import shlex
import subprocess
import sys
import time

import pytest

from tests.forked import ROOT

ANALYSES = [
    f"analysis.{n}" for n in ("report", "detectors", "inverse", "heat_maps", "default_detector", "reproduce")
]
COMMANDS = ("train", "evaluate", "detect", "export", "score", "monitor")


def _python(*arguments, **environment):
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={"COLUMNS": "80", **environment}
    )


@pytest.mark.parametrize(
    "module",
    [f"tfp_flows.{name}" for name in COMMANDS] + ["vae.train", "pixelcnn.train", *ANALYSES],
)
def test_it_fits_a_screen_and_imports_no_tensorflow(module):
    found = _python("-X", "importtime", "-m", module, "--help")
    assert found.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in found.stderr.splitlines()}
    assert not imported & {"tensorflow", "tensorflow_probability", "matplotlib", "sklearn", "scipy"}
    lines = found.stdout.splitlines()
    assert 15 < len(lines) <= 48 and max(map(len, lines)) <= 80
    assert any(
        flag in found.stdout for flag in ("--run=TEXT", "--model=TEXT", "--runs=A,B,...", "--run_of=")
    )
    assert "absl" not in found.stdout


def test_all_flags_are_described_by_helpfull():
    short, full = (
        _python("-m", "tfp_flows.train", flag, COLUMNS="100").stdout for flag in ("--help", "--helpfull")
    )
    assert "--clip_norm" in short and "--clip_norm=NUMBER" not in short
    assert (
        "--clip_norm=NUMBER      Largest global norm of the gradient; 0 for no limit. (default: 0.0)" in full
    )
    assert full.count("--seed=INTEGER") == 1  # three families and the training share it
    assert "--optimizer=adam|adamax|rmsprop" in full and "<adam|" not in full


@pytest.mark.parametrize("columns", [70, 80, 100])
def test_commands_that_take_more_than_a_line_can_still_be_typed(columns):
    """Whatever the width, the shell reads the same words."""
    text = _python("-m", "analysis.detectors", "--help", COLUMNS=str(columns)).stdout
    assert max(map(len, text.splitlines())) <= columns
    command = text.split("\n\n")[1]
    assert command.startswith("    python -m analysis.detectors ") and command.count("\n") > 2
    words = shlex.split(command.replace("\\\n", ""))  # as a shell joins lines
    assert words[:3] == ["python", "-m", "analysis.detectors"] and "\n" not in words
    assert {word.partition("=")[0] for word in words[3:]} >= {"--runs", "--in", "--out", "--ensemble"}


def test_of_a_flag_help_has_the_first_sentence_and_helpfull_all():
    short, full = (
        " ".join(_python("-m", "tfp_flows.train", flag).stdout.split()) for flag in ("--help", "--helpfull")
    )
    assert "constant or noise. --steps" in short
    assert "constant or noise. Operations on any of them, left to right: @resize=32" in full


def test_it_takes_a_fifth_of_importing_tensorflow():
    """In turns, as the machine may be busy with something else."""
    helps, imports = [], []
    for _ in range(2):
        for code, times in (
            (("-m", "tfp_flows.train", "--help"), helps),
            (("-c", "import tensorflow"), imports),
        ):
            start = time.monotonic()
            _python(*code)
            times.append(time.monotonic() - start)
    assert min(helps) < min(imports) / 5


def test_help_after_two_dashes_is_none():
    found = _python("-m", "tfp_flows.export", "--", "--help")
    assert found.returncode == 1 and "--out=TEXT" not in found.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_no_flag_is_left_out(name):
    """Each is described by `--helpfull`, once, whatever groups there are."""
    module = {"train": "training/command_flags"}.get(name, name)
    text = (ROOT / "tfp_flows" / f"{module}.py").read_text(encoding="utf-8")
    defined = re.findall(r"DEFINE_\w+\(\s*\"(\w+)\"", text)
    full = _python("-m", f"tfp_flows.{name}", "--helpfull").stdout
    described = re.findall(r"^  --(?:\[no\])?(\w+)", full, re.MULTILINE)
    assert defined and set(defined) <= set(described)
    assert len(described) == len(set(described))


def test_the_fit_benchmark_answers_as_quickly():
    found = _python("-X", "importtime", "-m", "benchmarks.fit", "--help")
    assert found.returncode == 0 and "--variants" in found.stdout
    assert "| tensorflow" not in found.stderr.replace("  ", "")
