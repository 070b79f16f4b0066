r"""Watches tables of scores: do new images still look like those that the detector was calibrated with?

    python -m tfp_flows.monitor --scores=scores.csv --detector=detector --out=monitor
    python -m tfp_flows.monitor --scores='scores/*.csv' --by=day --time_from=key --state=monitor.json

The tables are those of tfp_flows.score, with p-values. Without drift, the probability that there is ever an
alarm is at most --level, however many rows come and however often one looks: a martingale bets against the
ranks of new images among the calibration images. Exit status 0: no alarm; 4: an alarm, so that cron can act
on it; 1: it did not run.

--detector=DIR, --model=DIR or --num_calibration=N tells how many calibration images there were; without, it
is guessed from the p-values, and said. With --detector the ranks come from the scores, and ties are broken
at random; else the guarantee needs scores without ties.

With --state=FILE the next call goes on where this one ended, as if all rows had come at once; rows that were
seen before are left out, and counted. With --follow it waits for new rows until there is an alarm.

docs/monitoring.md says what is tested and why, and what to do when there is an alarm.
"""

import contextlib
import os
import sys

from absl import flags

from tfp_flows import commands, monitoring, runs

FLAGS = flags.FLAGS
PLURALS = {monitoring.DAY: "days", monitoring.HOUR: "hours", monitoring.BATCH: "batches"}
GROUPS = {  # of --help
    commands.FIRST: ("scores", "detector", "model", "num_calibration", "out", "level", "alpha", "by"),
    "times": ("time_column", "time_from", "time_pattern", "batch_size"),
    "later": ("state", "follow", "seed"),
}
ALARM = 4  # exit status
PIECE = 65_536  # rows that are held at once, where they need not be put in the order of time


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_list(
        "scores", None, "Tables: .csv, .csv.gz, .parquet, globs of them; - for standard input."
    )
    flags.DEFINE_string("detector", None, "Folder of the detector, from tfp_flows.detect: its scores.")
    flags.DEFINE_string("model", None, "Instead: folder of the exported model with the detector.")
    flags.DEFINE_integer("num_calibration", None, "Instead: how many calibration images.", lower_bound=1)
    flags.DEFINE_string("out", None, "Folder for a page, index.html, and all numbers, monitor.json.")
    flags.DEFINE_string("state", None, "File by which the next call goes on; made if it is not there.")
    flags.DEFINE_float("level", 0.01, "Probability, at most, that there is ever an alarm without drift.")
    flags.DEFINE_float("alpha", 0.05, "p-value at or below which an image counts as foreign.")
    flags.DEFINE_enum(
        "by",
        None,
        [monitoring.DAY, monitoring.HOUR, monitoring.BATCH],
        "What is compared with the calibration images as one: by default day where there are times.",
    )
    flags.DEFINE_integer("batch_size", 100, "Rows in a batch, in the order of the table.", lower_bound=1)
    flags.DEFINE_string("time_column", None, "Column of times: ISO 8601, or seconds since 1970.")
    flags.DEFINE_enum("time_from", None, ["key"], "Take the date from the key: 2026-11-28/cam1/0001.jpg.")
    flags.DEFINE_string("time_pattern", None, "How times are written, such as %Y%m%d_%H%M%S.")
    flags.DEFINE_bool("follow", False, "Wait for new rows of CSV tables, until there is an alarm.")
    flags.DEFINE_integer("seed", 0, "Of the random numbers that break ties.", lower_bound=0)
    flags.mark_flags_as_required(["scores"])
    flags.mark_flags_as_mutual_exclusive(["detector", "model", "num_calibration"])
    flags.mark_flags_as_mutual_exclusive(["time_column", "time_from"])


def main() -> None:
    """Watches, and says what it found."""
    clock = _clock()
    settings = monitoring.Settings(FLAGS.level, FLAGS.alpha, FLAGS.seed, FLAGS.batch_size, clock)
    faults = monitoring.Faults()
    tables = monitoring.Tables(FLAGS.scores, clock.column, faults)
    calibrated, said = _calibrated()
    with _locked(FLAGS.state):
        watch = _watch(settings, calibrated, faults, said)
        _read(watch, tables, clock)
    monitor = watch.need_monitor()
    _say(watch, monitor, said)
    if monitor.alarm is not None:
        sys.exit(ALARM)


