"""Loads a set as a command: `python -m tests.data.loader NAME LIMIT_MIB CACHE_DIR [measure]`.

Says a digest of it; or with `measure` how much the process's own memory grew over making and reading it.
"""

import hashlib
import json
import pathlib
import re
import sys
import threading

import numpy as np

from tfp_flows import data
from tfp_flows.data.operations import channel_means


def anonymous_bytes():
    """RssAnon: memory that is this process's own, without files that it maps."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(re.search(r"RssAnon:\s+(\d+) kB", status)[1])


class Peak:
    """The largest `anonymous_bytes` while it is open."""

    def __enter__(self):
        self.most, self._done = anonymous_bytes(), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._done.set()
        self._thread.join()

    def _watch(self):
        while not self._done.wait(0.002):
            self.most = max(self.most, anonymous_bytes())


def main(name, limit, cache_dir, *measure):
    where = dict(memory_limit_mib=float(limit), cache_dir=cache_dir)
    if not measure:
        whole = data.load(name, "all", **where)
        print(hashlib.sha256(str(whole.keys).encode() + np.asarray(whole.images).tobytes()).hexdigest())
        return
    data.load("digits", "train")  # whatever is imported late
    next(iter(data.training_batches(data.load("digits", "train"), 16, 0)))
    before = anonymous_bytes()
    with Peak() as peak:
        train = data.load(name, "train", **where)
        channel_means(train.images)
        for batch in data.training_batches(train, 16, 0, num_steps=40):
            assert batch.shape[1:] == train.image_shape
        for batch in data.evaluation_batches(train, 16):
            assert batch.shape[1:] == train.image_shape
    print(json.dumps({"bytes": train.images.nbytes, "RssAnon": peak.most - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
