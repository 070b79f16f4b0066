"""What documents promise: a short README, pages that are found, links that lead somewhere, true flags."""

import re

import pytest

import tfp_flows
from analysis import published
from tests import forked
from tests.documents import commands_page, pages
from tfp_flows import detectors

MOST_WORDS = 1200


def test_the_readme_is_short():
    assert len((pages.ROOT / "README.md").read_text(encoding="utf-8").split()) <= MOST_WORDS


def test_every_page_is_in_the_navigation():
    hooks = pages.hooks()
    made = {*hooks.DOCUMENTS.values(), *hooks.api_pages().values()}
    made |= {f"tutorials/{notebook.stem}.md" for notebook in pages.DOCS.glob("tutorials/*.ipynb")}
    written = {path.relative_to(pages.DOCS).as_posix() for path in pages.DOCS.rglob("*.md")}
    pretrained = {page for page in made if page.startswith("models/")}  # found by their links
    assert sorted(pages.nav()) == sorted((made | written) - pretrained)


def test_every_document_is_a_page():
    hooks = pages.hooks()
    known = {pages.ROOT / document for document in hooks.DOCUMENTS}
    assert {path for path in pages.DOCUMENTS if not path.is_relative_to(pages.DOCS)} == known


@pytest.mark.parametrize("document", pages.DOCUMENTS, ids=pages.name)
def test_links_lead_somewhere(document):
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]*))?\)", pages.prose(document)):
        path = (document.parent / target).resolve() if target else document
        assert path.exists(), f"{pages.name(document)} links to {target}"
        assert path.is_relative_to(pages.ROOT), target
        if anchor and path.suffix == ".md":
            assert anchor in pages.anchors(path), f"{pages.name(document)} links to {target}#{anchor}"


@pytest.mark.parametrize("document", pages.DOCUMENTS, ids=pages.name)
def test_nothing_of_a_machine_is_in_a_document(document):
    assert not re.search(r"(/work/|/home/\w|/root/)", document.read_text(encoding="utf-8"))


def test_every_picture_is_in_the_gallery():
    shown = set(re.findall(r"\]\(images/(\S+)\)", (pages.DOCS / "gallery.md").read_text(encoding="utf-8")))
    assert shown == {path.name for path in (pages.DOCS / "images").iterdir()}


def test_the_commands_page_says_what_the_commands_say():
    page = commands_page.PAGE.read_text(encoding="utf-8")
    assert page == commands_page.page(), "python -m tests.documents.commands_page"


def test_versions_agree():
    version = tfp_flows.__version__
    citation = (pages.ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == version
    changes = (pages.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)", changes, re.MULTILINE)[1] == version


def _detector_page(name):
    return pages.DOCS / ("default.md" if name == "default" else f"detectors/{name}.md")


@pytest.mark.parametrize("name", detectors.DETECTORS)
def test_each_detector_has_a_page_with_what_was_published(name):
    text = _detector_page(name).read_text(encoding="utf-8")
    rows = re.findall(r"^\| .* \|$", text, re.MULTILINE)
    for number in published.NUMBERS:
        if number.detector == name:
            value = f"{number.auroc:.3f}".removesuffix("0")
            surname = number.who.split()[0]
            found = [row for row in rows if value.lstrip("0") in row]
            assert found, f"{value} of {number.who}"
            assert any(surname in row for row in found) or not surname[0].isupper()


def test_the_table_of_detectors_is_true():
    rows = pages.table(pages.DOCS / "detectors" / "index.md")
    named = {re.match(r"\[(\w+)\]", first)[1]: row for first, row in rows.items() if first.startswith("[")}
    assert list(named) and set(named) == set(detectors.DETECTORS)
    for name, (_, needs, cost, exported) in named.items():
        kind = detectors.DETECTORS[name]
        assert (needs == "no model") == (not kind.needs_model), name
        assert {"a gradient": "slow", "an optimisation": "slow", "a Jacobian": "jacobian"}.get(
            cost, "fast"
        ) == kind.cost, name
        if isinstance(kind.exportable, bool):
            assert (exported == "yes") == kind.exportable, name
        else:  # it depends on the settings, or there is none
            assert exported == ("with PNG" if name == "input_complexity" else "no"), name


def test_the_pages_of_detectors_have_the_numbers_of_the_comparison():
    rows = pages.table(pages.DOCS / "detectors" / "comparison.md")
    scores = {name: row for name, row in rows.items() if any("[" in cell for cell in row)}
    assert len(scores) == 16
    found = {}
    for name in detectors.DETECTORS:
        for score, row in pages.table(_detector_page(name)).items():
            if score in scores:
                found[score] = row
    assert found == scores


COMMANDS = [*(module for module, _ in commands_page.COMMANDS.values()), *commands_page.OTHERS]
CALLS = re.compile(
    r"(?:^|&& |\|\| )(?:\S*python3?) (?:-m )?([\w./]+)((?: +(?:'[^']*'|[^\s|&<>]+))*)", re.MULTILINE
)
OF_OTHERS = ("venv", "pip", "pytest", "exported/run_stablehlo.py")


@pytest.fixture(scope="module")
def known_flags():
    """Flags of each module that documents call, without their dashes."""
    found = {}

    def of(module):
        if module not in found:
            if module in COMMANDS or module in ("vae.train", "pixelcnn.train"):
                text = forked.command(module, "--helpfull").stdout
                names = re.findall(r"^  --(\[no\])?(\w+)", text, re.MULTILINE)
                found[module] = {name for _, name in names} | {f"no{name}" for no, name in names if no}
            else:
                path = pages.ROOT / module if module.endswith(".py") else _source(module)
                names = re.findall(r'"(?:--)?([\w-]+)"', path.read_text(encoding="utf-8"))
                found[module] = {name for name in names}
            found[module] |= {"help", "helpfull", "flagfile"}
        return found[module]

    return of


def _source(module):
    path = pages.ROOT / (module.replace(".", "/") + ".py")
    return path if path.exists() else path.with_suffix("") / "__main__.py"


@pytest.mark.parametrize("document", pages.DOCUMENTS, ids=pages.name)
def test_commands_have_the_flags_that_documents_give_them(document, known_flags):
    for block in pages.blocks(document, ""):
        for module, rest in CALLS.findall(re.sub(r"\\\n *", " ", block)):
            if module in OF_OTHERS:
                continue
            unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", "", rest)
            for flag, value in re.findall(r"--([\w-]+)(?:=(\S+))?", unquoted):
                assert flag in known_flags(module), f"{module} --{flag}"
                if flag == "flagfile":
                    assert (pages.ROOT / value).exists(), value
