"""Rows of tables: all formats, whatever is wrong with a line, times from keys and columns, following."""

import datetime
import gzip

import numpy as np
import pytest

from tests.monitoring import streams
from tfp_flows import monitoring
from tfp_flows.scoring import groups

GOOD = "key,log_prob,bits_per_dim,score,p_value,verdict\n"


def _read(path, column=None, faults=None):
    tables = monitoring.Tables([str(path)], column, faults or monitoring.Faults())
    return [row for piece in tables.rows(2) for row in piece]


def test_csv_gz_and_parquet_hold_the_same(tmp_path):
    import pyarrow
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    keys, scores, p = ["a,b.png", 'c"d.png', "e.png"], rng.normal(size=3), np.float32([0.1, 1.0, 0.3])
    path = streams.write_table(tmp_path / "t.csv", keys, scores, p, ("taken", ["2026-01-01"] * 3))
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    columns = {"key": keys, "score": np.float32(scores), "p_value": p, "taken": ["2026-01-01"] * 3}
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    found = [_read(tmp_path / f"t.{ending}", "taken") for ending in ("csv", "csv.gz", "parquet")]
    for rows in found:
        assert [(row.key, row.time) for row in rows] == [(key, "2026-01-01") for key in keys]
        np.testing.assert_array_equal(np.float32([row.score for row in rows]), np.float32(scores))
        np.testing.assert_array_equal(np.float32([row.p_value for row in rows]), p)


def test_bad_lines_are_counted_and_said(tmp_path):
    lines = [
        "a,,,1,0.5,in",
        "b,,,1,,",
        "c,,,1,nan,in",
        "d,,,1,1.5,in",
        "e,,,x,0.5,in",
        "garbage",
        "",
        "f,,,,0.2,in",
    ]
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbf" + (GOOD + "\n".join(lines)).encode() + b"\ng\xff,,,1,0.1,in")
    errors = tmp_path / "t.csv.errors.csv"
    errors.write_text("key,error\nz,damaged\n")
    faults = monitoring.Faults()
    tables = monitoring.Tables([str(tmp_path / "t*")], None, faults)
    rows = [row for piece in tables.rows() for row in piece]
    assert [(row.key, row.p_value, row.score) for row in rows[:2]] == [("a", 0.5, 1.0), ("f", 0.2, None)]
    assert len(rows) == 3
    assert faults.counts == {
        "rows without a p-value": 2,
        "rows whose p-value is not in (0, 1]": 1,
        "lines that are no rows": 2,
        "rows of tables of errors": 1,
    }
    assert "t.csv, line 6" in " ".join(faults.lines())


def test_bytes_that_are_no_utf8_are_read_as_keys_write_them(tmp_path):
    (tmp_path / "t.csv").write_bytes(GOOD.encode() + b"caf\xe9.png,,,1,0.5,in\n")
    (row,) = _read(tmp_path / "t.csv")
    assert row.key == r"caf\xe9.png" and row.key.encode("utf-8")


def test_a_damaged_archive_is_said_in_one_line(tmp_path):
    content = bytearray(gzip.compress((GOOD + "a,,,1,0.5,in\n" * 200).encode()))
    content[20:40] = b"\xff" * 20
    (tmp_path / "t.csv.gz").write_bytes(content)
    with pytest.raises(monitoring.MonitoringError, match="t.csv.gz cannot be read: "):
        _read(tmp_path / "t.csv.gz")


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("none.csv", None, "there is no table"),
        ("t.csv", "image,number\n", "no table of tfp_flows.score"),
        ("t.csv", "key,log_prob\n", "no p-values: calibrate a detector"),
        ("t.csv", "row,log_prob,p_value\n", "scores of a table's rows, which are not watched"),
        ("t.csv.gz", "key", "cannot be read"),
        ("t.parquet", "key", "no Parquet table"),
    ],
)
def test_what_is_no_table(tmp_path, name, content, word):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(monitoring.MonitoringError, match=word) as error:
        _read(path)
    assert "\n" not in str(error.value)


def test_what_else_may_be_meant_is_said(tmp_path):
    (tmp_path / "a.csv.part").touch()
    (tmp_path / "b-00000-of-00002.csv").touch()
    for name, word in (("a", "a.csv.part is that of a job"), ("b", r"b-\*-of-\*.csv")):
        with pytest.raises(monitoring.MonitoringError, match=word):
            _read(tmp_path / f"{name}.csv")
    streams.write_table(tmp_path / "c.csv", ["k"], [1.0], [0.5])
    with pytest.raises(monitoring.MonitoringError, match="no taken"):
        _read(tmp_path / "c.csv", "taken")


