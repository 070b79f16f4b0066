"""A monitor as a page, index.html, and as numbers, monitor.json."""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from tfp_flows import pages, runs
from tfp_flows.monitoring import words
from tfp_flows.monitoring.histogram import histogram
from tfp_flows.monitoring.monitor import Monitor
from tfp_flows.monitoring.two_samples import Comparison

NUMBERS = "monitor.json"
MOST_ROWS = 200  # of the table of groups on the page


def write(
    folder: str | os.PathLike, monitor: Monitor, comparisons: dict[str, Comparison], said: Sequence[str]
) -> pathlib.Path:
    """Writes index.html, monitor.json, and the figures and tables beside them.

    Args:
      folder: Made where it is not there.
      monitor: With at least one row.
      comparisons: From `Monitor.compare`.
      said: Lines about what was read, guessed and left out.

    Returns:
      Path of index.html.
    """
    from tfp_flows.monitoring import figures  # here: matplotlib takes half a second

    odd = words.unusual(comparisons)
    bins = histogram(monitor.counts)
    alarm = monitor.alarm
    title = "No alarm" if alarm is None else "Alarm: new images are not like those of the calibration"
    *numbers, lead = words.summary(monitor, odd)
    page = pages.Page(folder, f"Monitor: {title}", lead)
    if alarm is not None:
        _what_to_do(page)
    page.section("In numbers", "numbers")
    for line in numbers:
        page.text(line)
    page.section("Wealth", "wealth")
    page.text(
        "A gambler bets against new images being like the calibration images. Without drift nobody's bets "
        "win in the long run: the wealth reaches 1/level, ever, with a probability of at most the level."
    )
    figure = figures.wealth(monitor.wealth, monitor.settings["level"], alarm)
    page.figure("wealth", figure, f"Wealth over {monitor.rows:,} rows. {words.wealth_line(monitor)}")
    page.section("Called foreign", "foreign")
    if len(comparisons) > figures.MOST_GROUPS:
        page.text(f"The newest {figures.MOST_GROUPS} of {len(comparisons)} are drawn.")
    page.figure(
        "shares",
        figures.shares(comparisons, odd),
        f"Share called foreign by group; unusual: {', '.join(odd[-10:]) or 'none'}.",
        "Points: share with its 95 % interval. Band: where the share of so many images of the same kind "
        f"lies, for {monitor.calibrated.num_calibration:,} calibration images, in 95 % of cases.",
    )
    _groups(page, comparisons, odd)
    page.section("p-values", "p-values")
    page.figure("p_values", figures.p_values(bins), "Histogram of p-values: flat where nothing has drifted.")
    page.data("p_values", [found._asdict() for found in bins])
    page.section("Strangest images", "strangest")
    rows = [{"image": key, "group": group, "p-value": p} for group, key, p in words.strangest(monitor, 10)]
    page.table("strangest", rows, "Smallest p-values, the highest scores first.", {"p-value": ".4g"})
    if alarm is None:
        _what_to_do(page)
    values = json.dumps(as_json(monitor, comparisons, said), indent=2, ensure_ascii=False)
    runs.write_atomically(pathlib.Path(folder) / NUMBERS, values + "\n")
    return page.write(list(said))


def as_json(monitor: Monitor, comparisons: dict[str, Comparison], said: Sequence[str]) -> dict[str, Any]:
    """Every number of the page."""
    odd = words.unusual(comparisons)
    values = monitor.to_json()
    groups = [
        {"label": label, "first": group.first, "last": group.last, "log_highest": group.log_highest}
        | comparisons[label]._asdict()
        | {"unusual": label in odd}
        for label, group in monitor.groups.items()
    ]
    overall = monitor.overall().compare(monitor.calibrated.num_calibration, monitor.foreign_rank)
    return {
        "rows": monitor.rows,
        "num_calibration": values["num_calibration"],
        "settings": values["settings"],
        "alarm": values["alarm"],
        "log_wealth": monitor.martingale.log_wealth,
        "log_highest": monitor.martingale.log_highest,
        "level": monitor.martingale.level,
        "overall": overall._asdict(),
        "groups": groups,
        "p_values": [found._asdict() for found in histogram(monitor.counts)],
        "wealth": values["wealth"],
        "strangest": [
            {"group": group, "key": key, "p_value": p} for group, key, p in words.strangest(monitor, 20)
        ],
        "said": list(said),
    }


def _groups(page: pages.Page, comparisons: dict[str, Comparison], odd: Sequence[str]) -> None:
    rows = [
        {
            "group": label,
            "images": found.images,
            "foreign": found.foreign,
            "share": found.share,
            "from": found.low,
            "to": found.high,
            "p, share": found.p_share,
            "p, shape": found.p_shape,
            "": "unusual" if label in odd else "",
        }
        for label, found in comparisons.items()
    ]
    page.data("groups", rows)
    percent = dict.fromkeys(("share", "from", "to"), ".1%")
    page.table(
        "groups_shown",
        rows[-MOST_ROWS:],
        "p, share: probability of so many called foreign; p, shape: of p-values so far from flat; both "
        "exact, for images like the calibration images. Unusual: more than chance, at most 5 % of these "
        "falsely.",
        percent | dict.fromkeys(("p, share", "p, shape"), ".2g"),
        lambda row, column: "wrong" if column == "" and row[""] else None,
    )


def _what_to_do(page: pages.Page) -> None:
    page.section("What to do when there is an alarm", "what-to-do")
    for line in words.WHAT_TO_DO:
        page.text(line)
