"""`tfp-flows NAME` is `python -m tfp_flows.NAME`; without a name it lists them, at once."""

import ast
import pathlib
import subprocess
import sys

import pytest

import tfp_flows
from tfp_flows import __main__ as by_name

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = "import sys; from tfp_flows.__main__ import main; sys.exit(main())"  # the console script
# Every command in a process of its own, forked from one that has imported TensorFlow.
EVERY_HELP = """
import os, sys
import tensorflow
from tfp_flows.__main__ import COMMANDS, main

for name in COMMANDS:
    child = os.fork()
    if not child:
        os.dup2(os.open(f"{sys.argv[1]}/{name}", os.O_CREAT | os.O_WRONLY), 1)
        sys.argv = ["tfp-flows", name, "--help"]
        sys.exit(main())
    os.waitpid(child, 0)
"""


def _run(*arguments, cwd=ROOT):
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True)


def test_without_a_name_they_are_listed():
    result = _run("-X", "importtime", "-m", "tfp_flows")
    assert result.returncode == 0
    title, *lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(by_name.COMMANDS)
    assert "tensorflow" not in result.stderr  # what was imported: a list does not take seconds


def test_the_version_is_that_of_the_package():
    assert _run("-c", SCRIPT, "--version").stdout == f"{tfp_flows.__version__}\n"


def test_each_shows_its_own_help(tmp_path):
    result = _run("-c", EVERY_HELP, str(tmp_path))
    assert result.returncode == 0, result.stderr
    for name, (module, _) in by_name.COMMANDS.items():
        text = (tmp_path / name).read_text()
        tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
        assert ast.get_docstring(tree).splitlines()[0] in " ".join(text.split())
        assert any(flag in text for flag in ("progress", "--format", "--follow")), text


def test_errors_and_exit_status_are_those_of_the_module(tmp_path):
    """TensorFlow starts quietly; one line, from a folder that is no checkout."""
    arguments = ["evaluate", f"--run={tmp_path / 'none'}"]
    result = _run("-c", SCRIPT, *arguments, cwd=tmp_path)
    expected = f"error: --run: no run in {tmp_path / 'none'} (it has no run.json).\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", expected)


@pytest.mark.parametrize(
    ("name", "message"),
    [("report", "analysis.report needs a checkout of the project"), ("tran", "there is no command 'tran'")],
)
def test_what_cannot_be_run_is_said_in_one_line(monkeypatch, tmp_path, name, message):
    monkeypatch.setattr(by_name, "CHECKOUT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["tfp-flows", name])
    with pytest.raises(SystemExit, match=message):
        by_name.main()