def test_a_table_that_grows_is_followed_by_whole_lines(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(GOOD + "a,,,1,0.5,in\nb,,,1,0.")
    followed = monitoring.Tables([str(path)], None, monitoring.Faults()).follow(poll=0.0)
    assert [row.key for row in next(followed)] == ["a"]
    with open(path, "a") as file:
        file.write("5,in\nc,,,1,0.25,in\n")
    assert [(row.key, row.p_value) for row in next(followed)] == [("b", 0.5), ("c", 0.25)]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_table_that_is_written_anew_is_read_from_its_header_on(tmp_path, replaced):
    path, faults = tmp_path / "t.csv", monitoring.Faults()
    path.write_text("key,p_value\na,0.5\nb,0.5\n")
    followed = monitoring.Tables([str(path)], None, faults).follow(poll=0.0)
    assert [row.key for row in next(followed)] == ["a", "b"]
    other = "p_value,key\n0.25,c\n" + "0.125,d\n" * (5 if replaced else 0)  # a smaller, or a larger one
    if replaced:
        (tmp_path / "new").write_text(other)
        (tmp_path / "new").replace(path)
    else:
        path.write_text(other)
    expected = [("c", 0.25), *[("d", 0.125)] * (5 if replaced else 0)]
    assert [(row.key, row.p_value) for row in next(followed)] == expected
    assert faults.lines() == []


@pytest.mark.parametrize(
    ("clock", "key", "text", "expected"),
    [
        ({}, "2026-11-28/cam1/0001.jpg", "", (2026, 11, 28)),
        ({}, "cam1/2026/11/28/17.jpg", "", (2026, 11, 28)),
        ({}, "IMG_20261128_143005.jpg", "", (2026, 11, 28, 14, 30, 5)),
        ({}, "cam1/2026-11-28T14:30:05.jpg", "", (2026, 11, 28, 14, 30, 5)),
        ({}, "20261399.jpg", "", None),
        ({}, "1234567890123.jpg", "", None),
        ({"pattern": "%d.%m.%Y"}, "28.11.2026/a.jpg", "", (2026, 11, 28)),
        ({"column": "t"}, "2020-01-01", "2026-11-28 14:30", (2026, 11, 28, 14, 30)),
        ({"column": "t"}, "", "1795876200", (2026, 11, 28, 14, 30)),
        ({"column": "t"}, "", "20261128", (2026, 11, 28)),
        ({"column": "t"}, "", "202611281430", (2026, 11, 28, 14, 30)),
        ({"column": "t"}, "2020-01-01", "", None),
    ],
)
def test_times(clock, key, text, expected):
    found = monitoring.Clock("day", **clock).time(key, text)
    assert found == (expected and datetime.datetime(*expected))


def test_labels_and_patterns():
    time = datetime.datetime(2026, 11, 28, 14, 30)
    assert monitoring.Clock("day").label(time) == "2026-11-28"
    assert monitoring.Clock("hour").label(time) == "2026-11-28 14:00"
    assert monitoring.Clock("day").label(None) == "no time"
    for pattern in ("%Y%m", "%Y%m%d%d", "%Y%m%d%q"):
        with pytest.raises(monitoring.MonitoringError, match="`time_pattern`"):
            monitoring.compiled(pattern)


@pytest.mark.parametrize("key", ["20261128_0060.jpg", "2026-11-28_9999.jpg"])
def test_a_number_behind_a_date_is_no_time_of_day(key):
    time = monitoring.Clock("day").time(key, "")
    assert monitoring.Clock("day").label(time) == "2026-11-28"
    assert monitoring.Clock("hour").time(key, "") is None


def test_a_date_alone_has_no_hour():
    assert monitoring.Clock("hour").time("2026-11-28/cut.jpg", "") is None
    found = monitoring.Clock("hour").time("2026-11-28/2026-11-28_1430.jpg", "")
    assert found is not None and found.hour == 14


def test_tables_of_groups_are_passed_over(tmp_path):
    (tmp_path / "t.csv.groups.csv").write_text(",".join(groups.COLUMNS) + "\ncam1,3,0,0.5,0.5,in\n")
    faults = monitoring.Faults()
    assert _read(tmp_path / "t.csv.groups.csv", faults=faults) == []
    assert "rows of tables of groups" in str(vars(faults))
