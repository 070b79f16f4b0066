"""Writes docs/commands.md, each command's flags as its own `--helpfull` tells them.

python -m tests.documents.commands_page
"""

import pathlib
import re

from tests import forked
from tfp_flows.__main__ import COMMANDS

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "commands.md"
OTHERS = ("analysis.detectors", "analysis.reproduce")  # that answer --helpfull at once, too
SEE = {
    "train": "training.md",
    "evaluate": "training.md",
    "detect": "deploy.md",
    "export": "deploy.md",
    "score": "scoring_at_scale.md",
    "monitor": "monitoring.md",
    "report": "why.md",
    "detectors": "detectors/comparison.md",
    "reproduce": "reproduce.md",
}
FLAG = re.compile(r"^  (--\S+)(?: +|\n +)(.*?)(?=\n  --|\n\n|\n*\Z)", re.MULTILINE | re.DOTALL)
FLAG_FILE = "--flagfile=FILE"
FIRST = """# Commands

`python -m tfp_flows.train` is `tfp-flows train`, and so for each; `--help` shows the flags that most need,
`--helpfull` all of them. `--flagfile=FILE` reads flags from a file, one a line. `vae.train` and
`pixelcnn.train` are `train` with another `--family`. A mistake is one line on standard error, exit status 1.
"""


def helpfull(module: str) -> str:
    """What the command says of itself, in lines of 100 characters."""
    result = forked.command(module, "--helpfull", env={"COLUMNS": "100"})
    assert result.returncode == 0, result.stderr
    return result.stdout


def flags_of(text: str) -> dict[str, str]:
    """Flags by how they are written, and what they mean, in the order of the help."""
    found = {flag: " ".join(meaning.split()) for flag, meaning in FLAG.findall(text)}
    cut = r"(?<=\w)- (?=\w)"  # a word, by the end of a line
    return {flag: re.sub(cut, "-", meaning) for flag, meaning in found.items()}


def section(name: str, module: str, text: str) -> str:
    """The chapter of one command."""
    lines = [f"## {name}", "", " ".join(text.split("\n\n")[0].split())]
    lines += [f"`python -m {module}`. [More]({SEE[name]}).", ""]
    groups = re.split(r"^(\w+):\n(?=  --)", text, flags=re.MULTILINE)
    for title, flags in [("", groups[0]), *zip(groups[1::2], groups[2::2], strict=True)]:
        if title:
            lines += [f"**{title}**", ""]
        lines += ["| flag | |", "| --- | --- |"]
        found = flags_of(flags).items()
        lines += [f"| {_code(flag)} | {_short(meaning)} |" for flag, meaning in found if flag != FLAG_FILE]
        lines.append("")
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    modules = {name: module for name, (module, _) in COMMANDS.items()}
    modules |= {module.split(".")[-1]: module for module in OTHERS}
    sections = [section(name, module, helpfull(module)) for name, module in modules.items()]
    return "\n".join([FIRST, *sections]).rstrip() + "\n"


def _code(flag: str) -> str:
    return "`" + flag.replace("|", "` \\| `") + "`"


def _short(meaning: str) -> str:
    meaning = re.sub(r"a TFDS name \(mnist, .*?call the set\.", "[names of data](data.md).", meaning)
    return re.sub(r"(?<![`\w])(--\w+(?:=\S+?)?)(?=[\s,.;:)]|$)", r"`\1`", meaning).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
