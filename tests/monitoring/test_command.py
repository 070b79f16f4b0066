"""The command: exit status, page, state, and one line for what is wrong. No TensorFlow is imported."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from tests import forked
from tests.monitoring import streams

N = 120
RNG = np.random.default_rng(0)
CALIBRATION = np.sort(np.float32(RNG.normal(size=N)))
DAYS = [f"2026-11-{day:02d}/{i:03d}.png" for day in range(1, 13) for i in range(40)]
QUIET = np.float32(RNG.normal(size=480))
DRIFT = np.concatenate([QUIET[:400], QUIET[400:] + 1.5])


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    for name, scores in (("quiet", QUIET), ("drift", DRIFT)):
        streams.write_table(
            folder / f"{name}.csv", DAYS, scores, streams.split_p_values(CALIBRATION, scores)
        )
        for day in range(12):  # the same, a table for each day
            day_of = slice(40 * day, 40 * day + 40)
            p_values = streams.split_p_values(CALIBRATION, scores[day_of])
            streams.write_table(folder / f"{name}-{day:02d}.csv", DAYS[day_of], scores[day_of], p_values)
    (folder / "detector").mkdir()
    np.savez_compressed(folder / "detector" / "arrays.npz", calibration_scores=CALIBRATION)
    (folder / "export").mkdir()
    (folder / "export" / "signature.json").write_text(json.dumps({"detector": {"num_calibration": N}}))
    return folder


def _monitor(folder, *arguments):
    return forked.command("tfp_flows.monitor", *arguments, cwd=folder)


def test_quiet_scores_raise_no_alarm_and_what_was_guessed_is_said(tables):
    found = _monitor(tables, "--scores=quiet.csv")
    assert found.returncode == 0, found.stderr
    assert "480 rows in 5 batches." in found.stdout and "No alarm at level 0.01." in found.stdout
    assert "120 calibration images, guessed" in found.stdout and "--time_from" in found.stdout
    assert "Called foreign at 0.05:" in found.stdout and found.stderr == ""


def test_drift_raises_an_alarm_with_a_page(tables, tmp_path):
    arguments = ("--scores=drift.csv", "--detector=detector", "--time_from=key", f"--out={tmp_path}")
    found = _monitor(tables, *arguments)
    assert found.returncode == 4
    assert "ALARM at row 4" in found.stdout and "What to do:" in found.stdout
    assert "Times are from keys: 2026-11-01/000.png is 2026-11-01 00:00:00." in found.stdout
    numbers = json.loads((tmp_path / "monitor.json").read_text())
    assert numbers["rows"] == 480 and len(numbers["groups"]) == 12 and numbers["alarm"]["row"] > 400
    assert [group["label"] for group in numbers["groups"] if group["unusual"]] == [
        "2026-11-11",
        "2026-11-12",
    ]
    assert numbers["overall"]["foreign"] == sum(group["foreign"] for group in numbers["groups"])
    page = (tmp_path / "index.html").read_text()
    assert "Alarm" in page and "2026-11-12" in page and "calibrate_on" in page
    assert page.index("What to do") < page.index('id="wealth"')
    for name in ("wealth", "shares", "p_values"):
        assert (tmp_path / "figures" / f"{name}.png").stat().st_size > 3_000


def test_day_by_day_with_a_state_is_one_pass_and_repeats_are_left_out(tables, tmp_path):
    for way in ("--model=export", "--detector=detector"):
        whole, daily = tmp_path / f"whole{way[2]}", tmp_path / f"daily{way[2]}"
        assert _monitor(tables, "--scores=drift.csv", way, f"--state={whole}").returncode == 4
        codes = [
            _monitor(tables, f"--scores=drift-{day:02d}.csv", way, f"--state={daily}").returncode
            for day in (0, 1)
        ]
        codes.append(_monitor(tables, "--scores=drift-*.csv", way, f"--state={daily}").returncode)
        assert codes == [0, 0, 4]
        assert json.loads(daily.read_text()) == json.loads(whole.read_text())
        again = _monitor(tables, "--scores=drift.csv", f"--state={daily}", way)
        assert "480 rows were seen before" in again.stdout and again.returncode == 4  # it stays
        assert json.loads(daily.read_text()) == json.loads(whole.read_text())


def test_refused_rows_leave_the_state_as_it_was(tables, tmp_path):
    state, more = tmp_path / "state", tmp_path / "more.csv"
    options = (f"--state={state}", "--detector=detector")
    assert _monitor(tables, "--scores=quiet-00.csv", *options).returncode == 0
    before, lines = state.read_text(), (tables / "quiet-01.csv").read_text()
    more.write_text(lines + "2026-11-02/bad.png,,,0.0,0.123,in\n")
    found = _monitor(tables, f"--scores={more}", *options)
    assert found.returncode == 1 and "another detector" in found.stderr and state.read_text() == before
    more.write_text(lines)
    found = _monitor(tables, f"--scores={more}", *options)
    assert found.returncode == 0 and "80 rows in" in found.stdout and "seen before" not in found.stdout


def test_rows_are_put_in_the_order_of_time(tables, tmp_path):
    lines = (tables / "drift.csv").read_text().splitlines()
    mixed = [lines[0], *lines[:200:-1], *lines[1:201]]
    (tmp_path / "mixed.csv").write_text("\n".join(mixed))
    options = ("--num_calibration=120", "--time_from=key")
    found = [
        _monitor(tables, f"--scores={path}", *options).stdout
        for path in ("drift.csv", tmp_path / "mixed.csv")
    ]
    assert all("ALARM at row 4" in text and "(2026-11-11;" in text for text in found)
    assert "Times are from keys" in found[1] and "rows are older" not in found[1]


def test_standard_input_and_following(tables, tmp_path):
    growing = tmp_path / "growing.csv"
    text = (tables / "drift.csv").read_text()
    growing.write_text(text[:5_000])
    command = forked.start(
        "tfp_flows.monitor",
        f"--scores={growing}",
        "--follow",
        "--num_calibration=120",
        "--state=s",
        cwd=tmp_path,
    )
    while not (tmp_path / "s").exists() and command.poll() is None:
        time.sleep(0.05)
    assert command.poll() is None
    with open(growing, "a") as file:
        file.write(text[5_000:])
    found = command.wait(60)
    assert found.returncode == 4 and "ALARM at row 4" in found.stdout, found.stderr
    assert json.loads((tmp_path / "s").read_text())["monitor"]["alarm"]["row"] > 400


def test_it_starts_without_tensorflow_and_reads_a_pipe(tables):
    arguments = ["-X", "importtime", "-m", "tfp_flows.monitor", "--scores=-"]
    found = subprocess.run(
        [sys.executable, *arguments],
        cwd=forked.ROOT,
        input=(tables / "quiet.csv").read_text(),
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0 and "480 rows" in found.stdout
    imported = {line.rpartition("|")[2].strip() for line in found.stderr.splitlines()}
    assert not imported & {"tensorflow", "matplotlib", "sklearn"}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--scores=none.csv"], "error: --scores: there is no table none.csv"),
        (["--scores=detector"], "is a folder"),
        (["--scores=quiet.csv", "--by=day"], "--time_column=NAME or --time_from=key"),
        (["--scores=quiet.csv", "--level=2"], "--level must be in (0, 1)"),
        (["--scores=quiet.csv", "--follow"], "--follow needs --detector, --model or --num_calibration"),
        (["--scores=quiet.csv", "--num_calibration=77"], "are not k / 78"),
        (["--scores=quiet.csv", "--model=detector"], "is no exported model"),
        (["--scores=quiet.csv", "--detector=export"], "is no detector"),
        (["--scores=quiet.csv", "--time_pattern=%Y"], "--time_pattern is for --time_column or"),
        (["--scores=quiet.csv", "--time_column=day"], "but no day"),
        (["--scores=bare.csv"], "there is no row with a p-value"),
        (["--scores=other.csv", "--detector=detector"], "scored with another detector"),
        (["--scores=undated.csv", "--time_from=key"], "no key has a time that is understood"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tables, arguments, word):
    (tables / "bare.csv").write_text("key,log_prob,bits_per_dim,score,p_value,verdict\na,1,1,,,\n")
    streams.write_table(tables / "other.csv", ["a", "b"], [0.0, 1.0], np.float32([1 / 121, 1]))
    streams.write_table(tables / "undated.csv", ["a", "b"], [0.0, 1.0], np.float32([1 / 121, 1]))
    found = _monitor(tables, *arguments)
    assert found.returncode == 1 and word in found.stderr, found.stderr
    assert found.stderr.count("\n") == 1 and found.stdout == ""


def test_a_state_of_something_else_is_refused(tables, tmp_path):
    state = tmp_path / "state"
    assert _monitor(tables, "--scores=quiet.csv", f"--state={state}", "--model=export").returncode == 0
    for arguments, word in (
        (["--level=0.05"], "begun with level 0.01, now it is 0.05"),
        (["--detector=detector"], "other calibration images"),
        (["--time_from=key"], "clock's by"),
    ):
        found = _monitor(tables, "--scores=drift.csv", f"--state={state}", *arguments)
        assert found.returncode == 1 and word in found.stderr, found.stderr
    for text in ("{", "[]", '{"monitor_format": 1}', '{"monitor_format": 1, "settings": {}}'):
        state.write_text(text)
        found = _monitor(tables, "--scores=drift.csv", f"--state={state}")
        assert found.returncode == 1 and found.stderr.count("\n") == 1 and "--state" in found.stderr
        assert state.read_text() == text
