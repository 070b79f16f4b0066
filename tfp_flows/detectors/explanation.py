"""What a score says of a picture, for people: the picture, its heat map, the numbers and what they mean."""

import base64
import dataclasses
import html
import os
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from tfp_flows import runs
from tfp_flows.data import printable
from tfp_flows.detectors import calibration, events, pictures
from tfp_flows.detectors.errors import DetectorError
from tfp_flows.pages import heat

if TYPE_CHECKING:
    from tfp_flows.detectors.detector import Detector

BINS = 40
WIDTH, HEIGHT = 420, 90  # of the histogram
MOST_COLUMNS = 3
OWN, FOREIGN = "#0072B2", "#D55E00"


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """The score of one picture and what it means. In a notebook it shows itself.

    Attributes:
      image: uint8 `[H, W, C]`, as the model takes it; or a vector `[D]`.
      key: What the picture is called.
      detector: Name of the score.
      score: Higher = more out of distribution.
      p_value: Of the score; None where the detector is not calibrated.
      alpha: Level of the verdict.
      verdict: "out" where p_value <= alpha, "in" where not, "" where there can be none.
      words: The verdict in words.
      map: float32 `[H, W]`, where in the picture the score comes from, or None.
      no_map: Why there is no map; "" where there is one.
      scale: Of the map's colours, or None.
      calibration_scores: Those of held-out in-distribution pictures, ascending, or None.
      tests: Tail fraction under each test that the score combines, by name; empty where it combines none.
      columns: Of a vector, how strange each of its numbers is, in standard deviations; None where nothing
        says.
      column_names: What those numbers are called; by their places where there are none.
    """

    image: np.ndarray
    key: str
    detector: str
    score: float
    p_value: float | None
    alpha: float
    verdict: str
    words: str
    map: np.ndarray | None
    no_map: str
    scale: heat.Scale | None
    calibration_scores: np.ndarray | None
    tests: dict[str, float] = dataclasses.field(default_factory=dict)
    columns: np.ndarray | None = None
    column_names: tuple[str, ...] = ()

    def __str__(self) -> str:
        p_value = "" if self.p_value is None else f", p = {self.p_value:.3g}"
        said = f"{self.words}{self._by_test()}{self._by_column()}"
        return f"{printable(self.key)}: {self.detector} {self.score:.4g}{p_value}: {said}"

    __repr__ = __str__

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the figure to a file: .png the picture beside its map, .html all of it.

        Raises:
          DetectorError: If the name has another ending.
        """
        ending = pathlib.Path(path).suffix.lower()
        if ending == ".png":
            picture = self._repr_png_()
            if picture is None:
                raise DetectorError("save: a vector has no picture; `path` must end in .html.")
            runs.write_atomically(path, picture)
        elif ending in (".html", ".htm"):
            page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(self.key)}</title>'
            page += f'<meta name="viewport" content="width=device-width"><body>{self._repr_html_()}</body>'
            runs.write_atomically(path, f"{page}</html>\n")
        else:
            raise DetectorError(f"save: `path` must end in .png or .html, got {os.fspath(path)!r}.")

    @property
    def _is_vector(self) -> bool:
        return self.image.ndim == 1

    def _repr_png_(self) -> bytes | None:
        """The picture, beside its map if there is one, as PNG; None of a vector."""
        if self._is_vector:
            return None
        if self.map is None or self.scale is None:
            return heat.png(heat.enlarged(self.image))
        return heat.png(heat.pair(self.image, self.map, self.scale, str(self)))

    def _repr_html_(self) -> str:
        """All of it, in one piece of HTML that needs nothing else."""
        shown = [] if self._is_vector else [("picture", heat.enlarged(self.image))]
        if self.map is not None and self.scale is not None:
            shown.append(("its heat map", heat.overlay(self.image, self.map, self.scale)))
        figures = "".join(_figure(name, heat.png(picture)) for name, picture in shown)
        p_value = "none" if self.p_value is None else f"{self.p_value:.3g}"
        remark = self.no_map or (self.scale.caption if self.scale else "")
        colour = {"out": FOREIGN, "in": OWN}.get(self.verdict, "inherit")
        return (
            '<div style="max-width:560px;font:14px/1.45 system-ui,sans-serif">'
            f'<p style="margin:0 0 6px"><b style="color:{colour}">{_text(self.words)}</b><br>'
            f"{_text(self.key)}: {_text(self.detector)} score {self.score:.4g}, p-value {p_value}"
            f"{_text(self._by_test())}{_text(self._by_column())}</p>"
            f'<div style="display:flex;gap:8px;flex-wrap:wrap">{figures}</div>{self._histogram()}'
            f'<p style="margin:4px 0;font-size:12px;opacity:.75">{_text(remark)}</p></div>'
        )

    def _by_test(self) -> str:
        """How each test judges, the strictest first; "" if there is none."""
        ordered = sorted(self.tests.items(), key=lambda item: item[1])
        words = ", ".join(f"{_percent(value)} by {name}" for name, value in ordered)
        return f"; as strange are, of its own kind, {words}" if words else ""

    def _by_column(self) -> str:
        """Which numbers of a vector are the strangest, given the others; "" where nothing says so."""
        if self.columns is None:
            return ""
        strangest = np.argsort(-np.abs(self.columns))[:MOST_COLUMNS]
        called = self.column_names or range(len(self.columns))
        words = ", ".join(f"{printable(str(called[i]))} ({self.columns[i]:+.1f})" for i in strangest)
        return f"; strangest columns, in standard deviations given the others: {words}"

    def _histogram(self) -> str:
        """Where the score lies among those of held-out in-distribution pictures, as SVG; "" if none."""
        scores = self.calibration_scores
        if scores is None or not np.isfinite(scores).any():
            return ""
        finite = scores[np.isfinite(scores)]
        here = self.score if np.isfinite(self.score) else float(finite.max())
        low, high = min(finite.min(), here), max(finite.max(), here)
        high = high if high > low else low + 1.0
        counts, _ = np.histogram(finite, BINS, (low, high))
        bar, tallest = WIDTH / BINS, max(counts.max(), 1)
        bars = "".join(
            f'<rect x="{i * bar:.1f}" y="{HEIGHT * (1 - n / tallest):.1f}" width="{bar - 0.5:.1f}" '
            f'height="{HEIGHT * n / tallest:.1f}" fill="{OWN}" opacity=".6"/>'
            for i, n in enumerate(counts)
            if n
        )
        x = WIDTH * (here - low) / (high - low)
        marks = _line(x, FOREIGN, "")
        limit = calibration.threshold(self.alpha, scores)
        if low <= limit <= high:
            marks += _line(WIDTH * (limit - low) / (high - low), "currentColor", ' stroke-dasharray="4 3"')
        what = "vector" if self._is_vector else "picture"
        says = f"{len(scores):,} held-out {what}s of the model's own kind; line: this {what}"
        says += "" if limit == float("inf") else f"; dashed: foreign at {self.alpha:g} to the right of it"
        return (
            f'<svg viewBox="-2 0 {WIDTH + 4} {HEIGHT + 18}" width="100%" role="img" '
            f'aria-label="histogram of scores" font-size="10" fill="currentColor">{bars}{marks}'
            f'<text x="0" y="{HEIGHT + 14}">{low:.4g}</text>'
            f'<text x="{WIDTH}" y="{HEIGHT + 14}" text-anchor="end">{high:.4g}</text>'
            f'</svg><p style="margin:0;font-size:12px">{_text(says)}</p>'
        )


class Explanations(tuple[Explanation, ...]):
    """Explanations of several pictures, in their order; a notebook shows all of them."""

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    def _repr_html_(self) -> str:
        return '<hr style="border:0;border-top:1px solid #8884">'.join(one._repr_html_() for one in self)


def explain(detector: "Detector", images: pictures.Pictures, alpha: float) -> Explanation | Explanations:
    """See `Detector.explain`."""
    calibration.rank(alpha, 1)  # refuses what is no level
    vectors = detector.statistics.are_vectors
    one = np.ndim(images) == 1 if vectors else pictures.is_one(images)  # type: ignore[arg-type]
    several: list[Any] = [images] if one else list(images)  # type: ignore[arg-type]
    if vectors:
        array = detector.statistics.checked(np.asarray(several))
    else:
        shape = events.image_shape(detector.image_shape)
        array = pictures.prepared(several, detector.preparation, shape, detector.name)
        array = detector.statistics.checked(array)
    of_columns = getattr(detector, "columns", None) if vectors else None
    columns = [None] * len(array) if of_columns is None else of_columns(array)
    scores = detector.score(array)
    known = detector.calibration_scores
    p_values = [None] * len(array) if known is None else detector.p_value_of_scores(scores).tolist()
    tests = detector.tests(array)
    no_map = detector.maps.why_none()
    maps: np.ndarray | list[None] = [None] * len(array) if no_map else detector.score_map(array)
    scale = None if no_map else detector.maps.scale or heat.scale_of(np.asarray(maps))
    found = [
        Explanation(
            image=array[i],
            key=f"vector {i + 1}" if vectors else pictures.called(several[i], i),
            detector=detector.name,
            score=float(scores[i]),
            p_value=p_values[i],
            alpha=alpha,
            **_verdict(p_values[i], alpha, known, "vectors" if vectors else "pictures"),
            map=maps[i],
            no_map=no_map,
            scale=scale,
            calibration_scores=known,
            tests={name: float(values[i]) for name, values in tests.items()},
            columns=columns[i],
            column_names=detector.column_names if vectors else (),
        )
        for i in range(len(array))
    ]
    return found[0] if one else Explanations(found)


def _verdict(p_value: float | None, alpha: float, scores: np.ndarray | None, kind: str) -> dict[str, str]:
    if p_value is None or scores is None:
        return {"verdict": "", "words": "no verdict: the detector is not calibrated"}
    if not calibration.attainable(alpha, len(scores)):
        return {"verdict": "", "words": f"no verdict: {calibration.unattainable(alpha, len(scores))}"[:-1]}
    if np.float32(p_value) <= np.float32(alpha):
        share = f"of {kind} of its own kind at most {100 * alpha:.3g} % score as high"
        return {"verdict": "out", "words": f"foreign to the model ({share})"}
    return {"verdict": "in", "words": f"not called foreign at {alpha:.3g}"}


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share >= 1e-4 else "less than 0.01 %"


def _figure(name: str, picture: bytes) -> str:
    data = base64.b64encode(picture).decode("ascii")
    return (
        f'<figure style="margin:0"><img alt="{name}" src="data:image/png;base64,{data}" '
        f'style="max-width:270px;width:100%"><figcaption style="font-size:12px">{name}</figcaption></figure>'
    )


def _line(x: float, colour: str, dashes: str) -> str:
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT}" stroke="{colour}" stroke-width="2"{dashes}/>'
    )


def _text(text: str) -> str:
    return html.escape(printable(text))
