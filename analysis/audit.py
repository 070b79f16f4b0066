"""What makes tables of detectors lie: warnings about how the comparison was set up."""

from collections.abc import Iterable, Iterator, Sequence

from analysis.detector_study import CALIBRATION, FIT, TEST, Candidate, DetectorStudy
from tfp_flows import data
from tfp_flows.runs import Run

SMALL_SET = 1000


def warnings(
    own: str, foreign: Sequence[str], candidates: Iterable[Candidate], counts: dict[str, int]
) -> list[str]:
    """Warnings about a comparison, each one line.

    Args:
      own: Name of the in-distribution set, with its operations.
      foreign: Names of the others.
      candidates: List of `detector_study.Candidate`.
      counts: Dict from a set's name to its number of test images.

    Returns:
      List of strings.
    """
    lines = [line for name in foreign for line in _operations(own, name)]
    lines += [_small(name, count) for name, count in counts.items() if count < SMALL_SET]
    lines += [line for candidate in candidates for line in _candidate(own, foreign, candidate)]
    return list(dict.fromkeys(lines))


def _operations(own: str, foreign: str) -> Iterator[str]:
    """Of pre-processing that one set had and the other had not."""
    ours, theirs = (set(name.split("@")[1:]) for name in (own, foreign))
    for operation in sorted(ours ^ theirs):
        whose = foreign if operation in theirs else own
        if operation.startswith("resize"):
            yield (
                f"{whose} is resized and the other set is not: resizing smooths, and a score may see "
                f"that alone (an AUROC of .999 fell to .502 once it was matched)."
            )
        elif operation.startswith(("pad", "crop")):
            yield (
                f"{whose} is padded or cropped and the other set is not: its border alone changes bits/dim."
            )
        else:
            yield f"{whose} has @{operation} and the other set has not: a score may see that alone."


def _small(name: str, count: int) -> str:
    return f"{name}: {count:,} test images only; mind the width of the intervals."


def _candidate(own: str, foreign: Sequence[str], candidate: Candidate) -> Iterator[str]:
    if candidate.run_dataset not in (None, own):
        yield f"{candidate.title}: its model was trained on {candidate.run_dataset}, not on {own}."
    if candidate.outliers:
        yield f"{candidate.title}: not label-free, it was trained beside outliers ({candidate.outliers})."
        for name in foreign:
            if _source(name) in {_source(outlier) for outlier in candidate.outliers.split("+")}:
                yield (
                    f"{candidate.title}: {name} comes from an outlier set that it was trained with, so "
                    f"this is no test of unseen images."
                )


def _source(name: str) -> str:
    return name.split("@")[0]


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
                    f"{seen:,} of the {len(images):,} {split} images of {study.own} were trained on by "
                    f"{run.folder.name}, or are equal to one that was."
                )


def held_out(own: str, data_dir: str | None, division: int = data.DIVISION) -> str:
    """Says which images were used for what, in one line; thresholds never come from test images.

    Raises:
      DataError: If the set has no such splits.
    """
    sizes = {
        split: len(data.load(own, split, data_dir=data_dir, division=division))
        for split in ("validation", "calibration")
    }
    return (
        f"Scores are fitted to validation images of {own}, of which there are {sizes['validation']:,}, and "
        f"p-values to calibration images, of which there are {sizes['calibration']:,}; each row of the "
        f"tables says how many it took, a fixed random sample where not all. No test image and no foreign "
        f"image was used for either, and no labels anywhere (no oracle)."
    )
