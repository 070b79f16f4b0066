"""Scoring on Apache Beam: the rows of the local way, whoever's pipeline it is."""

import functools
import glob
import io
import os
import pathlib
import subprocess
import sys
import tempfile
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet
import pytest
import tensorflow as tf
from PIL import Image

beam = pytest.importorskip("apache_beam")
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import RunnerResult
from apache_beam.testing.util import BeamAssertException, assert_that, equal_to

from tfp_flows import data, scoring
from tfp_flows.data import DataError, streams
from tfp_flows.scoring.beam import ScoreImages
from tfp_flows.scoring.beam_job import BeamJob, Source
from tfp_flows.serving.exported_model import ExportedModel, ExportedModelError

pytestmark = pytest.mark.beam
ROOT = pathlib.Path(__file__).resolve().parents[2]
SHAPE = (8, 8, 1)
BATCH = 16
TWO_PROCESSES = "--direct_num_workers=2 --direct_running_mode=multi_processing"


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", "test").images


@pytest.fixture(scope="module")
def exported(tmp_path_factory, make_run, make_export):
    """An exported Glow with its detector."""
    folder = tmp_path_factory.mktemp("beam")
    make_run(folder, "glow")
    make_export(folder, "glow")
    return folder / "exported"


def _folder(path, digits):
    """Three pieces of a folder, with a file that is no picture and one of another shape."""
    path.mkdir()
    for i in range(150):
        Image.fromarray(digits[i, ..., 0]).save(path / f"{i:03d}.png")
    (path / "003.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros([4, 4], np.uint8)).save(path / "105.png")
    return f"folder:{path}"


def _archive(path, digits):
    path.mkdir()
    np.savez(path / "a.npz", test=np.concatenate([digits] * 3), train=digits[:7, ..., 0])
    return f"npz:{path / 'a.npz'}"


def _records(path, digits):
    """Three files, the last of which is damaged; some images have a key."""
    path.mkdir()
    for number in range(3):
        with tf.io.TFRecordWriter(str(path / f"{number}.tfrecord")) as writer:
            for i in range(40 * number, 40 * number + 40):
                texts = {"image": tf.io.encode_png(digits[i]).numpy()}
                texts |= {"key": f"digit {i}".encode()} if i % 2 else {}
                writer.write(_example(texts))
    last = path / "2.tfrecord"
    last.write_bytes(last.read_bytes()[:-10])
    return f"tfrecord:{path / '*.tfrecord'}"


def _example(texts):
    features = {k: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for k, v in texts.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _local(exported, name, out):
    """The local table and its errors, as sorted lines."""
    open_stream = functools.partial(streams.stream, name, SHAPE)
    job = scoring.Job(name, "model", 0.05)
    scoring.score_stream(
        ExportedModel(exported, BATCH), lambda n: open_stream(skip=n), out, job, BATCH, False
    )
    return _lines([out]), _lines([f"{out}.errors.csv"])


def _lines(paths):
    """The header of CSV files, which must be the same in all, and all their other lines, sorted."""
    texts = [pathlib.Path(path).read_text(encoding="utf-8").splitlines() for path in paths]
    (header,) = {text[0] for text in texts}
    return [header, *sorted(line for text in texts for line in text[1:])]


@pytest.mark.parametrize("source", [_folder, _archive, _records])
def test_two_processes_write_the_lines_of_the_local_way(exported, tmp_path, digits, source):
    name = source(tmp_path / "images", digits)
    rows, errors = _local(exported, name, tmp_path / "local.csv")
    out = str(tmp_path / "made" / "beam.csv")
    counts = BeamJob(exported, Source(name), out, 0.05, BATCH).run("DirectRunner", TWO_PROCESSES)
    assert _lines(glob.glob(str(tmp_path / "made" / "beam-*-of-*.csv"))) == rows
    assert _lines([f"{out}.errors.csv"]) == errors
    assert counts == (len(rows) - 1, len(errors) - 1) and counts.scored > 100


def test_score_command(exported, tmp_path, digits):
    """One file where one is asked for, exit status 3, one line where the table is there already."""
    name = _folder(tmp_path / "images", digits)
    rows, errors = _local(exported, name, tmp_path / "local.csv")
    out = tmp_path / "beam.csv"
    command = [sys.executable, "-m", "tfp_flows.score", f"--model={exported}", f"--images={name}"]
    command += [f"--out={out}", f"--batch_size={BATCH}", "--runner=DirectRunner", "--num_shards=1"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 3, result.stderr
    assert result.stdout.startswith("148 images scored, 2 could not be read") and result.stderr == ""
    assert _lines([out]) == rows and _lines([f"{out}.errors.csv"]) == errors
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 1 and "is there already" in again.stderr
    assert again.stderr.strip().count("\n") == 0


def test_parquet(exported, tmp_path, digits):
    name = _archive(tmp_path / "images", digits)
    local = tmp_path / "local.parquet"
    _score_locally_to_parquet(exported, name, local)
    BeamJob(exported, Source(name), str(tmp_path / "b.parquet"), 0.05, BATCH, 1).run("DirectRunner")
    tables = [pyarrow.parquet.read_table(path).sort_by("key") for path in (local, tmp_path / "b.parquet")]
    assert tables[0].equals(tables[1])


def _score_locally_to_parquet(exported, name, out):
    open_stream = functools.partial(streams.stream, name, SHAPE)
    job = scoring.Job(name, "model", 0.05)
    scoring.score_stream(
        ExportedModel(exported, BATCH), lambda n: open_stream(skip=n), out, job, BATCH, False
    )


def _png(image):
    text = io.BytesIO()
    Image.fromarray(image[..., 0]).save(text, "PNG")
    return text.getvalue()


def test_in_a_pipeline_of_ones_own(exported, digits):
    """Arrays, pictures and Items in; rows and errors out, from two processes."""
    good = [(f"{i:03d}", digits[i] if i % 2 else _png(digits[i])) for i in range(60)]
    bad = [
        ("text", b"no picture"),
        ("small", digits[0, :4]),
        ("floats", digits[0] / 255.0),
        streams.Item("lost", None, "the disk is gone"),
    ]
    expected = scoring.score_items(
        ExportedModel(exported), [streams.Item(key, digits[i]) for i, (key, _) in enumerate(good)], 0.3
    )

    def two(pids):
        if len(set(pids)) != 2:
            raise BeamAssertException(f"processes {set(pids)}")

    options = PipelineOptions(["--runner=FnApiRunner", *TWO_PROCESSES.split()])
    with beam.Pipeline(options=options) as pipeline:
        found = pipeline | beam.Create(good + bad) | beam.Reshuffle() | ScoreImages(exported, alpha=0.3)
        assert_that(found.scores, equal_to(expected), label="rows")
        kinds = found.errors | beam.Map(lambda row: (row.key, row.error.split(":")[0]))
        assert_that(
            kinds,
            equal_to(
                [
                    ("text", "cannot be read as a picture"),
                    ("small", "is 4x8x1, but 8x8x1 is wanted"),
                    ("floats", "is float64, but uint8 is wanted"),
                    ("lost", "the disk is gone"),
                ]
            ),
            label="errors",
        )
        assert_that(found.scores | "Pids" >> beam.Map(lambda row: os.getpid()), two, label="processes")


def test_rows_have_a_schema(exported, digits):
    """Later steps use the columns by name."""
    with beam.Pipeline("FnApiRunner") as pipeline:
        found = pipeline | beam.Create([(str(i), digits[i]) for i in range(20)]) | ScoreImages(exported)
        counts = found.scores | beam.GroupBy("verdict").aggregate_field(
            "key", beam.combiners.CountCombineFn(), "count"
        )
        total = counts | beam.Map(lambda row: row.count) | beam.CombineGlobally(sum)
        assert_that(total, equal_to([20]))


@pytest.mark.parametrize("read, message", [(7, "7 images read, but 4 scored and 2"), (None, "no images")])
def test_counters_that_do_not_add_up_are_an_error(exported, tmp_path, digits, monkeypatch, read, message):
    values = {} if read is None else {"read": read, "scored": 4, "failed": 2}
    counters = [
        SimpleNamespace(key=SimpleNamespace(metric=SimpleNamespace(name=name)), result=value)
        for name, value in values.items()
    ]
    metrics = SimpleNamespace(query=lambda wanted: {"counters": counters})
    monkeypatch.setattr(RunnerResult, "metrics", lambda self: metrics)
    np.savez(tmp_path / "a.npz", test=digits[:6])
    job = BeamJob(exported, Source(f"npz:{tmp_path / 'a.npz'}"), str(tmp_path / "s.csv"))
    with pytest.raises(scoring.ScoringError, match=message):
        job.run("DirectRunner")


def test_what_cannot_be_scored_is_one_line(exported, tmp_path, digits, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where the workers' log is kept
    name, out = _archive(tmp_path / "images", digits), str(tmp_path / "s.csv")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "signature.json").write_text((exported / "signature.json").read_text())
    (tmp_path / "t-00000-of-00001.csv").write_text("mine")
    with pytest.raises(ExportedModelError, match="is no exported model"):
        ScoreImages(tmp_path)
    with pytest.raises(scoring.ScoringError, match="`alpha` must be in"):
        ScoreImages(exported, alpha=1.0)
    for model, images, path, runner, args, error, message in (
        (tmp_path, name, out, "DirectRunner", "", ExportedModelError, "is no exported model"),
        (broken, name, out, "DirectRunner", "", scoring.ScoringError, "is no exported model.*log: "),
        (exported, "npz:nowhere.npz", out, "DirectRunner", "", DataError, "no such file"),
        (exported, name, str(tmp_path / "t.csv"), "DirectRunner", "", scoring.ScoringError, "there already"),
        (exported, name, "s.txt", "DirectRunner", "", scoring.ScoringError, "must end in"),
        (exported, name, out, "MyRunner", "", scoring.ScoringError, "MyRunner"),
        (exported, name, out, "DirectRunner", "--direct_num_workers=x", scoring.ScoringError, "invalid int"),
        (exported, name, out, "DirectRunner", "--number=2", scoring.ScoringError, "has no option number"),
    ):
        with pytest.raises(error, match=message) as caught:
            BeamJob(model, Source(images), path).run(runner, args)
        assert "\n" not in str(caught.value)
    assert not glob.glob(str(tmp_path / "s*.csv"))
