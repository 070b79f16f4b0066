"""Kind 6, in tables: a file of any name is one row."""

import os

import pyarrow.parquet

from tests.scoring.images import keys, rows, save_detector, score, write_png
from tfp_flows import scoring


def test_case_31_a_file_of_any_name_is_one_row(tmp_path):
    names = [
        b"\xff\xfe.png", b"cr\r.png", b"lf\n.png", b'"quo"te.png', b"a,b.png", b"=1+1.png", b"+1.png",
        b"-1.png", b"@A1.png", b"\t.png", b"back\\slash.png", b"plain.png",
    ]  # fmt: skip
    (tmp_path / "images").mkdir()
    for number, name in enumerate(names):
        write_png(os.path.join(os.fsencode(tmp_path), b"images", name), number)
    (tmp_path / "images" / os.fsdecode(b"\xfd\r.png")).write_bytes(b"none")
    detector = save_detector(tmp_path / "d")
    for ending in ("csv", "parquet"):
        out = tmp_path / f"x.{ending}"
        result = score(f"folder:{tmp_path / 'images'}", out, detector).wait()
        assert result.returncode == 3, result.stderr
        assert "12 images scored, 1 could not be read" in result.stdout
    texts = (tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()
    assert len(texts) == 13 and not any(line[0] in "=+-@\t" for line in texts)
    found = keys(tmp_path / "x.csv")
    assert sorted(map(os.fsencode, found)) == sorted([*names, b"\xfd\r.png"])
    table = pyarrow.parquet.read_table(tmp_path / "x.parquet")["key"].to_pylist()
    assert table == [row["key"] for row in rows(tmp_path / "x.csv")]
    assert [scoring.unescape(key) for key in table] == found[:-1]
