"""A flow over vectors with its detector: exported, loaded by TensorFlow alone, and a table scored by it."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf

import tfp_flows
from tests import forked
from tfp_flows import detectors, scoring, serving, testing
from tfp_flows.checks.errors import UserError

COLUMNS = ["a", "b", "c"]
ROWS = np.random.default_rng(0).normal(size=[400, 3]).astype(np.float32) * [1, 5, 0.1] + [0, 100, 0]
FOREIGN = ROWS[:5] + [9, 0, 0]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(flow, detector, folder of the export)."""
    flow = tfp_flows.vector_flow(3, num_steps=2, hidden_units=8, coupling="mixture")
    tfp_flows.fit(flow, ROWS.astype(np.float32), steps=2, progress=False)
    testing.perturb(flow.bijector, 0, 0.02)
    detector = detectors.Default(flow).fit(ROWS[:200].astype(np.float32))
    detector.calibrate(ROWS[200:].astype(np.float32))
    folder = tmp_path_factory.mktemp("exported") / "export"
    described = serving.export_vectors(flow, folder, detector, COLUMNS)
    assert described["vector_size"] == 3 and set(described["methods"]) == {"serving_default", "sample"}
    return flow, detector, folder


def test_tensorflow_alone_gives_its_numbers(made):
    flow, detector, folder = made
    rows = np.concatenate([ROWS[:7], FOREIGN]).astype(np.float32)
    loaded = tf.saved_model.load(str(folder))
    found = loaded.signatures["serving_default"](vectors=tf.constant(rows))
    np.testing.assert_allclose(found["log_prob"], flow.log_prob(rows), rtol=1e-5)
    np.testing.assert_allclose(found["score"], detector.score(rows), rtol=1e-4)
    np.testing.assert_allclose(found["p_value"], detector.p_value(rows), rtol=1e-5)
    assert found["p_value"].numpy()[7:].max() < 0.05
    drawn = loaded.signatures["sample"](n=tf.constant(6), seed=tf.constant(3, tf.int64))["vectors"]
    np.testing.assert_allclose(drawn, flow.sample(6, seed=(0, 3)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["csv", "plain", "npy", "npz"])
def test_a_table_is_scored_whatever_holds_it(made, tmp_path, kind):
    _, detector, folder = made
    rows = np.concatenate([ROWS[:7], FOREIGN])
    table = tmp_path / f"rows.{'csv' if kind == 'plain' else kind}"
    if kind == "npy":
        np.save(table, rows)
    elif kind == "npz":
        np.savez(table, rows)
    else:  # with a header: in another order, and with a column that is nobody's
        with open(table, "w", newline="") as file:
            writer = csv.writer(file)
            if kind == "csv":
                writer.writerow(["name", "c", "a", "b"])
            for i, (a, b, c) in enumerate(rows.tolist()):
                writer.writerow([f"row {i}", c, a, b] if kind == "csv" else [a, b, c])
    count = scoring.score_table(folder, str(table), tmp_path / "scores.csv", alpha=0.1)
    with open(tmp_path / "scores.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert count == len(found) == 12 and [row["row"] for row in found] == list(map(str, range(12)))
    values = rows.astype(np.float32)
    np.testing.assert_allclose([float(r["score"]) for r in found], detector.score(values), rtol=1e-4)
    expected = [
        "out of distribution" if p <= np.float32(0.1) else "in distribution"
        for p in detector.p_value(values)
    ]
    assert [row["verdict"] == found[-1]["verdict"] for row in found] == [e == expected[-1] for e in expected]


def test_the_command_scores_it(made, tmp_path):
    np.save(tmp_path / "rows.npy", ROWS[:20])
    flags = [f"--model={made[2]}", f"--images={tmp_path / 'rows.npy'}", f"--out={tmp_path / 's.csv'}"]
    result = forked.command("tfp_flows.score", *flags)
    assert result.returncode == 0 and "20 rows scored" in result.stdout, result.stderr
    for other in ("--fdr=0.1", "--num_shards=2", "--maps_of=all"):
        result = forked.command("tfp_flows.score", *flags, other)
        name = other.partition("=")[0]
        assert result.returncode == 1 and f"{name} is for images" in result.stderr
        assert result.stderr.strip().count("\n") == 0


def test_what_is_no_table_or_no_export_is_refused_in_one_line(made, tmp_path):
    flow, detector, folder = made
    exported = serving.ExportedVectors(folder)
    (tmp_path / "short.csv").write_text("a,b\n1,2\n")
    (tmp_path / "words.csv").write_text("1,2,3\n1,two,3\n")
    np.save(tmp_path / "nan.npy", np.full([2, 3], np.nan))
    out = tmp_path / "s.csv"
    (tmp_path / "gap.csv").write_text("1,,3\n4,5,6\n")
    (tmp_path / "long.csv").write_text("1,2," + "3" * 140_000 + "\n")
    with open(tmp_path / "huge.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (10**13, 3)}
        )
    np.savez(tmp_path / "an.npz", ROWS)
    (tmp_path / "an.npz").rename(tmp_path / "archive.npy")
    np.save(tmp_path / "array.npy", ROWS)
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    (tmp_path / "rows.csv").write_text("1,2,3\n")
    other = detectors.Likelihood(tfp_flows.vector_flow(3, num_steps=1)).fit(ROWS.astype(np.float32))
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "signature.json").write_text(json.dumps({"format": 1, "vector_size": -1, "columns": []}))
    for call, says in (
        (lambda: exported(np.zeros([2, 4])), r"must be numbers \[N, 3\]"),
        (lambda: exported(np.full([2, 3], np.inf)), "must be finite"),
        (lambda: scoring.score_table(folder, str(tmp_path / "short.csv"), out), "has no column c"),
        (lambda: scoring.score_table(folder, str(tmp_path / "words.csv"), out), "row 1 must hold 3 numbers"),
        (
            lambda: scoring.score_table(folder, str(tmp_path / "nan.npy"), out),
            "row 0 holds what is no finite",
        ),
        *(
            (lambda name=name: scoring.score_table(folder, str(tmp_path / name), out), says)
            for name, says in {
                "none.csv": "cannot be read",
                "gap.csv": "^`images`: [^`]*row 0 must hold 3 numbers, got '1,,3'",
                "long.csv": "cannot be read: field larger",
                "huge.npy": "cannot be read",
                "archive.npy": "cannot be read",
                "array.npz": "a single array",
            }.items()
        ),
        (
            lambda: scoring.score_table(folder, str(tmp_path / "rows.csv"), tmp_path / "rows.csv"),
            "is the table",
        ),
        (lambda: exported([[0, 0, 0], [1e39, 0, 0]]), "finite numbers of float32: row 1 is not"),
        (lambda: serving.export_vectors(flow, out, other), "is of another flow"),
        (lambda: scoring.score_table(folder, str(tmp_path / "nan.npy"), "s.parquet"), "as .csv"),
        (lambda: scoring.score_table(folder, str(tmp_path / "nan.npy"), out, alpha=0.001), "calibration"),
        (lambda: serving.ExportedVectors(damaged), "vector_size of signature.json must be a positive"),
        (lambda: serving.ExportedModel(folder), "takes vectors, and no images"),
        (lambda: serving.export_vectors(flow, tmp_path, detector), "is no export"),
        (lambda: serving.export_vectors(flow, out, columns=["a", "a", "b"]), "3 different names"),
        (lambda: serving.export_vectors(tfp_flows.vector_flow(2), out, detector), "is of another flow"),
    ):
        with pytest.raises(UserError, match=says) as error:
            call()
        assert "\n" not in str(error.value)
    assert not out.exists() and (tmp_path / "rows.csv").read_text() == "1,2,3\n"


def test_a_byte_order_mark_is_no_part_of_a_header(made, tmp_path):
    (tmp_path / "rows.csv").write_text("a,b,c\n1,2,3\n", encoding="utf-8-sig")
    assert scoring.score_table(made[2], str(tmp_path / "rows.csv"), tmp_path / "s.csv", alpha=0.1) == 1
    (tmp_path / "rows.csv").write_text("1,2,3\n4,5,6\n", encoding="utf-8-sig")
    assert scoring.score_table(made[2], str(tmp_path / "rows.csv"), tmp_path / "t.csv", alpha=0.1) == 2


def test_what_is_there_is_not_written_over_and_folders_are_made(made, tmp_path):
    (tmp_path / "rows.csv").write_text("1,2,3\n")
    out = tmp_path / "new" / "folder" / "s.csv"
    assert scoring.score_table(made[2], str(tmp_path / "rows.csv"), out, alpha=0.1) == 1
    with pytest.raises(UserError, match="s.csv is there already; remove it to score anew"):
        scoring.score_table(made[2], str(tmp_path / "rows.csv"), out, alpha=0.1)


@pytest.mark.parametrize("name", ["table:rows.csv", "mine=ROWS.CSV"])
def test_score_takes_the_names_that_train_takes(made, tmp_path, name):
    (tmp_path / name.partition(":")[2] if ":" in name else tmp_path / "ROWS.CSV").write_text("1,2,3\n")
    flags = (f"--model={made[2]}", f"--images={name}", "--out=s.csv", "--alpha=0.1")
    found = forked.command("tfp_flows.score", *flags, cwd=tmp_path)
    assert found.returncode == 0 and "1 rows scored" in found.stdout, found.stderr
