"""Keys in tables: any bytes, one line, back again, and no formula."""

import csv
import io
import os

import numpy as np
import pyarrow.parquet
import pytest

from tfp_flows import scoring
from tfp_flows.data import streams

from .images import image, scorer

NAMES = [
    b"plain/ name.png",
    "\u00e9\u4e2d\U0001f600.png".encode(),
    b"\xff\xfe.png",
    b"a\xc3",  # cut within a character
    b"\xed\xa0\x80",  # a surrogate, which UTF-8 has not
    b"cr\rlf\ncrlf\r\n",
    b'quo"te,comma;"',
    b"'",
    b"=1+1",
    b"+1",
    b"-1",
    b"@SUM(A1)",
    b"\t=1",
    b"nul\x00byte",
    b"back\\slash \\x41 \\\\",
    "\u2028\u2029\x85\x9b".encode(),
    b" ",
    b"NA",
    b"nan",
    b"x" * 300_000,
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name[:12]))
def test_a_key_is_one_plain_line_and_reads_back(name):
    key = os.fsdecode(name)
    text = scoring.escape(key)
    assert os.fsencode(scoring.unescape(text)) == name
    assert text.encode("utf-8").decode("utf-8").splitlines() == [text]
    assert text[0] not in "=+-@\t\r" and not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text)


def test_all_bytes_and_all_pairs_read_back_and_no_two_are_alike():
    names = [bytes([a]) for a in range(256)] + [bytes([a, b]) for a in range(256) for b in range(256)]
    texts = [scoring.escape(os.fsdecode(name)) for name in names]
    assert [os.fsencode(scoring.unescape(text)) for text in texts] == names
    assert len(set(texts)) == len(names)


def test_what_is_plain_stays_as_it_is():
    for key in ("a/b c.png", "images:0", "\u00e9", 'a"b', "a=b-c+d@e", "%41", "'x"):
        assert scoring.escape(key) == key


def test_surrogates_that_stand_for_no_byte_do_not_end_a_job():
    assert scoring.escape("\ud800").encode() == b"\\xed\\xa0\\x80"


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_tables_have_one_row_for_each_key(tmp_path, ending):
    items = [streams.Item(os.fsdecode(name), image(i)) for i, name in enumerate(NAMES)]
    out = tmp_path / f"x.{ending}"
    bad = streams.Item("\udcff\r\n", None, "=cannot\nbe \udcfe read")
    job = scoring.Job("", "", 0.5)
    assert scoring.score_stream(scorer, lambda skip: iter([*items, bad]), out, job, 5, False) == (20, 1)
    if ending == "csv":
        text = out.read_bytes().decode("utf-8")
        assert len(text.splitlines()) == 21  # by whatever Python takes for the end of a line
        before = csv.field_size_limit(1 << 20)
        found = list(csv.DictReader(io.StringIO(text)))
        csv.field_size_limit(before)  # it is that of the whole process
        keys, scores = [row["key"] for row in found], [float(row["score"]) for row in found]
    else:
        table = pyarrow.parquet.read_table(out).to_pydict()
        keys, scores = table["key"], table["score"]
    assert [os.fsencode(scoring.unescape(key)) for key in keys] == NAMES
    np.testing.assert_array_equal(np.float32(scores), scorer(np.stack([i.image for i in items]))["score"])
    errors = (tmp_path / f"x.{ending}.errors.csv").read_text(encoding="utf-8")
    assert errors == "key,error\n\\xff\\x0d\\x0a,\\x3dcannot\\x0abe \\xfe read\n"


def test_numbers_that_are_none_are_no_numbers_in_parquet_either(tmp_path):
    values = np.float32([np.nan, np.inf, -np.inf, 1e-38, -0.0])
    items = [streams.Item(str(i), image(i)) for i in range(5)]
    out = tmp_path / "x.parquet"
    job = scoring.Job("", "", 0.5)
    scoring.score_stream(lambda images: {"score": values}, lambda skip: iter(items), out, job, 5, False)
    table = pyarrow.parquet.read_table(out)
    np.testing.assert_array_equal(np.float32(table["score"].to_pylist()), values)
    assert table["log_prob"].null_count == 5 and table["key"].to_pylist() == list("01234")
