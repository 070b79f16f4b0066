"""The lines with which a command that evaluated a run ends: each follows from the run's numbers."""

import shlex

from tfp_flows.data import names
from tfp_flows.detectors import calibration
from tfp_flows.evaluation import Row
from tfp_flows.reporting.evaluated import Evaluated
from tfp_flows.reporting.words import NO_DENSITY, WEAK

OWN_IMAGES = (
    "python -m tfp_flows.train --dataset=folder:GOOD@rgb@resize=32 --evaluate_on=folder:STRANGE "
    "--run=runs/mine --report"
)


def table(found: Evaluated) -> list[str]:
    """The AUROCs of likelihood and detector side by side; no line where there is nothing to compare."""
    areas = found.areas
    if not areas:
        return []
    of_likelihood = found.likelihood_areas
    some = f" ({found.most_judged:,} of a set at most)" if found.chosen else ""
    cells = [(f"AUROC, foreign images positive{some}", "of -log p", f"of the detector ({found.detector})")]
    for row in found.others:
        cells.append((row.dataset, f"{of_likelihood[row.dataset]:.3f}", f"{areas[row.dataset]:.3f}"))
    widths = [max(len(line[i]) for line in cells) for i in range(3)]
    cells.insert(1, ("-" * widths[0], "-" * widths[1], "-" * widths[2]))
    return ["  ".join([a.ljust(widths[0]), b.rjust(widths[1]), c.rjust(widths[2])]) for a, b, c in cells]


def lines(found: Evaluated, picture: str) -> list[str]:
    """What it means, where it is to be seen, and what to type next: five lines.

    Args:
      found: What was found.
      picture: Where the picture is.
    """
    said = (_likelihood(found), _detector(found), _seen(found, picture), *_next(found))
    return [f"- {line}" for line in said]


def _likelihood(found: Evaluated) -> str:
    own = found.own
    if not found.others:
        return f"{own.dataset} was compared with no other set: --evaluate_on names some."
    if not found.spec.is_density:
        return NO_DENSITY
    if not found.likelier:
        return (
            f"The likelihood is not fooled here: no other set is likelier than the test images of "
            f"{own.dataset}, on which the model was trained.{_but_on_average(found)}"
        )
    first, *rest = found.likelier
    more = f" So are {_listed(rest)}." if rest else ""
    pairs, bits = f"in {1 - (first.auroc or 0):.0%} of pairs of an image of each", _bits(first, own)
    if first.bits_per_dim < own.bits_per_dim:
        likelier = f"likelier, {bits}, {pairs}"
    else:  # a mean may be that of a few images
        likelier = f"likelier {pairs}, though not on average, {bits}: some of its images are very unlikely"
    return (
        f"The likelihood is fooled: the model was trained on {own.dataset} and finds {first.dataset} "
        f"{likelier}.{more}"
    )


def _bits(row: Row, own: Row) -> str:
    return f"{row.bits_per_dim:.2f} against {own.bits_per_dim:.2f} bits/dim"


def _but_on_average(found: Evaluated) -> str:
    """Which sets have fewer bits on average all the same: of single images that says little."""
    fewer = [row for row in found.others if row.bits_per_dim < found.own.bits_per_dim]
    return "".join(
        f" On average {row.dataset} has fewer bits, {_bits(row, found.own)}, but its images are the "
        f"likelier ones in {1 - (row.auroc or 0):.0%} of pairs only{_unsure(row)}."
        for row in fewer
    )


def _unsure(row: Row) -> str:
    """Where an interval leaves room for the contrary."""
    if row.auroc_low is None or row.auroc_high is None or not row.auroc_low < 0.5 < row.auroc_high:
        return ""
    return " (which of them are likelier is not sure)"


def _listed(rows: list[Row]) -> str:
    return ", ".join(f"{row.dataset} ({row.bits_per_dim:.2f})" for row in rows)


def _detector(found: Evaluated) -> str:
    if not found.judged:
        why = f" ({found.why_none.removesuffix('.')})" if found.why_none else ""
        run, detector = _quoted(found, ""), _quoted(found, "detector")
        return f"No detector{why}; to make one: python -m tfp_flows.detect --run={run} --out={detector}"
    own = found.judged[0]
    alarms = f"it calls {own.foreign.mean():.1%} of their test split foreign, {own.alpha:.0%} are expected"
    if not calibration.attainable(own.alpha, found.num_calibration):
        alarms = calibration.unattainable(own.alpha, found.num_calibration).removesuffix(".")
    areas, by = found.areas, f"The {found.detector} detector, made of images of {found.own.dataset} alone"
    if not areas:
        return f"{by}: {alarms}."
    weakest = min(areas, key=lambda label: areas[label])
    asked = found.likelier[0].dataset if found.likelier else weakest
    hard = f" It hardly tells {weakest} ({areas[weakest]:.2f})." if areas[weakest] < WEAK else ""
    return f"{by}, tells {asked} from them with AUROC {areas[asked]:.3f}; {alarms}.{hard}"


def _seen(found: Evaluated, picture: str) -> str:
    drawn = " and what the model draws" if found.drawn is not None else ""
    return f"All of it in one picture, with images of each set{drawn}: {picture}"


def _next(found: Evaluated) -> tuple[str, str]:
    run, flags = _quoted(found, ""), found.run.flags_file
    if (found.run.folder / "report" / "index.html").exists():
        detector, exported = _quoted(found, "detector"), _quoted(found, "exported")
        first = (
            "Next, to score pictures anywhere: python -m tfp_flows.export "
            f"--run={run} --detector={detector} --out={exported}"
        )
    elif flags.exists():
        first = (
            "Next, a page with the strangest images and maps of what is strange in them: "
            f"python -m tfp_flows.train --flagfile={shlex.quote(str(flags))} --report"
        )
    else:
        first = f"Next, other sets: python -m tfp_flows.evaluate --run={run} --datasets=folder:OTHERS"
    if names.understood(found.spec.dataset).source.kind in names.PATH_KINDS:
        return first, "More about what to do with own images: docs/own_photographs.md"
    return first, f"Then the same with your own images, of any size: {OWN_IMAGES}"


def _quoted(found: Evaluated, place: str) -> str:
    return shlex.quote(str(found.run.folder / place))
