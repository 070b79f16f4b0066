"""Tables of numbers: read from any file, columns found by their names, divided by the numbers of rows."""

import os
import pathlib

import numpy as np
import pytest

from tfp_flows import data
from tfp_flows.checks.errors import UserError

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=[200, 3]).round(3)
HEADER = "a,b,c\n"


def _text(rows, header=HEADER):
    return header + "\n".join(",".join(map(str, row)) for row in rows) + "\n"


def _written(path, text):
    pathlib.Path(path).write_text(text, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return _written(tmp_path_factory.mktemp("tables") / "t.csv", _text(ROWS))


def test_every_kind_of_file_holds_the_same_rows(table, tmp_path):
    np.save(tmp_path / "t.npy", ROWS)
    np.savez(tmp_path / "t.npz", ROWS)
    headless = _written(tmp_path / "h.csv", _text(ROWS.tolist(), ""))
    paths = (table, tmp_path / "t.npy", tmp_path / "t.npz", headless)
    found = [data.read_table(str(path)) for path in paths]
    for one in found:
        np.testing.assert_array_equal(one.rows, ROWS)
        assert one.keys == found[0].keys and one.split == "all" and one.rows.dtype == np.float64
    assert [one.columns for one in found] == [("a", "b", "c"), (), (), ()]
    assert found[1].labels == ("0", "1", "2")


def test_columns_are_found_by_their_names_in_any_order(table, tmp_path):
    other = _written(tmp_path / "o.csv", _text([["x", c, a, b] for a, b, c in ROWS], "kind,c,a,b\n"))
    found = data.read_table(other, ["a", "b", "c"])
    np.testing.assert_array_equal(found.rows, ROWS)
    assert found.columns == ("a", "b", "c") and found.keys == data.read_table(table).keys
    assert data.read_table(other, ignore=["kind"]).columns == ("c", "a", "b")
    np.testing.assert_array_equal(data.read_table(table, ["c", "a"]).rows, ROWS[:, [2, 0]])


def test_the_header_that_pandas_numbers_is_no_row(tmp_path):
    rows = ROWS[:30] + 0.25
    for name, head in (("plain", "0,1,2\n"), ("index", ",0,1,2\n"), ("years", ",2019,2020,2021\n")):
        numbered = [[i, *row] for i, row in enumerate(rows)] if head.startswith(",") else rows.tolist()
        found = data.read_table(_written(tmp_path / f"{name}.csv", _text(numbered, head)))
        np.testing.assert_array_equal(found.rows, rows)
        assert found.columns == tuple(head.strip().strip(",").split(","))
    whole = data.read_table(_written(tmp_path / "whole.csv", _text([[0, 1, 2], [4, 5, 6]], "")))
    np.testing.assert_array_equal(whole.rows, [[0, 1, 2], [4, 5, 6]])  # it might be a row like the others


def test_underscores_make_names_and_commas_at_the_end_no_column(tmp_path):
    path = _written(tmp_path / "ids.csv", "a,id\n1,2024_01\n2,2024_02\n")
    with pytest.raises(UserError, match=r"column id holds no numbers \('2024_01', ...\)"):
        data.read_table(path)
    assert data.read_table(_written(tmp_path / "h.csv", "1_0,1_1\n1,2\n3,4\n")).columns == ("1_0", "1_1")
    for head in ("a,b,\n", ""):
        found = data.read_table(_written(tmp_path / "commas.csv", head + "1,2,\n3,4,\n"))
        np.testing.assert_array_equal(found.rows, [[1, 2], [3, 4]])


def test_columns_without_a_header_are_numbers(tmp_path):
    np.save(tmp_path / "t.npy", ROWS)
    path = str(tmp_path / "t.npy")
    found = data.read_table(path, ["2", "0"])
    np.testing.assert_array_equal(found.rows, ROWS[:, [2, 0]])
    assert found.columns == ("2", "0")
    np.testing.assert_array_equal(data.read_table(path, ["x", "y", "z"]).rows, ROWS)
    with pytest.raises(UserError, match="has no column x, y; it has no header, and columns 0, 1, 2"):
        data.read_table(path, ["x", "y"])


def test_the_order_of_the_rows_has_no_part_in_the_division(table, tmp_path):
    order = RNG.permutation(len(ROWS))
    shuffled = data.read_table(_written(tmp_path / "s.csv", _text(ROWS[order].tolist()))).divided()
    for split, part in data.read_table(table).divided().items():
        found = shuffled[split]
        if split == "test":  # which is in the order of the file
            np.testing.assert_array_equal(np.sort(found.rows, axis=0), np.sort(part.rows, axis=0))
        else:
            np.testing.assert_array_equal(found.rows, part.rows)
        np.testing.assert_array_equal(ROWS[order][found.places], found.rows)


def test_the_division_leaves_no_row_out_and_equal_rows_together(tmp_path):
    rows = np.concatenate([ROWS, ROWS[:50], -0.0 * ROWS[:1], 0.0 * ROWS[:1]])
    whole = data.read_table(_written(tmp_path / "t.csv", _text(rows.tolist())))
    parts = whole.divided()
    assert sorted(np.concatenate([part.places for part in parts.values()])) == list(range(len(rows)))
    keys = [set(part.keys) for part in parts.values()]
    assert sum(map(len, keys)) == len(set().union(*keys)) == 201
    count = 5000
    many = tuple(map(str, range(count)))
    large = data.Table("t", "all", np.zeros([count, 2]), (), many, np.arange(count), count)
    shares = {split: len(part) / count for split, part in large.divided().items()}
    expected = {"test": 0.1, "validation": 0.18, "calibration": 0.18, "train": 0.54}
    assert all(abs(shares[split] - share) < 0.02 for split, share in expected.items())


def test_a_sample_is_the_same_whatever_the_order(table, tmp_path):
    shuffled = _written(tmp_path / "s.csv", _text(ROWS[::-1].tolist()))
    one, other = data.read_table(table).sample(20), data.read_table(shuffled).sample(20)
    np.testing.assert_array_equal(one.rows, other.rows)
    assert one.count == "20 of 200" and data.read_table(table).sample(None).count == "200"


def test_rows_that_are_none_are_counted_and_named(tmp_path):
    lines = _text(ROWS[:30].tolist()).splitlines()
    lines[4], lines[8], lines[10] = "1,NA,3", "1,2,inf", "1,2"
    path = _written(tmp_path / "t.csv", "\n".join(lines))
    says = r"row 3 must hold 3 numbers, got '1,NA,3' \(3 such rows of 30: 3, 7, 9\); `skip_unreadable`"
    with pytest.raises(UserError, match=says):
        data.read_table(path)
    found = data.read_table(path, skip_unreadable=True)
    np.testing.assert_array_equal(found.places, np.delete(np.arange(30), [3, 7, 9]))
    assert found.remarks == (
        "left out: row 3 must hold 3 numbers, got '1,NA,3' (3 such rows of 30: 3, 7, 9)",
    )
    np.save(tmp_path / "t.npy", np.where(np.arange(30)[:, None] == [30, 5, 30], np.inf, ROWS[:30]))
    with pytest.raises(UserError, match="row 5 holds what is no finite number in column 1"):
        data.read_table(str(tmp_path / "t.npy"))


def test_the_index_that_pandas_writes_is_left_out_and_said(tmp_path):
    path = _written(tmp_path / "t.csv", _text([[i, *row] for i, row in enumerate(ROWS)], ",a,b,c\n"))
    found = data.read_table(path)
    np.testing.assert_array_equal(found.rows, ROWS)
    assert found.columns == ("a", "b", "c") and "no name" in found.remarks[0]


REFUSED = {
    "label.csv": (
        _text([[*row, "setosa"] for row in ROWS], "a,b,c,kind\n"),
        r"column kind holds no numbers \('setosa', ...\): `ignore=kind` leaves it out, `columns` names",
    ),
    "one.csv": ("a\n1\n2\n", "has one column$"),
    "semicolons.csv": (
        "a;b\n1;2\n",
        "has one column, whose cells hold semicolons: separate columns by commas",
    ),
    "twice.csv": ("a,a\n1,2\n", "has more than one column 'a'"),
    "empty.csv": ("", "holds no rows"),
    "header.csv": ("a,b\n", "holds no rows"),
    "none.txt": ("1,2\n", r"a table is a \.csv, \.npy or \.npz"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, name):
    text, says = REFUSED[name]
    with pytest.raises(UserError, match=says) as error:
        data.read_table(f"table:{_written(tmp_path / name, text)}")
    assert "\n" not in str(error.value) and name in str(error.value)


def test_arrays_that_are_no_table_are_refused(tmp_path, table):
    for name, array in {
        "cube": np.zeros([2, 3, 4]),
        "line": np.zeros(3),
        "words": np.array([["a", "b"]]),
    }.items():
        np.save(tmp_path / name, array)
        with pytest.raises(UserError, match=r"must be numbers \[N, D\], N and D positive, got .*\["):
            data.read_table(str(tmp_path / f"{name}.npy"))
    np.savez(tmp_path / "two.npz", ROWS, ROWS)
    with pytest.raises(UserError, match="must hold one array, got arr_0, arr_1"):
        data.read_table(str(tmp_path / "two.npz"))
    (tmp_path / "huge.csv").write_text("a,b\n1,2\n")
    os.truncate(tmp_path / "huge.csv", 2**42)  # a hole: nothing is written
    with pytest.raises(UserError, match=r"huge.csv: its cells: would take .*: give fewer rows"):
        data.read_table(str(tmp_path / "huge.csv"))
    with pytest.raises(UserError, match=r"no such file"):
        data.read_table("none.csv")
    with pytest.raises(UserError, match="19 rows are too few to be divided into train, .*at least 20"):
        data.read_table(table).select(np.arange(19)).divided()
    with pytest.raises(UserError, match="column b has numbers too large for float32"):
        wide = data.read_table(_written(tmp_path / "w.csv", _text([[1, 1e39, 2]])))
        wide.as_type("float32")


def test_a_name_is_of_a_table_or_of_images(tmp_path, table):
    np.savez(tmp_path / "rows.npz", ROWS)
    np.savez(tmp_path / "images.npz", images=np.zeros([2, 4, 4], np.uint8))
    rows = str(tmp_path / "rows.npz")
    expected = {
        "t.csv": "table:t.csv",
        "mine=t.NPY": "mine=table:t.NPY",
        "table:me@home/t.csv": "table:me@home/t.csv",
        rows: f"table:{rows}",
        f"npz:{rows}": "",
        str(tmp_path / "images.npz"): "",
        "none.npz": "",
        "mnist": "",
        "photo.png": "",
        "folder:x.csv": "",
    }
    assert {name: data.table_name(name) for name in expected} == expected
    for name in ("t.csv@resize=32", "t.csv@contrast=0.5"):
        with pytest.raises(UserError, match="@.* is for images, and t.csv is a table"):
            data.table_name(name)
    with pytest.raises(UserError, match="a table of numbers holds no images"):
        data.load(table)
