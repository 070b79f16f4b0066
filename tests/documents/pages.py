"""The documents of the repository, and what is written in them."""

import importlib.util
import pathlib
import re
import types
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "tests/README.md")),
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
    *sorted((ROOT / "models").rglob("README.md")),
]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def name(document: pathlib.Path) -> str:
    """The document, as tests are called by it."""
    return document.relative_to(ROOT).as_posix()


def blocks(document: pathlib.Path, language: str) -> list[str]:
    """The code blocks of a language, "" for those that name none."""
    found = FENCE.findall(document.read_text(encoding="utf-8"))
    return [code for _, named, code in found if named == language]


def run(document: pathlib.Path) -> dict[str, Any]:
    """The names that there are when the Python of the document has run, block after block."""
    names: dict[str, Any] = {}
    for code in blocks(document, "python"):
        exec(code, names)
    return names


def prose(document: pathlib.Path) -> str:
    """The document without its code blocks."""
    return FENCE.sub("", document.read_text(encoding="utf-8"))


def anchors(document: pathlib.Path) -> set[str]:
    """What a link to the document may have after its `#`."""
    headings = re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip()) for heading in plain}


def nav() -> list[str]:
    """The pages of the site, in their order."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    return re.findall(r"- (?:.*: )?(\S+\.md)$", text[text.index("\nnav:") :], re.MULTILINE)


def hooks() -> types.ModuleType:
    """docs/hooks.py, which makes the pages that are not in docs."""
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table(document: pathlib.Path) -> dict[str, list[str]]:
    """The rows of all tables of a document, by their first cells; a bar in a cell is none between cells."""
    rows = re.findall(r"^\| (.*) \|$", document.read_text(encoding="utf-8"), re.MULTILINE)
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)] for row in rows]
    return {row[0]: row[1:] for row in cells}
