"""Streams lose nothing, hang on nothing, and hold what they must."""

import os
import zipfile

import numpy as np
import pytest

from tests.scoring.images import example, rows, run, write_records
from tfp_flows.data import DataError

# What `score` reads: tests/data/test_damaged_sources.py has every form of these.


def test_case_45_a_cut_file_of_records_and_empty_arrays_are_error_rows(tmp_path):
    write_records(tmp_path / "a.tfrecord", [example(1)])
    write_records(tmp_path / "b.tfrecord", [example(2)])
    whole = (tmp_path / "a.tfrecord").read_bytes()
    for length in range(12):
        (tmp_path / "a.tfrecord").write_bytes(whole[:length])
        out = tmp_path / f"{length}.csv"
        assert run(f"tfrecord:{tmp_path}/*.tfrecord", out) == (1, 1)
        assert rows(f"{out}.errors.csv")[0]["key"] == f"{tmp_path}/a.tfrecord:0"
    for shape in ((0, 4, 4, 1), (-6, 4, 4, 1)):
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive, archive.open("images.npy", "w") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        out = tmp_path / f"x{shape[0]}.csv"
        assert run(f"npz:{tmp_path}/x.npz", out) == (0, 1)
        assert "there is no image in it" in rows(f"{out}.errors.csv")[0]["error"]


def test_case_46_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.tfrecord")
    write_records(tmp_path / "b.tfrecord", [example(2)])
    assert run(f"tfrecord:{tmp_path}/*.tfrecord", tmp_path / "x.csv") == (1, 1)
    assert "a FIFO" in rows(tmp_path / "x.csv.errors.csv")[0]["error"]
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(DataError, match="a FIFO"):
        run(f"npz:{tmp_path}/a.npz", tmp_path / "y.csv")
