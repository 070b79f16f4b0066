"""What makes tables of detectors lie: warnings about how the comparison was set up."""

from collections.abc import Iterable, Iterator, Sequence

from analysis.detector_candidates import Candidate
from analysis.detector_study import CALIBRATION, FIT, TEST, DetectorStudy
from tfp_flows import data
from tfp_flows.data import names
from tfp_flows.runs import Run

SMALL_SET = 1000


def warnings(
    own: str, foreign: Sequence[str], candidates: Iterable[Candidate], counts: dict[str, int]
) -> list[str]:
    """Warnings about a comparison, each one line.

    Args:
      own: Name of the in-distribution set, with its operations.
      foreign: Names of the others.
      candidates: List of `detector_candidates.Candidate`.
      counts: Dict from a set's name to its number of test images.

    Returns:
      List of strings.
    """
    label = data.Labels([own, *foreign])
    lines = [line for name in foreign for line in _operations(own, name, label)]
    lines += [_small(label(name), count) for name, count in counts.items() if count < SMALL_SET]
    lines += [line for candidate in candidates for line in _candidate(own, foreign, candidate, label)]
    return list(dict.fromkeys(lines))


def _operations(own: str, foreign: str, label: data.Labels) -> Iterator[str]:
    """Of pre-processing that one set had and the other had not."""
    parts = [names.take_apart(name) for name in (own, foreign)]
    ours, theirs = (dict(zip(part.operations, part.pieces, strict=True)) for part in parts)
    for operation in sorted(ours.keys() ^ theirs.keys(), key={**ours, **theirs}.__getitem__):
        whose = label(foreign if operation in theirs else own)
        written = theirs.get(operation) or ours[operation]
        if operation.kind == "resize":
            yield (
                f"{whose} is resized and the other set is not: resizing smooths, and a score may see "
                f"that alone (an AUROC of .999 fell to .502 once it was matched)."
            )
        elif operation.kind in ("pad", "crop"):
            yield (
                f"{whose} is padded or cropped and the other set is not: its border alone changes bits/dim."
            )
        else:
            yield f"{whose} has @{written} and the other set has not: a score may see that alone."


def _small(name: str, count: int) -> str:
    return f"{name}: {count:,} test images only; mind the width of the intervals."


def _candidate(own: str, foreign: Sequence[str], candidate: Candidate, label: data.Labels) -> Iterator[str]:
    trained = candidate.run_dataset
    if trained is not None and names.identity(trained) != names.identity(own):
        both = data.Labels([own, trained])
        yield f"{candidate.title}: its model was trained on {both(trained)}, not on {both(own)}."
    if candidate.outliers:
        yield f"{candidate.title}: not label-free, it was trained beside outliers ({candidate.outliers})."
        for name in foreign:
            if any(names.same_source(name, outlier) for outlier in candidate.outliers.split("+")):
                yield (
                    f"{candidate.title}: {label(name)} comes from an outlier set that it was trained with, "
                    f"so this is no test of unseen images."
                )


def images_trained_on(study: DetectorStudy, runs: Iterable[Run]) -> Iterator[str]:
    """Says where images that fit, calibrate or test a score were trained on, one line each.

    Args:
      study: Whose own images are looked at.
      runs: Those whose models it judges, as far as they say what they were trained on.
    """
    for split in (FIT, CALIBRATION, TEST):
        images = study.images(study.own, split, None)
        for run in runs:
            known = run.trained_on()
            seen = int(known.holds(images.images).sum()) if known else 0
            if seen:
                yield (
                    f"{seen:,} of the {len(images):,} {split} images of {data.short(study.own)} were "
                    f"trained on by {run.folder.name}, or are equal to one that was."
                )


def held_out(study: DetectorStudy) -> str:
    """Says which images were used for what, in one line; thresholds never come from test images.

    Raises:
      DataError: If the set has no such splits.
    """
    sizes = {split: len(study.images(study.own, split, None)) for split in (FIT, CALIBRATION)}
    return (
        f"Scores are fitted to validation images of {data.short(study.own)}, of which there are "
        f"{sizes[FIT]:,}, and p-values to calibration images, of which there are {sizes[CALIBRATION]:,}; "
        f"each row of the tables says how many it took, a fixed random sample where not all. No test image "
        f"and no foreign image was used for either, and no labels anywhere (no oracle)."
    )
