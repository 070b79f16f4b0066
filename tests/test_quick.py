"""`pytest -m quick`: the files that it takes are there, and are all that it imports."""

import pathlib
import types

import pytest

from tests import conftest

TESTS = pathlib.Path(__file__).resolve().parent
LISTS = {"quick.txt": (TESTS / "quick.txt").read_text(encoding="utf-8").split(), "LONGEST": conftest.LONGEST}


@pytest.mark.parametrize("name", LISTS)
def test_the_files_that_are_named_are_there(name):
    assert len(set(LISTS[name])) == len(LISTS[name])
    assert not [file for file in LISTS[name] if not (TESTS / file).is_file()]


@pytest.mark.parametrize(
    ("marks", "file", "ignored"),
    [
        ("quick", "checks/test_sizes.py", None),
        ("quick", "training/test_strategies.py", True),
        ("beam", "scoring/test_beam.py", None),
        ("beam", "checks/test_sizes.py", True),
        ("", "training/test_strategies.py", None),
        ("not quick", "training/test_strategies.py", None),
    ],
)
def test_files_without_such_a_test_are_not_imported(marks, file, ignored):
    config = types.SimpleNamespace(option=types.SimpleNamespace(markexpr=marks))
    assert conftest.pytest_ignore_collect(TESTS / file, config) is ignored


def test_the_longest_come_first_and_the_quick_are_marked():
    names = [
        "checks/test_sizes.py",
        "vae/test_vae.py",
        conftest.LONGEST[1],
        "vae/test_vae.py",
        conftest.LONGEST[0],
    ]
    items = [_Item(TESTS / name) for name in names]
    conftest.pytest_collection_modifyitems(items)
    found = [item.path.relative_to(TESTS).as_posix() for item in items]
    assert found == [*conftest.LONGEST[:2], "checks/test_sizes.py", "vae/test_vae.py", "vae/test_vae.py"]
    assert [item.marks for item in items] == [[], [], ["quick"], [], []]


class _Item:
    def __init__(self, path):
        self.path, self.marks = path, []

    def add_marker(self, mark):
        self.marks.append(mark.name)
