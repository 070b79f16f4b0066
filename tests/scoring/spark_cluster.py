r"""A cluster of Spark's own on this machine: a master and two workers, each a process, one of which is lost.

    python -m tests.scoring.spark_cluster --model=exported --images=100000  (extra `spark`, and Java)

scores as many small pictures, kills a worker with all of its processes when a quarter is done, and says how
many rows came back, how many keys they have, and whether the numbers are those of the local way.
"""

import argparse
import contextlib
import io
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import pyarrow.dataset
import pyarrow.parquet
import pyspark
from PIL import Image
from pyspark.sql import SparkSession

from tfp_flows.data import streams
from tfp_flows.scoring import score_items, spark
from tfp_flows.serving.exported_model import ExportedModel

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOME = pathlib.Path(pyspark.__file__).parent
CORES = 1  # of a worker: one task at a time


class Cluster:
    """A master and its workers, each in a process group of its own."""

    def __init__(self, folder, workers=2):
        self._folder = pathlib.Path(folder)
        self._environment = dict(os.environ, SPARK_HOME=str(HOME), PYSPARK_PYTHON=sys.executable)
        self._environment["PYTHONPATH"] = str(ROOT)
        self.master = self._start(
            "master", "master.Master", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0"
        )
        self.address = self._wait_for("master", "Starting Spark master at (spark://[^ \n]+)")
        self.workers = [self._worker(i) for i in range(workers)]
        for i in range(workers):
            self._wait_for(f"worker{i}", "(Successfully registered with master)")

    def _worker(self, number):
        options = ["--host", "127.0.0.1", "--cores", str(CORES), "--memory", "2g", "--webui-port", "0"]
        options += ["--work-dir", str(self._folder / f"work{number}")]
        return self._start(f"worker{number}", "worker.Worker", *options, self.address)

    def _start(self, name, kind, *options):
        command = [HOME / "bin" / "spark-class", f"org.apache.spark.deploy.{kind}", *options]
        with open(self._folder / f"{name}.log", "w") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )

    def _wait_for(self, name, pattern, timeout=300.0):
        import re

        end = time.monotonic() + timeout
        while time.monotonic() < end:
            text = (self._folder / f"{name}.log").read_text(errors="replace")
            if found := re.search(pattern, text):
                return found[1]
            time.sleep(0.2)
        raise TimeoutError(f"{name} did not start\n{text}")

    def lose(self, number):
        """Kills a worker, its executor and its Python processes, as a machine that is switched off."""
        os.killpg(self.workers[number].pid, signal.SIGKILL)

    def stop(self):
        for process in (*self.workers, self.master):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def session(cluster):
    os.environ["PYSPARK_PYTHON"] = sys.executable  # what the workers run, too
    builder = SparkSession.builder.master(cluster.address).appName("tfp_flows")
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.executor.memory": "512m",
        "spark.executor.cores": str(CORES),
        "spark.executorEnv.PYTHONPATH": str(ROOT),
        "spark.executorEnv.TF_CPP_MIN_LOG_LEVEL": "3",
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    try:
        yield made
    finally:
        made.stop()


def write_pictures(path, images, part=1_000):
    """Keys and PNGs of images `[N, H, W, 1]`, in files of Parquet of `part` rows."""
    pathlib.Path(path).mkdir()
    for start in range(0, len(images), part):
        pictures = []
        for image in images[start : start + part]:
            file = io.BytesIO()
            Image.fromarray(image[..., 0]).save(file, "PNG")
            pictures.append(file.getvalue())
        keys = [f"{start + i:07d}" for i in range(len(pictures))]
        rows = pyarrow.table({"key": keys, "image": pyarrow.array(pictures, pyarrow.binary())})
        pyarrow.parquet.write_table(rows, pathlib.Path(path) / f"{start:07d}.parquet")


def score(cluster, pictures, exported, out, batch_size=128, partitions=None, lose=None):
    """Scores Parquet files of pictures into Parquet files; kills worker `lose` when a quarter is written.

    Returns:
      (seconds, whether a worker was killed while there was work).
    """
    lost, done = threading.Event(), threading.Event()

    def watch():
        while not done.wait(0.05):
            finished = list(pathlib.Path(out).rglob("part-*.parquet"))
            if len(finished) >= partitions / 4:
                cluster.lose(lose)
                lost.set()
                return

    with session(cluster) as spark_session:
        frame = spark_session.read.parquet(str(pictures)).repartition(partitions)
        found = spark.score_images(frame, exported, batch_size=batch_size)
        thread = threading.Thread(target=watch)
        if lose is not None:
            thread.start()
        started = time.perf_counter()
        found.write.parquet(str(out))
        seconds = time.perf_counter() - started
        done.set()
        if lose is not None:
            thread.join()
    return seconds, lost.is_set()


def read(out):
    """The rows that were written, by key."""
    return pyarrow.dataset.dataset(out, format="parquet").to_table().sort_by("key")


def expected_rows(exported, images, keys, batch_size=128, alpha=0.05):
    """The rows of this process."""
    model, rows = ExportedModel(exported, batch_size), []
    for start in range(0, len(images), batch_size):
        batch = zip(keys[start : start + batch_size], images[start : start + batch_size], strict=True)
        rows += score_items(model, [streams.Item(key, image) for key, image in batch], alpha)
    return rows


def compared(rows, exported, images):
    """How many rows and keys there are, and how many rows equal those of this process."""
    expected = expected_rows(exported, images, [f"{i:07d}" for i in range(len(images))])
    found = list(zip(*(rows[name].to_pylist() for name in expected[0]._fields), strict=True))
    same = sum(tuple(mine) == theirs for mine, theirs in zip(expected, found, strict=False))
    return {"images": len(images), "rows": len(found), "keys": len({row[0] for row in found}), "equal": same}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--model", required=True, help="an export of a model of 8x8x1 images")
    options = parser.parse_args()
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, [options.images, 8, 8, 1]).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_pictures(folder / "pictures", images)
        cluster = Cluster(folder)
        try:
            seconds, lost = score(
                cluster,
                folder / "pictures",
                os.path.abspath(options.model),
                folder / "out",
                partitions=200,
                lose=0,
            )
            log = (folder / "master.log").read_text(errors="replace")
        finally:
            cluster.stop()
        rows = read(folder / "out")
    print(f"{seconds:.0f} s; worker lost: {lost}; removed by the master: {log.count('Removing worker')}")
    print(compared(rows, options.model, images))


if __name__ == "__main__":
    main()
