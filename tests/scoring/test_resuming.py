"""A job that goes on: whatever happened to its source and its files, each image has one row."""

import json
import pathlib
import threading
import warnings

import numpy as np
import pytest

from tfp_flows import scoring
from tfp_flows.data import streams
from tfp_flows.runs import InUseError
from tfp_flows.scoring.done import Done
from tfp_flows.scoring.growing import Entry
from tfp_flows.scoring.journal import Journal
from tfp_flows.scoring.table import ScoredImage

from .images import Killed, dying, example, image, keys, rows, run, scorer, write_png, write_records


def test_what_is_done_is_a_multiset():
    done = Done(["a", "b", "a", "\udcff"])
    assert len(done) == 4
    assert [done(key) for key in ("c", "a", "a", "a", "b", "b", "\udcff")] == [
        False, True, True, False, True, False, True,
    ]  # fmt: skip
    assert len(done) == 0 and not Done()("a") and len(Done()) == 0


def test_digests_that_end_in_zeros_are_told_apart(monkeypatch):
    digests = {"a": bytes(16), "b": b"\1" + bytes(15), "c": bytes(15) + b"\1"}
    monkeypatch.setattr("tfp_flows.scoring.done._digest", digests.__getitem__)
    done = Done(["a", "c"])
    assert [done(key) for key in "bacac"] == [False, True, True, False, False]


def _folder(path, numbers):
    path.mkdir()
    for number in numbers:
        write_png(path / f"{number:02d}.png", number)
    return path


# What files that come later hold.
NEW = {"00.png": 0, "125.png": 1, "99.png": 2, "98.png": 11, "01.png": 18}


def _remove(folder):
    (folder / "10.png").unlink()  # done
    (folder / "17.png").unlink()  # not done


def _add(folder):
    write_png(folder / "00.png", 0)
    write_png(folder / "125.png", 1)
    write_png(folder / "99.png", 2)


def _rename(folder):
    (folder / "11.png").rename(folder / "98.png")
    (folder / "18.png").rename(folder / "01.png")


def _everything(folder):
    _remove(folder)
    _add(folder)
    _rename(folder)


@pytest.mark.parametrize("change", [_remove, _add, _rename, _everything])
def test_files_may_come_and_go_in_between(tmp_path, change):
    folder = _folder(tmp_path / "images", range(10, 20))
    (folder / "13.png").write_bytes(b"none")
    out = tmp_path / "x.csv"
    with pytest.raises(Killed) as killed:
        run(f"folder:{folder}", out, dying(3))
    assert (
        "x.csv.part, x.csv.errors.part and x.csv.progress.json; the same command"
        in killed.value.__notes__[0]
    )
    before = {path.name for path in folder.iterdir()}
    change(folder)
    now = {path.name for path in folder.iterdir()}
    done = {"10.png", "11.png", "12.png", "13.png", "14.png", "15.png"}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        counts = run(f"folder:{folder}", out)
    assert sorted(keys(out)) == sorted(now | done) and sum(counts) == len(now | done)
    for row in rows(out):
        number = NEW.get(row["key"], int(row["key"][:2]))
        assert np.float32(row["score"]) == scorer(image(number)[np.newaxis])["score"][0]
    gone = sorted((before - now) & done)
    assert len(said) == bool(gone)
    if gone:
        assert f"{len(gone)} of the rows" in str(said[0].message)
        assert f"not in folder:{folder} any more: {', '.join(gone)}." in str(said[0].message)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images", "x.csv", "x.csv.errors.csv"]


def _scores(out):
    return sorted(np.float32(row["score"]) for row in rows(out))


def _expected(numbers):
    return sorted(scorer(image(n)[np.newaxis])["score"][0] for n in numbers)


