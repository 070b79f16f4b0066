"""Tables with q-values and groups: at the end of a job, whatever happens there, and of finished tables."""

import csv
import itertools

import numpy as np
import pyarrow.parquet
import pytest

from tfp_flows import detectors, scoring
from tfp_flows.detectors import DetectorError
from tfp_flows.scoring import growing, journal, q_values
from tfp_flows.scoring.groups import Scored, folder_of, group_rows
from tfp_flows.scoring.table import COLUMNS, Q_COLUMNS, csv_text

from .images import SHAPE, Killed, run, save_detector, score, write_png

CALIBRATION = 99


def graded(images):
    """A scorer on the grid of 99 calibration images: the lower the first grey level, the more foreign."""
    first = images[:, 0, 0, 0].astype(np.float32)
    p_values = (1 + np.minimum(first, CALIBRATION)) / np.float32(CALIBRATION + 1)
    return {"score": -first, "p_value": p_values.astype(np.float32)}


def dying_graded(at):
    """It dies at a call of that number."""
    calls = itertools.count()

    def function(images):
        if next(calls) >= at:
            raise Killed
        return graded(images)

    return function


def ending(**settings):
    return scoring.Ending(num_calibration=CALIBRATION, **{"fdr": 0.1, "group_by": "folder", **settings})


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder with some images of its own, a foreign folder, and a name that a table must quote."""
    from PIL import Image

    root = tmp_path_factory.mktemp("images")
    levels = {"": range(20, 100, 8), "a, b": (0, 0, 1, 0), "own/deep": range(6, 90, 7)}
    for folder, values in levels.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number, level in enumerate(values):
            image = np.full(SHAPE[:2], level, np.uint8)
            Image.fromarray(image).save(root / folder / f"{number:02d}.png")
    (root / "own" / "none.png").write_bytes(b"none")
    return f"folder:{root}"


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_job_ends_with_q_values_and_verdicts_by_them(source, tmp_path):
    made = ending()
    assert run(source, tmp_path / "x.csv", graded, ending=made) == (26, 1)
    assert run(source, tmp_path / "plain.csv", graded) == (26, 1)
    rows, plain = read(tmp_path / "x.csv"), read(tmp_path / "plain.csv")
    assert tuple(rows[0]) == Q_COLUMNS and tuple(plain[0]) == COLUMNS
    selection = detectors.select([float(r["p_value"]) for r in plain], 0.1, num_calibration=CALIBRATION)
    assert [np.float32(row["q_value"]) for row in rows] == selection.q_values.tolist()
    assert [row["verdict"] for row in rows] == np.where(selection.selected, "out", "in").tolist()
    kept = [name for name in COLUMNS if name != "verdict"]
    assert [[row[name] for name in kept] for row in rows] == [[row[name] for name in kept] for row in plain]
    assert made.q_values.selected == selection.selected.sum() == 3
    assert made.q_values.images == 26 and made.q_values.threshold == selection.threshold
    assert made.lines()[0] == "3 of 26 are called out of distribution: q <= 0.1, p <= 0.01."
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [
        *("plain.csv", "plain.csv.errors.csv", "x.csv", "x.csv.errors.csv", "x.csv.groups.csv")
    ]  # without flags there is no table of groups


def test_a_parquet_table_has_the_same_numbers(source, tmp_path):
    run(source, tmp_path / "x.csv", graded, ending=ending(storey=True))
    run(source, tmp_path / "x.parquet", graded, ending=ending(storey=True))
    table = pyarrow.parquet.read_table(tmp_path / "x.parquet")
    assert tuple(table.column_names) == Q_COLUMNS
    for row, expected in zip(table.to_pylist(), read(tmp_path / "x.csv"), strict=True):
        assert (row["key"], row["verdict"]) == (expected["key"], expected["verdict"])
        assert [np.float32(row[name]) for name in ("p_value", "q_value")] == [
            np.float32(expected[name]) for name in ("p_value", "q_value")
        ]
        assert row["log_prob"] is None and expected["log_prob"] == ""
    groups = [(tmp_path / f"x.{kind}.groups.csv").read_bytes() for kind in ("csv", "parquet")]
    assert groups[0] == groups[1]


def test_groups_are_folders(source, tmp_path):
    made = ending()
    run(source, tmp_path / "x.csv", graded, ending=made)
    rows = read(tmp_path / "x.csv.groups.csv")
    assert [(row["group"], row["images"], row["out"]) for row in rows] == [
        *(("a, b", "4", "3"), ("own/deep", "12", "0"), (".", "10", "0"))
    ]
    p_values = [(1 + level) / 100 for level in (0, 0, 1, 0)]
    assert float(rows[0]["p_value"]) == pytest.approx(
        detectors.group_p_value(p_values, CALIBRATION), rel=1e-5
    )
    assert [row["verdict"] for row in rows] == ["out", "in", "in"]
    assert float(rows[0]["q_value"]) == pytest.approx(
        3 * (1 + 1 / 2 + 1 / 3) * float(rows[0]["p_value"]), 1e-4
    )
    assert made.lines()[-1] == "1 of 3 folders are stranger as a whole: q <= 0.1."
    by_alpha = ending(fdr=None, alpha=0.3)
    run(source, tmp_path / "y.csv", graded, ending=by_alpha)
    assert tuple(read(tmp_path / "y.csv")[0]) == COLUMNS
    verdicts = [
        (float(row["p_value"]) <= 0.3, row["verdict"]) for row in read(tmp_path / "y.csv.groups.csv")
    ]
    assert set(verdicts) == {(True, "out"), (False, "in")}
    assert by_alpha.lines() == [
        f"{sum(out for out, _ in verdicts)} of 3 folders are stranger as a whole: p <= 0.3."
    ]


def test_the_folder_of_a_key():
    assert [folder_of(key) for key in ("a/b/c.png", "c.png", "/a.png", r"\x3da/b")] == [
        "a/b",
        ".",
        ".",
        r"\x3da",
    ]
    rows = [Scored("a/1", 0.5, "in"), Scored("a/2", float("nan"), "in"), Scored("b/3", 1.0, "in")]
    assert [(row.group, row.images) for row in group_rows(rows, 1)] == [("a", 1), ("b", 1)]
    assert group_rows([], 5) == []
    with pytest.raises(scoring.ScoringError, match="0.4 of a/1 is not k / 6"):
        group_rows([Scored("a/1", 0.4, "in")], 5)
    with pytest.raises(scoring.ScoringError, match="`num_calibration`"):
        scoring.Ending(group_by="folder")
    with pytest.raises(scoring.ScoringError, match="must be 'folder' or None, got 'camera'"):
        scoring.Ending(group_by="camera", num_calibration=5)


class _Dying:
    """Dies in its call of that number, before or after what it stands for."""

    def __init__(self, function, at, after):
        self._function, self._at, self._after, self._calls = function, at, after, 0

    def __call__(self, *arguments, **settings):
        self._calls += 1
        if self._calls == self._at and not self._after:
            raise Killed
        found = self._function(*arguments, **settings)
        if self._calls == self._at:
            raise Killed
        return found


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "place, name, at",
    [
        *((growing.os, "replace", number) for number in (2, 3, 4, 5)),
        *((growing.runs, "sync", number) for number in (1, 2, 3, 4)),
        (journal, "group_rows", 1),
        (journal, "counts_of_lines", 1),
        (journal.runs, "write_atomically", 2),
        (journal.runs, "write_atomically", 3),
        (q_values.QValues, "texts", 5),
        (journal.Journal, "_clear", 2),
    ],
)
def test_a_job_that_is_killed_at_its_end_goes_on(
    source, tmp_path, place, name, at, after, kind, monkeypatch
):
    """And ends with the bytes of a job that nothing happened to."""
    run(source, tmp_path / "whole" / f"x.{kind}", graded, ending=ending())
    out = tmp_path / "killed" / f"x.{kind}"
    with monkeypatch.context() as patch:
        patch.setattr(place, name, _Dying(getattr(place, name), at, after))
        if name in ("texts", "_clear"):
            wrapped = getattr(place, name)
            patch.setattr(place, name, lambda *arguments: wrapped(*arguments))
        try:
            run(source, out, graded, ending=ending())
        except Killed:
            pass
        else:
            pytest.skip("there are fewer of these")
    if not out.exists():  # whatever it was, the rows are there, and the scorer is not asked again
        assert run(source, out, dying_graded(0), ending=ending()) == (26, 1)
    elif list(out.parent.glob("*.progress.json")):
        assert run(source, out, dying_graded(0), ending=ending()) == (26, 1)
    expected = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert sorted(path.name for path in out.parent.iterdir()) == expected
    for path in (tmp_path / "whole").iterdir():
        assert (out.parent / path.name).read_bytes() == path.read_bytes(), path.name


def test_an_interrupted_job_goes_on_only_as_what_it_was(source, tmp_path):
    out = tmp_path / "x.csv"
    with pytest.raises(Killed):
        run(source, out, dying_graded(5), ending=ending())
    assert read(f"{out}.part")[0]["verdict"] in ("in", "out") and "q_value" not in read(f"{out}.part")[0]
    for other, words in (
        (ending(fdr=0.2), "another fdr"),
        (ending(storey=True), "another use of storey"),
        (ending(group_by=None), "other groups"),
        (None, "another fdr and other groups"),
    ):
        with pytest.raises(scoring.ScoringError, match=f"is of a job with {words};"):
            run(source, out, graded, ending=other)
    assert run(source, out, graded, ending=ending()) == (26, 1)
    run(source, tmp_path / "whole.csv", graded, ending=ending())
    for end in ("", ".groups.csv", ".errors.csv"):
        assert (tmp_path / f"x.csv{end}").read_bytes() == (tmp_path / f"whole.csv{end}").read_bytes()


def test_a_table_of_groups_of_an_earlier_job_does_not_stay(source, tmp_path):
    (tmp_path / "x.csv.groups.csv").write_text("old\n")
    run(source, tmp_path / "x.csv", graded)
    assert not (tmp_path / "x.csv.groups.csv").exists()


def test_rows_without_p_values_and_nans():
    found = q_values.QValues({0.25: 1, float("nan"): 2, 0.5: 1}, 0.5)
    assert found.images == 4
    q, verdicts = found.of(np.array([0.25, np.nan, 0.5], np.float32))
    np.testing.assert_array_equal(q, np.float32([1, np.nan, 1]))  # the NaNs count as two of p = 1
    assert verdicts.tolist() == ["in", "in", "in"] and found.texts(b"") == (b"", b"")
    q, verdicts = q_values.QValues({0.25: 2}, 0.5).of(np.array([np.nan, 0.25], np.float32))
    np.testing.assert_array_equal(q, np.float32([np.nan, 0.25]))  # a row without one, and none of p = 1
    assert verdicts.tolist() == ["in", "out"]
    lines = csv_text(
        [COLUMNS, ["a,b", 1.0, None, 2.0, 0.25, "out"], ["c", 1.0, None, 2.0, None, ""]]
    ).encode()
    made = list(found.csv_lines(lines.splitlines(keepends=True)))
    assert made[1:] == [b'"a,b",1.0,,2.0,0.25,1.0,in\n', b"c,1.0,,2.0,,,\n"]


class Mapping:
    """A scorer with maps."""

    gives_p_values, map_scale, num_calibration = True, None, CALIBRATION
    __call__ = staticmethod(graded)

    def check_map(self):
        pass

    def score_map(self, images):
        return images[..., 0].astype(np.float32)


def test_maps_are_of_the_images_that_are_called_out_by_their_q_values(source, tmp_path):
    files = scoring.MapFiles(Mapping(), tmp_path / "maps", "out", "m")
    run(source, tmp_path / "x.csv", graded, ending=ending(), maps=files)
    out = [row["key"] for row in read(tmp_path / "x.csv") if row["verdict"] == "out"]
    found = [path.relative_to(tmp_path / "maps").as_posix() for path in (tmp_path / "maps").rglob("*.png")]
    assert sorted(found) == sorted(f"{key}.png" for key in out) and len(out) == 3


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_finished_tables_get_what_a_job_would_have_written(source, tmp_path, kind):
    """In two shards, as of two machines."""
    whole = tmp_path / f"whole.{kind}"
    run(source, whole, graded, ending=ending())
    run(source, tmp_path / f"plain.{kind}", graded)
    if kind == "csv":
        header, *lines = (tmp_path / "plain.csv").read_text().splitlines()
        for number, rows in enumerate((lines[:10], lines[10:])):
            text = "\n".join([header, *rows])  # a last line without an end
            (tmp_path / f"x-{number}.csv").write_text(text)
    else:
        table = pyarrow.parquet.read_table(tmp_path / "plain.parquet")
        pyarrow.parquet.write_table(table.slice(0, 10), tmp_path / "x-0.parquet")
        pyarrow.parquet.write_table(table.slice(10), tmp_path / "x-1.parquet")
    out = tmp_path / f"out.{kind}"
    settings = dict(fdr=0.1, num_calibration=CALIBRATION, group_by="folder")
    made = scoring.select_in_tables(str(tmp_path / f"x-*.{kind}"), out, **settings)
    assert made.lines()[0].startswith("3 of 26 are called out")
    if kind == "csv":
        assert out.read_bytes() == whole.read_bytes()
    else:
        assert pyarrow.parquet.read_table(out).equals(pyarrow.parquet.read_table(whole))
    assert (tmp_path / f"out.{kind}.groups.csv").read_bytes() == (
        tmp_path / f"whole.{kind}.groups.csv"
    ).read_bytes()
    with pytest.raises(scoring.ScoringError, match="is there already"):
        scoring.select_in_tables([tmp_path / f"x-0.{kind}"], out)


def test_what_are_no_tables_is_refused(tmp_path):
    def refused(words, text=None, **settings):
        if text is not None:
            (tmp_path / "x.csv").write_text(text)
        with pytest.raises((scoring.ScoringError, DetectorError), match=words) as error:
            scoring.select_in_tables(tmp_path / "x.csv", tmp_path / "y.csv", **settings)
        assert "\n" not in str(error.value) and not (tmp_path / "y.csv").exists()

    header = ",".join(COLUMNS)
    refused("there is no table")
    refused("has not the columns", "a,b\n")
    refused("no row with a p-value", f"{header}\na,1,1,1,,\n")
    refused("a line that is no row", f"{header}\na,1\n")
    refused("'x' is no number", f"{header}\na,1,1,1,x,in\n")
    refused("must be in", f"{header}\na,1,1,1,1.5,in\n")
    refused("`fdr` must be in", fdr=2)
    refused("`num_calibration`", group_by="folder")
    with pytest.raises(scoring.ScoringError, match="must end in"):
        scoring.select_in_tables(tmp_path / "x.csv", tmp_path / "y.parquet")


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    """Calibrated with 20 images."""
    return save_detector(tmp_path_factory.mktemp("detector") / "detector")


def test_score_command_with_fdr(tmp_path, detector):
    (tmp_path / "in" / "cam1").mkdir(parents=True)
    for number in range(6):
        write_png(tmp_path / "in" / "cam1" / f"{number}.png", number)
    images = f"folder:{tmp_path / 'in'}"
    result = score(images, tmp_path / "x.csv", detector, "--fdr=0.1", "--group_by=folder").wait()
    assert result.returncode == 0, result.stderr
    assert "of 6 are called out of distribution: q <= 0.1" in result.stdout
    assert "of 1 folders are stranger as a whole: q <= 0.1" in result.stdout
    rows = read(tmp_path / "x.csv")
    selection = detectors.select([float(row["p_value"]) for row in rows], 0.1, num_calibration=20)
    assert [np.float32(row["q_value"]) for row in rows] == selection.q_values.tolist()
    assert "nothing has a q-value of 0.1 or less unless 3 or more" in result.stdout  # 6 / (21 x 0.1)
    assert read(tmp_path / "x.csv.groups.csv")[0]["group"] == "cam1"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--fdr=0.01",), "--fdr: 20 calibration images cannot give a q-value of 0.01"),
        (("--fdr=1",), "--fdr must be in (0, 1)"),
        (("--fdr=0.1", "--alpha=0.1"), "--fdr and --alpha"),
        (("--storey",), "give --fdr too"),
        (("--group_by=folder", "--images=noise"), "images of noise have no folders"),
        (
            ("--fdr=0.1", "--runner=DirectRunner"),
            "--fdr: not with --runner; q-values need all rows: when the job is done without it, "
            "tfp_flows.scoring.select_in_tables('x-*-of-*.csv', 'selected.csv') adds them.",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_scored(tmp_path, detector, arguments, words):
    result = score("digits", "x.csv", detector, *arguments, cwd=tmp_path).wait()
    assert result.returncode == 1 and words in result.stderr and not list(tmp_path.iterdir())