def _clock() -> "monitoring.Clock":
    timed = FLAGS.time_column is not None or FLAGS.time_from is not None
    by = FLAGS.by or (monitoring.DAY if timed else monitoring.BATCH)
    if by != monitoring.BATCH and not timed:
        raise monitoring.MonitoringError(
            f"`by={by}`: from where are the times? Give `time_column=NAME` or `time_from=key`."
        )
    if FLAGS.time_pattern is not None:
        if not timed:
            raise monitoring.MonitoringError("`time_pattern` is for `time_column` or `time_from`.")
        monitoring.compiled(FLAGS.time_pattern)
    return monitoring.Clock(by, FLAGS.time_column, FLAGS.time_pattern)


def _calibrated() -> "tuple[monitoring.Calibrated | None, list[str]]":
    """What is known of the calibration images, and a line that says it."""
    if FLAGS.detector:
        found = monitoring.of_detector(FLAGS.detector)
        return found, [f"{found.num_calibration:,} calibration images: the scores of {FLAGS.detector}."]
    if FLAGS.model:
        found = monitoring.of_export(FLAGS.model)
        return found, [f"{found.num_calibration:,} calibration images, as {FLAGS.model} says."]
    if FLAGS.num_calibration:
        return monitoring.Calibrated(FLAGS.num_calibration), []
    if FLAGS.follow and not (FLAGS.state and os.path.exists(FLAGS.state)):
        raise monitoring.MonitoringError("`follow` needs `detector`, `model` or `num_calibration`.")
    return None, []


def _locked(state: str | None) -> contextlib.AbstractContextManager:
    return contextlib.nullcontext() if state is None else runs.locked(state, "state")


def _watch(
    settings: "monitoring.Settings",
    calibrated: "monitoring.Calibrated | None",
    faults: "monitoring.Faults",
    said: list[str],
) -> "monitoring.Watch":
    values = monitoring.read_state(FLAGS.state) if FLAGS.state else None
    if values is None:
        return monitoring.Watch(settings, calibrated, faults)
    watch = monitoring.Watch.from_json(values, settings, calibrated, faults)
    monitor = watch.need_monitor()
    said.append(f"{FLAGS.state}: {monitor.rows:,} rows were watched before.")
    if calibrated is None:
        said.append(f"{monitor.calibrated.num_calibration:,} calibration images, as before.")
    return watch


def _read(watch: "monitoring.Watch", tables: "monitoring.Tables", clock: "monitoring.Clock") -> None:
    if not FLAGS.follow:
        for rows in tables.rows(PIECE if clock.by == monitoring.BATCH else None):
            watch.take(rows)
        _save(watch)
        return
    with contextlib.suppress(KeyboardInterrupt):
        for rows in tables.follow():
            alarm = watch.take(rows, sort=False)
            _save(watch)
            if alarm is not None:
                return


def _save(watch: "monitoring.Watch") -> None:
    """Writes the state; never that of rows of which some were refused, or half taken."""
    if FLAGS.state and watch.monitor is not None and watch.monitor.rows:
        monitoring.write_state(FLAGS.state, watch.to_json())


def _say(watch: "monitoring.Watch", monitor: "monitoring.Monitor", said: list[str]) -> None:
    count = len(monitor.groups)
    groups = f"{count:,} {PLURALS[_clock().by] if count != 1 else _clock().by}"
    lines = [f"{monitor.rows:,} rows in {groups}.", *said, *map(commands.flags.in_flags, watch.lines())]
    comparisons = monitor.compare()
    odd = monitoring.words.unusual(comparisons)
    print("\n".join([*lines, *monitoring.words.summary(monitor, odd)]))
    print("The strangest images:")
    for group, key, p_value in monitoring.words.strangest(monitor):
        print(f"  p = {p_value:.4g}  {key}  ({group})")
    if monitor.alarm is not None:
        print("What to do:")
        for line in monitoring.words.WHAT_TO_DO:
            print(f"  - {line}")
    if FLAGS.out:
        print(monitoring.pages.write(FLAGS.out, monitor, comparisons, lines))


if __name__ == "__main__":
    define_flags()
    commands.run(main, GROUPS)
