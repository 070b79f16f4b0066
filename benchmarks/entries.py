"""Entries of the benchmarks' JSON files, and their lines on the screen."""

import json
import pathlib
import statistics


def entry(name, ours, theirs, against, config, batch=None):
    """A ratio, above 1 where ours is faster, with the lowest and highest of single rounds.

    Args:
      name: What was timed.
      ours: Seconds, one for each round.
      theirs: The same of what it is compared with, in the same rounds.
      against: What that is.
      config: Dict of sizes and versions.
      batch: Images that one of the times is for; None for a value in seconds.

    Returns:
      Dict, with `value` in images a second, or in seconds.
    """
    rounds = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    return {
        "name": name,
        "value": batch / ours if batch else ours,
        "unit": "images/s" if batch else "s",
        "against": against,
        "ratio": theirs / ours,
        "ratio_of_rounds": [rounds[0], rounds[-1]],
        "rounds": len(rounds),
        "seconds_ours": ours,
        "seconds_against": theirs,
        "config": config,
    }


def line(found):
    """An entry as a line of text."""
    low, high = found["ratio_of_rounds"]
    batch = found["config"].get("batch")
    size = f"batch {batch}" if batch else ""
    return (
        f"{found['name']:<26} {size:<10} {found['value']:10.4g} {found['unit']:<9} {found['ratio']:8.2f} x "
        f"{found['against']} ({low:.2f}-{high:.2f} by round)"
    )


def write(found, path):
    """Writes entries as JSON, if there is a path."""
    if path:
        pathlib.Path(path).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
