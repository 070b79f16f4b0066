"""The sentences of a report: each follows from its numbers."""

import importlib.metadata
import shlex

from tfp_flows import detectors
from tfp_flows.data import names, printable
from tfp_flows.detectors import calibration, coverage
from tfp_flows.reporting.evaluated import is_likelier
from tfp_flows.reporting.findings import Findings

NO_DENSITY = (
    "The model was told something of each image, so that its log p is that of what is left to know, and no "
    "density of images: which set has more of it does not say which is likelier."
)
WEAK = 0.8  # AUROC of a score below which another one should be tried


def heading(found: Findings) -> tuple[str, str]:
    """(title, first paragraph) of the page."""
    own = found.own.label
    title = f"What a model of {own} makes of {own}"
    if found.others:
        title = f"{own} and what is foreign to it"
    return title, " ".join([f"A {found.spec.family} was trained on {own}.", *alarm_lines(found)])


def alarm_lines(found: Findings) -> list[str]:
    """What the detector calls foreign, a sentence for each set."""
    own, alpha = found.own, found.own.alpha
    num_calibration = len(found.detector.conformal.known_scores())
    if not calibration.attainable(alpha, num_calibration):
        return [f"No image can be called foreign: {calibration.unattainable(alpha, num_calibration)}"]
    lines = [
        f"Of {len(own.images):,} test images of {own.label} {share(own.foreign)} are called foreign; "
        f"{alpha:.0%} are expected."
    ]
    lines += [f"Of {len(o.images):,} images of {o.label}: {share(o.foreign)}." for o in found.others]
    return lines


def likelier(found: Findings) -> str:
    """Which sets the likelihood prefers to the model's own images, in a sentence."""
    others = [row for row in found.rows[1:] if row.split != "train" and row.auroc is not None]
    if not others:
        return "Nothing was compared with it: `evaluate_on` names other sets."
    if not found.spec.is_density:
        return NO_DENSITY
    fooled = [row.dataset for row in others if is_likelier(row)]
    if not fooled:
        return (
            "The likelihood is not fooled here: none of the others is likelier than the model's own images."
        )
    return (
        f"The likelihood is fooled: the model finds {', '.join(fooled)} likelier than its own test images. "
        f"That is why a detector does not look at the likelihood alone."
    )


def weak(found: Findings, label: str, area: float) -> str:
    """What to do where the score hardly tells a set from the model's own images."""
    name, folder = found.detector.name, shlex.quote(str(found.run.folder))
    others = [each for each in ("default", "foreign_patches", "input_complexity") if each != name]
    return (
        f"{name} does not tell {label} well from the model's own images (AUROC {area:.2f}; 0.5 is chance). "
        f"Another score may: python -m tfp_flows.detect --run={folder} --detector={others[0]} "
        f"--out=DIR, or {others[1]}."
    )


def share(flags: object) -> str:
    """How many are true: "12 (6.0 %)"."""
    count, total = int(flags.sum()), len(flags)  # type: ignore[attr-defined, arg-type]
    return f"{count:,} ({100 * count / total:.1f} %)"


def fitted_to(used: detectors.Used) -> str:
    """What a detector was fitted to: "fitted to 500 validation images"."""
    seen = f"fitted to {used.fit:,} {used.fit_split} images"
    if used.training:
        seen += f" (what it asks without the model: to {used.training:,} training images)"
    return seen


def how(found: Findings) -> list[str]:
    """Lines about how the page was made."""
    spec, used = found.spec, found.used
    lines = [
        f"{found.run.folder}: {spec.family}, {spec.training['steps']:,} steps, "
        f"seed {spec.training['seed']}.",
        f"The detector ({found.detector.name}) was {fitted_to(used)} and calibrated with "
        f"{used.calibration:,} others of the same set, which were not trained on. It is in {found.folder}. "
        f"{coverage.rate_text(found.own.alpha, used.calibration)}",
    ]
    for each in found.judged:
        name = printable(names.understood(each.images.name).text)
        lines.append(f"{each.label} is {name} ({each.images.split}).")
    versions = ("tfp-flows", "tensorflow", "tensorflow-probability")
    return [*lines, ", ".join(f"{name} {importlib.metadata.version(name)}" for name in versions) + "."]
