"""What MkDocs makes besides the pages of this folder: the README as the first page, the API, linked files.

A link in a page is written as it works in the repository (`../flagfiles/glow_cifar10.flags`). What lies
outside this folder becomes part of the site: a document a page, a file a file. The API's pages are made of
the rooms' `__init__.pyi`, so that what a room offers is on its page.
"""

import ast
import base64
import json
import logging
import pathlib
import posixpath
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the tests read this file where there is no MkDocs
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).resolve().parents[1]
LOG = logging.getLogger("mkdocs.plugins")
# Documents of the repository by the names of their pages.
DOCUMENTS = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "tests/README.md": "tests.md",
    "benchmarks/RESULTS.md": "benchmarks/results.md",
    "benchmarks/RESULTS_AVX2.md": "benchmarks/results_avx2.md",
    "benchmarks/RESULTS_GPU.md": "benchmarks/results_gpu.md",
    "benchmarks/PROFILES.md": "benchmarks/profiles.md",
}
for _card in sorted(ROOT.glob("models/**/README.md")):  # pretrained weights
    _name = _card.parent.name if _card.parent.parent.name == "models" else "index"
    DOCUMENTS[_card.relative_to(ROOT).as_posix()] = f"models/{_name}.md"
LINK = re.compile(r"(\]\()([^)\s:#]+)((?:#[^)\s]*)?\))")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_sources: dict[str, pathlib.Path] = {}  # where a page's text comes from, by its place in the site


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Adds what is not in this folder."""
    from mkdocs.structure.files import File

    _sources.clear()
    for file in files:
        if file.abs_src_path:
            _sources[file.src_uri] = pathlib.Path(file.abs_src_path)
    for document, page in DOCUMENTS.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / document)))
        _sources[page] = ROOT / document
    for room, page in api_pages().items():
        files.append(File.generated(config, page, content=api_page(room)))
    for notebook in sorted((ROOT / "docs").glob("tutorials/*.ipynb")):
        page = f"tutorials/{notebook.stem}.md"
        text, pictures = notebook_page(notebook)
        files.append(File.generated(config, page, content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, f"tutorials/{name}", content=content))
        _sources[page] = notebook
    by_source = {path.resolve(): name for name, path in _sources.items()}
    for page, source in list(_sources.items()):
        if page.endswith(".md"):
            for target in linked_files(source):
                if target not in by_source:
                    name = f"files/{target.relative_to(ROOT)}"
                    files.append(File.generated(config, name, abs_src_path=str(target)))
                    by_source[target] = name
                    _sources[name] = target
    return files


def on_page_markdown(markdown: str, page: "Page", config: "MkDocsConfig", files: "Files") -> str:
    """Links to files of the repository become links to what they are in the site."""
    source = _sources.get(page.file.src_uri)
    if source is None:
        return markdown
    names = {path.resolve(): name for name, path in _sources.items()}
    here = posixpath.dirname(page.file.src_uri)

    def replaced(match: re.Match) -> str:
        if source.suffix == ".ipynb" and match[2].endswith(".png"):  # what a cell drew
            return match[0]
        target = (source.parent / match[2]).resolve()
        name = folder_page(target) if target.is_dir() else module_page(target) or names.get(target)
        if name is None:
            LOG.warning("%s links to %s, which is not there", source.relative_to(ROOT), match[2])
            return match[0]
        place, _, anchor = name.partition("#")
        end = f"#{anchor})" if anchor else match[3]
        return match[1] + posixpath.relpath(place, here or ".") + end

    return _outside_code(markdown, lambda text: LINK.sub(replaced, text))


def linked_files(source: pathlib.Path) -> list[pathlib.Path]:
    """Files that a document links to."""
    text = source.read_text(encoding="utf-8")
    if source.suffix == ".ipynb":
        text = notebook_page(source)[0]
    targets = [(source.parent / found[1]).resolve() for found in LINK.findall(FENCE.sub("", text))]
    return [target for target in targets if target.is_file() and target.is_relative_to(ROOT)]


def folder_page(folder: pathlib.Path) -> str:
    """The page of the API that a folder of the repository has; the contributors' page for others."""
    if folder == ROOT / "docs":
        return "index.md"
    card = (folder / "README.md").relative_to(ROOT).as_posix()
    if card in DOCUMENTS:
        return DOCUMENTS[card]
    room = ".".join(folder.relative_to(ROOT).parts)
    return api_pages().get(room, DOCUMENTS["CONTRIBUTING.md"])


def module_page(module: pathlib.Path) -> str | None:
    """Where in the API a module's first public name is; None where it has none."""
    room = ".".join(module.parent.relative_to(ROOT).parts)
    if module.suffix == ".py" and room in api_pages():
        for name, where in imported(module.parent):
            if where == module.stem:
                return f"{api_pages()[room]}#{room}.{name}"
    return None


def api_pages() -> dict[str, str]:
    """Pages of the API by package."""
    quiet = {"checks", "commands", "pages"}  # what rooms need of each other
    rooms = [
        path.parent
        for path in sorted(ROOT.glob("tfp_flows/*/__init__.pyi"))
        if path.parent.name not in quiet
    ]
    packages = [ROOT / "tfp_flows", *rooms, ROOT / "tfp_flows/models/glow", ROOT / "vae", ROOT / "pixelcnn"]
    names = [".".join(path.relative_to(ROOT).parts) for path in packages if (path / "__init__.py").exists()]
    return {name: f"api/{name.removeprefix('tfp_flows.')}.md" for name in names}


def api_page(room: str) -> str:
    """The page of a package: its docstring, and what its stub names."""
    folder = ROOT.joinpath(*room.split("."))
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    pages = api_pages()
    blocks = [f"# {room}", ast.get_docstring(tree) or ""]
    for name in sorted(public_names(folder), key=lambda name: not name[0].isupper()):  # classes first
        if f"{room}.{name}" not in pages:
            blocks.append(f"::: {room}.{name}")
    return "\n\n".join(blocks) + "\n"


def public_names(folder: pathlib.Path) -> list[str]:
    """What a package offers, in the order of its stub."""
    return [name for name, _ in imported(folder)]


def imported(folder: pathlib.Path) -> list[tuple[str, str]]:
    """(name, module that it is from) of what a package offers, without constants, which rooms need."""
    stub = folder / "__init__.pyi"
    tree = ast.parse((stub if stub.exists() else folder / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.level]
    names = [(a.asname or a.name, node.module or a.name) for node in imports for a in node.names]
    return [(name, module) for name, module in names if not name.isupper()]


def notebook_page(notebook: pathlib.Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown, with the outputs that are stored in it, and its pictures by their names."""
    blocks: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            blocks.append(source)
            continue
        blocks.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{notebook.stem}_{len(pictures)}.png"
                pictures[name] = base64.b64decode(data["image/png"])
                blocks.append(f"![What the cell draws]({name}){{ .drawn }}")
            else:
                text = "".join(output.get("text", data.get("text/plain", [])))
                blocks.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(blocks) + "\n", pictures


def _outside_code(markdown: str, change: Callable[[str], str]) -> str:
    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [change(markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(markdown[end:])])