def test_records_are_known_by_what_they_hold(tmp_path):
    """Keys are in two files, the very same record is in two, files are renamed, added, removed."""
    same = example(50, b"same")
    write_records(tmp_path / "b.tfrecord", [example(1, b"a"), example(2, b"b"), same, example(3)])
    write_records(tmp_path / "c.tfrecord", [example(4, b"a"), same, example(5, b"c"), b"none"])
    name, out = f"tfrecord:{tmp_path}/*.tfrecord", tmp_path / "x.csv"
    with pytest.raises(Killed):
        run(name, out, dying(2), batch_size=1)  # 1, 2 are done
    (tmp_path / "b.tfrecord").rename(tmp_path / "z.tfrecord")
    write_records(tmp_path / "a.tfrecord", [example(6, b"d"), example(7, b"b")])
    with pytest.raises(Killed):
        run(name, out, dying(4), batch_size=1)  # 6, 7, 4 and one of the two that are the same
    (tmp_path / "a.tfrecord").unlink()
    with pytest.warns(UserWarning, match=r"2 of the rows are .* any more: d, b\."):
        assert run(name, out, batch_size=1) == (9, 1)
    assert _scores(out) == _expected([1, 2, 3, 4, 5, 6, 7, 50, 50])
    error = rows(f"{out}.errors.csv")
    assert [row["key"] for row in error] == [f"{tmp_path}/c.tfrecord:3"]


def test_without_a_change_the_table_is_that_of_an_uninterrupted_job(tmp_path):
    images = np.stack([image(n) for n in range(23)])
    np.savez(tmp_path / "a.npz", images=images[:9], test=images[9:, ..., 0])
    name = f"npz:{tmp_path / 'a.npz'}"
    run(name, tmp_path / "whole.csv")
    for _ in range(30):
        try:
            run(name, tmp_path / "parts.csv", dying(1), batch_size=3)
            break
        except Killed:
            continue
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def _interrupted(tmp_path):
    folder = _folder(tmp_path / "images", range(10, 20))
    (folder / "11.png").write_bytes(b"none")
    with pytest.raises(Killed):
        run(f"folder:{folder}", tmp_path / "x.csv", dying(2))
    return f"folder:{folder}", tmp_path / "x.csv"


@pytest.mark.parametrize("rest", [b"half a ro", b"\0" * 50, b"\0\0\0,1,2\n14.png,1,2,3,4,in,\n"])
def test_what_a_crash_leaves_behind_the_last_whole_row_is_cut_off(tmp_path, rest):
    name, out = _interrupted(tmp_path)
    for part in (f"{out}.part", f"{out}.errors.part"):
        with open(part, "ab") as file:
            file.write(rest)
    assert run(name, out) == (9, 1)
    assert keys(out) == [f"{n}.png" for n in range(10, 20) if n != 11] + ["11.png"]


