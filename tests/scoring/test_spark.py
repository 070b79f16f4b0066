"""Scoring on Apache Spark: the rows of the local way, each once, a worker lost or not."""

import io
import shutil
import sys

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

pytest.importorskip("pyspark")
if not shutil.which("java"):
    pytest.skip("there is no Java", allow_module_level=True)

from pyspark.sql import SparkSession

from tests.documents import pages
from tests.scoring import spark_cluster
from tfp_flows import data, scoring
from tfp_flows.scoring import spark
from tfp_flows.serving.exported_model import ExportedModelError

BATCH = 16


@pytest.fixture(scope="module")
def exported(tmp_path_factory, make_run, make_export):
    folder = tmp_path_factory.mktemp("spark")
    make_run(folder, "glow")
    make_export(folder, "glow")
    return folder / "exported"


@pytest.fixture
def cluster(tmp_path):
    (tmp_path / "cluster").mkdir()
    made = spark_cluster.Cluster(tmp_path / "cluster")
    yield made
    made.stop()


def test_every_row_comes_once_though_a_worker_is_lost(exported, cluster, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, [2_000, 8, 8, 1]).astype(np.uint8)
    spark_cluster.write_pictures(tmp_path / "pictures", images, part=100)
    _, lost = spark_cluster.score(
        cluster, tmp_path / "pictures", exported, tmp_path / "out", partitions=20, lose=0
    )
    assert lost and cluster.workers[0].wait() < 0 and cluster.workers[1].poll() is None
    counts = spark_cluster.compared(spark_cluster.read(tmp_path / "out"), exported, images)
    assert counts == {"images": 2_000, "rows": 2_000, "keys": 2_000, "equal": 2_000}


def test_the_example_of_the_page(exported, tmp_path, monkeypatch):
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(exported, "exported")
    (tmp_path / "pictures").mkdir()
    for i, image in enumerate(data.load("digits", "test").images[:30]):
        (tmp_path / "pictures" / f"{i}.png").write_bytes(_png(image[..., 0]))
    codes = pages.blocks(pages.ROOT / "docs" / "scoring_at_scale.md", "python")
    (code,) = (code for code in codes if "spark" in code)
    session = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    try:
        exec(code, {"session": session})
    finally:
        session.stop()
    found = pyarrow.parquet.read_table("scores").to_pydict()
    assert len(set(found["key"])) == 30 and found["error"] == [None] * 30


def _png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_what_cannot_be_read_has_an_error_in_the_place_of_numbers(exported, cluster):
    digits = data.load("digits", "test").images[:40]
    rows = [(f"{i}.png", bytearray(_png(image[..., 0]))) for i, image in enumerate(digits)]
    rows += [
        ("=text", bytearray(b"no picture")),
        ("small", bytearray(_png(digits[0, :4, :, 0]))),
        ("none", None),
    ]
    with spark_cluster.session(cluster) as session:
        frame = session.createDataFrame(rows, "path string, content binary").repartition(3)
        found = spark.score_images(frame, exported, "path", "content", 0.3, BATCH)
        by_key = {row["key"]: row for row in found.collect()}
        outside = found.where("verdict = 'out' and error is null").count()
        for arguments, error, message in (
            (dict(key="name"), scoring.ScoringError, "`key`: there is no column 'name'"),
            (dict(alpha=1.5), scoring.ScoringError, "`alpha` must be in"),
            (dict(model="nowhere"), ExportedModelError, "is no exported model"),
        ):
            given = dict(model=exported, key="path", image="content") | arguments
            with pytest.raises(error, match=message):
                spark.score_images(frame, **given)
    assert len(by_key) == 43 and outside == sum(row["verdict"] == "out" for row in by_key.values())
    expected = spark_cluster.expected_rows(exported, digits, [f"{i}.png" for i in range(40)], BATCH, 0.3)
    for row in expected:
        assert tuple(by_key[row.key]) == (*row, None)
    failed = {key: row["error"] for key, row in by_key.items() if row["error"] is not None}
    assert set(failed) == {"\\x3dtext", "small", "none"}
    assert failed["small"] == "is 4x8x1, but 8x8x1 is wanted" and failed["none"] == "there is no picture"
    assert by_key["small"]["log_prob"] is None and by_key["small"]["verdict"] is None
