"""How much memory a process may have."""

import os

import pytest

from tfp_flows.checks import memory

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _usable(tmp_path, group, **limits):
    (tmp_path / "proc").write_text(group)
    for name, text in limits.items():
        file = tmp_path / "groups" / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / "memory.max").write_text(text) if file.name == "v2" else file.write_text(text)
    return memory.usable_bytes(str(tmp_path / "proc"), str(tmp_path / "groups"))


def test_without_control_groups_it_is_the_machine(tmp_path):
    assert memory.usable_bytes(str(tmp_path / "no"), str(tmp_path / "no")) == MACHINE


@pytest.mark.parametrize(
    ("group", "limits", "expected"),
    [
        ("0::/\n", {"v2": "max\n"}, MACHINE),
        ("0::/\n", {"v2": "1048576\n"}, 2**20),
        ("0::/a/b\n", {"a__b__v2": "max\n", "a__v2": "2097152\n", "v2": "4194304\n"}, 2**21),
        ("0::/a/b\n", {"a__b__v2": "1\n", "a__v2": "2097152\n"}, 1),
        ("5:memory:/docker/x\n", {"memory__memory.limit_in_bytes": "3145728\n"}, 3 * 2**20),
        ("5:memory:/docker/x\n", {"memory__memory.limit_in_bytes": "9223372036854771712\n"}, MACHINE),
        ("0::/\n", {"v2": "no number\n"}, MACHINE),
    ],
)
def test_the_least_limit_counts(tmp_path, group, limits, expected):
    assert _usable(tmp_path, group, **limits) == expected


def test_sizes_as_text():
    assert [memory.size_text(n) for n in (2**19, 20 * 2**20, 3 * 2**29)] == ["0.5 MiB", "20 MiB", "1.5 GiB"]
