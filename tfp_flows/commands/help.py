"""What `--help` shows: a screen of what most need, and the names of the rest; `--helpfull` shows all.

Of the command's description `--help` has the first paragraphs, of what is said of a flag the first sentence.

It is asked for before anything else is done: no TensorFlow is imported, nothing is checked.
"""

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from absl import flags

from tfp_flows.commands import flags as shared

FLAGS = flags.FLAGS
ASKED = {"--help": False, "-help": False, "-h": False, "--helpshort": False, "--helpfull": True}
FLAG_FILE = "--flagfile=FILE"
FLAG_FILE_HELP = "Reads flags from a file, one a line."
FIRST = ""  # the group that every help shows in full
OTHER = "other"  # that of flags which a command puts into none
_PARAGRAPHS = 3  # of a description: what it does, how it is called, what comes of it
_WIDEST, _NARROWEST = 100, 60
_COLUMN = 26
_GOES_ON = " \\"  # of a command that takes more than a line
_PLACEHOLDERS = {
    "int": "INTEGER",
    "float": "NUMBER",
    "comma separated list of strings": "A,B,...",
}


def asked(arguments: Sequence[str]) -> bool | None:
    """Whether all flags are asked for (True), or the first ones (False); None where no help is."""
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return next((ASKED[a] for a in before if a in ASKED), None)


def text(groups: Mapping[str, Iterable[str]], full: bool) -> str:
    """The help of the command that runs.

    Args:
      groups: Names of flags by the titles of their groups, those of `FIRST` first. The command's own that
        are in none are one more.
      full: Whether every group, and the description, is shown in full.
    """
    width = max(min(shutil.get_terminal_size().columns, _WIDEST), _NARROWEST)
    described = (sys.modules["__main__"].__doc__ or "").strip().split("\n\n")
    blocks = [_paragraph(block, width) for block in (described if full else described[:_PARAGRAPHS])]
    rest = []
    for title, names in _with_others(groups).items():
        if full or title == FIRST:
            lines = [title + ":"] if title else []
            own = [FLAGS[name] for name in names]
            lines += [_described(_spelled(flag), _meaning(flag, full), width) for flag in own]
            if title == FIRST:
                lines.append(_described(FLAG_FILE, FLAG_FILE_HELP, width))
            blocks.append("\n".join(lines))
        else:
            listed = f"{title}: {' '.join(f'--{name}' for name in names)}"
            rest.append(textwrap.fill(listed, width, initial_indent="  ", subsequent_indent=" " * 4))
    if rest:
        blocks.append("\n".join(["More, which --helpfull describes:", *rest]))
    return "\n\n".join(blocks)


def _paragraph(block: str, width: int) -> str:
    """A paragraph of a description, or its commands, which are indented, at this width."""
    if not block.startswith((" ", "python ")):
        return textwrap.fill(" ".join(block.split()), width)
    commands = [f"    {line.strip()}" for line in re.sub(r" \\\n\s+", " ", block).split("\n")]
    wrap = textwrap.TextWrapper(
        width - len(_GOES_ON), subsequent_indent=" " * 8, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(f"{_GOES_ON}\n".join(wrap.wrap(command)) for command in commands)


def _with_others(groups: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """The groups, and in another one the command's own flags that are in none of them."""
    found = {title: list(names) for title, names in groups.items()}
    told = {name for names in found.values() for name in names}
    others = [name for names in own_flags().values() for name in names if name not in told]
    return {**found, **({OTHER: others} if others else {})}


def own_flags() -> dict[str, list[str]]:
    """The flags that the main module and `commands.flags` define, as one group, `--run` first."""
    modules = FLAGS.flags_by_module_dict()
    defined = [flag for module in (sys.argv[0], shared.__name__) for flag in modules.get(module, [])]
    return {FIRST: [flag.name for flag in sorted(defined, key=lambda flag: flag.name != "run")]}


def _spelled(flag: flags.Flag) -> str:
    if flag.boolean:
        return f"--[no]{flag.name}"
    choices = getattr(flag.parser, "enum_values", None)
    if choices and len("|".join(choices)) <= _COLUMN:
        return f"--{flag.name}={'|'.join(choices)}"
    return f"--{flag.name}={_PLACEHOLDERS.get(flag.flag_type(), 'TEXT')}"


def _meaning(flag: flags.Flag, full: bool) -> str:
    meaning = " ".join((flag.help or "").split())
    meaning = re.sub(r"^<[^>]*>: |; repeat this option to specify a list of values$", "", meaning)
    if not full:
        meaning = re.split(r"(?<=\.) (?=[A-Z])", meaning)[0]
    choices = getattr(flag.parser, "enum_values", None)
    if isinstance(flag, flags.MultiFlag):
        meaning += " May be repeated."
    if choices and len("|".join(choices)) > _COLUMN:
        meaning += f" One of {', '.join(choices)}."
    if flag.default not in (None, "", []):
        meaning += f" (default: {_default(flag)})"
    return meaning


def _default(flag: flags.Flag) -> str:
    return (flag.default_as_str or "").strip("'")


def _described(spelled: str, meaning: str, width: int) -> str:
    indent = " " * _COLUMN
    first = f"  {spelled}".ljust(_COLUMN)
    if len(first) > _COLUMN or not first.endswith(" "):
        first += "\n" + indent
    head, _, tail = first.rpartition("\n")
    body = textwrap.fill(meaning, width, initial_indent=tail, subsequent_indent=indent)
    return f"{head}\n{body}" if head else body
