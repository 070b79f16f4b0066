"""What `benchmarks.fit` found, a file for each training, and the table of all of them."""

import csv
import io
import json
import statistics

from tfp_flows import runs

RESULT, PAGE, TABLE = "result.json", "fit.md", "fit.csv"
COLUMNS = (
    *("variant", "flags", "minutes", "seeds", "steps", "seconds_a_step", "bits_per_dim", "spread"),
    *("bits_per_dim_se", "train_bits_per_dim", "foreign_bits_per_dim", "auroc", "images", "note"),
)


def result(place):
    """What is kept of a training; None of one that is not done."""
    file = place / RESULT
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def keep(place, found):
    """Keeps what came out of a training."""
    place.mkdir(parents=True, exist_ok=True)
    runs.write_atomically(place / RESULT, json.dumps(found, indent=2) + "\n")


def rows(folder):
    """The table's rows, the best first: of several seeds the means, and the spread of bits per dimension."""
    groups = {}
    for file in sorted(folder.glob(f"*/*/*/{RESULT}")):
        found = json.loads(file.read_text(encoding="utf-8"))
        groups.setdefault((found["minutes"], found["variant"]), []).append(found)
    table = [_row(group) for group in groups.values()]
    return sorted(table, key=lambda row: (row["minutes"], row["bits_per_dim"] or float("inf")))


def _row(group):
    done = [one for one in group if "bits_per_dim" in one]
    first = group[0]

    def mean(name):
        values = [one[name] for one in done if one.get(name) is not None]
        return statistics.fmean(values) if values else None

    bits = [one["bits_per_dim"] for one in done]
    return {
        **{name: first[name] for name in ("variant", "flags", "minutes", "steps", "seconds_a_step")},
        "seeds": len(group),
        "spread": max(bits) - min(bits) if len(bits) > 1 else None,
        **{name: mean(name) for name in COLUMNS[8:12]},
        "bits_per_dim": mean("bits_per_dim"),
        "images": done[0]["images"] if done else None,
        "note": "; ".join(one["note"] for one in group if "note" in one) or None,
    }


def write(folder, dataset, foreign):
    """Writes the table, as a page and as CSV."""
    table = rows(folder)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if row[name] is None else row[name] for name in COLUMNS} for row in table)
    runs.write_atomically(folder / TABLE, text.getvalue())
    runs.write_atomically(folder / PAGE, page(table, dataset, foreign))


def page(table, dataset, foreign):
    """The table in Markdown."""
    head = ["minutes", "variant", "flags", "ms a step", "steps", "bits/dim", "on training images"]
    head += [f"{foreign}: bits/dim", "AUROC of -log p"]
    lines = [f"# Fit of {dataset}, in the same minutes", "", _line(head), _line(["---"] * len(head))]
    for row in table:
        lines.append(
            _line(
                [
                    f"{row['minutes']:g}",
                    row["variant"],
                    f"`{row['flags']}`",
                    f"{1000 * row['seconds_a_step']:.1f}",
                    f"{row['steps']:,}",
                    row["note"] or _bits(row),
                    _number(row["train_bits_per_dim"]),
                    _number(row["foreign_bits_per_dim"]),
                    _number(row["auroc"]),
                ]
            )
        )
    return "\n".join(lines) + "\n"


def _bits(row):
    """The mean, with the standard error over images, and the spread over seeds if there are several."""
    text = f"{row['bits_per_dim']:.3f}"
    if row["bits_per_dim_se"] is not None:
        text += f" ± {row['bits_per_dim_se']:.3f}"
    if row["spread"] is not None:
        text += f" ({row['seeds']} seeds, {row['spread']:.3f} apart)"
    return text


def _number(value):
    return "" if value is None else f"{value:.3f}"


def _line(cells):
    return f"| {' | '.join(cells)} |"