def test_a_note_that_is_older_than_the_tables_loses_nothing(tmp_path):
    """As kill -9 leaves it: the note is of the beginning."""
    name, out = _interrupted(tmp_path)
    note = pathlib.Path(f"{out}.progress.json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "counts": [0, 0], "rows": 0, "errors": 0}))
    assert run(name, out) == (9, 1) and len(set(keys(out))) == 10


@pytest.mark.parametrize(
    "text", ["", "{", "null", "3", "[]", '{"format": 2}', "[" * 100_000, '{"format": 2, "job": 3}', "\ud800"]
)
def test_a_damaged_note_is_one_line_that_says_what_to_do(tmp_path, text):
    name, out = _interrupted(tmp_path)
    note = pathlib.Path(f"{out}.progress.json")
    note.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(scoring.ScoringError, match="remove it to begin anew") as error:
        run(name, out)
    assert "\n" not in str(error.value)
    note.unlink()
    assert run(name, out) == (9, 1)


def test_a_table_that_was_cut_by_somebody_is_refused(tmp_path):
    name, out = _interrupted(tmp_path)
    part = pathlib.Path(f"{out}.part")
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(scoring.ScoringError, match="x.csv.part is shorter than .* to begin anew"):
        run(name, out)


@pytest.mark.parametrize(
    "job, words",
    [
        (scoring.Job("{}", "other", 0.05), "another model"),
        (scoring.Job("{}", "model", 0.1), "another alpha"),
        (scoring.Job("other", "model", 0.05), "other images"),
        (scoring.Job("other", "other", 0.05), "other images and another model"),
    ],
)
def test_another_job_is_told_which_and_what_to_do(tmp_path, job, words):
    name, out = _interrupted(tmp_path)
    other = scoring.Job(job.images.format(name), job.model, job.alpha)
    with pytest.raises(scoring.ScoringError, match=f"is of a job with {words}; finish that one") as error:
        run(name, out, job=other)
    assert "to begin anew" in str(error.value)
    assert run(name, out) == (9, 1)  # nothing was touched


def test_two_jobs_on_one_table_and_two_on_two(tmp_path):
    folder = _folder(tmp_path / "images", range(10, 20))
    name, out = f"folder:{folder}", tmp_path / "x.csv"
    begun, end = threading.Event(), threading.Event()

    def slow(images):
        begun.set()
        end.wait(60)
        return scorer(images)

    first = threading.Thread(target=run, args=(name, out, slow))
    first.start()
    begun.wait(60)
    with pytest.raises(InUseError, match="`out`: .*x.csv is in use") as error:
        run(name, out)
    assert "\n" not in str(error.value)
    assert run(name, tmp_path / "y.csv") == (10, 0)
    end.set()
    first.join()
    assert out.read_bytes() == (tmp_path / "y.csv").read_bytes()
    assert not list(tmp_path.glob("*.lock"))


def test_a_finished_job_that_was_killed_before_it_cleared_up_says_its_counts(tmp_path, monkeypatch):
    folder = _folder(tmp_path / "images", range(10, 16))
    out = tmp_path / "x.csv"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("tfp_flows.scoring.journal.Journal._clear", _dies)
        run(f"folder:{folder}", out)
    assert out.exists()
    assert run(f"folder:{folder}", out) == (6, 0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images", "x.csv", "x.csv.errors.csv"]
    with pytest.raises(scoring.ScoringError, match="is there already"):
        run(f"folder:{folder}", out)


def _dies(self):
    if self._out.exists():
        raise Killed


def test_a_job_that_failed_before_its_first_row_leaves_nothing(tmp_path):
    folder = _folder(tmp_path / "images", range(10, 14))
    with pytest.raises(Killed) as killed:
        run(f"folder:{folder}", tmp_path / "x.csv", dying(0))
    assert not getattr(killed.value, "__notes__", ())
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_skipping_decodes_nothing(tmp_path, monkeypatch):
    folder = _folder(tmp_path / "images", range(10, 14))
    monkeypatch.setattr(streams, "decoded", None)
    assert not list(streams.stream(f"folder:{folder}", (4, 4, 1), skip=lambda identity: True))


def test_an_interruption_between_the_rows_and_their_count(tmp_path):
    """What is noted is of one moment: as many rows as are counted, in as many bytes."""
    out = Journal(tmp_path / "x.csv", {"alpha": 0.05})
    out.begin()
    rows = [Entry(ScoredImage(f"{i}.png", -1.0, 2.0, None, None, None), "") for i in range(4)]
    out.append(rows[:2], [])

    def interrupted(entries):
        raise KeyboardInterrupt

    out._errors.append = interrupted
    with pytest.raises(KeyboardInterrupt):
        out.append(rows[2:], [])
    out.pause()
    noted = json.loads((tmp_path / "x.csv.progress.json").read_text())
    text = (tmp_path / "x.csv.part").read_bytes()
    assert text.count(b"\n") == 5 and noted["counts"] == [2, 0]
    assert text[: noted["rows"]].count(b"\n") == 3
    again = Journal(tmp_path / "x.csv", {"alpha": 0.05})
    assert len(again.begin()) == 4 and again.counts == (4, 0)
