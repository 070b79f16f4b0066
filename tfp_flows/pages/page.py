"""A page of text, tables and pictures, written as one self-contained HTML file with its files beside it."""

import base64
import csv
import dataclasses
import hashlib
import io
import itertools
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np

from tfp_flows import runs
from tfp_flows.pages import cells, palette, thumbnails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]  # of a table: texts, numbers and "" by the titles of their columns
TEMPLATES = pathlib.Path(__file__).parent / "templates"
CSS_DPI = 96  # dots of a page in an inch
MOST_BYTES = 200  # of a file's name


@dataclasses.dataclass
class Section:
    """A titled piece of the page; `items` are shown in their order."""

    title: str
    anchor: str
    items: list[dict[str, Any]] = dataclasses.field(default_factory=list)


class Page:
    """Collects sections; pictures and tables are written to files as they are added."""

    def __init__(self, folder: str | os.PathLike, title: str, lead: str) -> None:
        """Makes the folders.

        Args:
          folder: Where index.html, figures/ and tables/ go.
          title: Of the page.
          lead: Its first paragraph.
        """
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
        )
        self._folder = pathlib.Path(folder)
        self._title = title
        self._lead = lead
        self._sections: list[Section] = []
        self._results: dict[str, Sequence[Row]] = {}
        self._taken: set[tuple[str, str]] = set()
        self._ids = 0
        for name in ("figures", "tables"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)

    def section(self, title: str, anchor: str) -> None:
        """Begins a section; what is added next belongs to it."""
        self._sections.append(Section(title, anchor))

    def text(self, text: str) -> None:
        """Adds a paragraph."""
        self._add(kind="text", text=text)

    def callout(self, text: str) -> None:
        """Adds a paragraph in a box: what should not be missed."""
        self._add(kind="callout", text=text)

    def code(self, text: str, label: str = "Commands") -> None:
        """Adds lines to type; one click chooses them all.

        Args:
          text: The lines, as they are to be typed.
          label: What they do, for those who do not see the box.
        """
        self._add(kind="code", text=text, label=label)

    def facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Adds a row of numbers at a glance.

        Args:
          facts: Pairs of a value and what it is of: ("1,200", "images to train on").
        """
        self._add(kind="facts", facts=facts)

    def heading(self, text: str) -> None:
        """Adds a heading within the section."""
        self._add(kind="heading", text=text)

    def figure(self, name: str, figure: "Figure", alt: str, caption: str = "") -> None:
        """Adds a matplotlib `Figure`, which the page shows on light and on dark ground.

        Also written as figures/NAME.png, and as NAME.svg and NAME-dark.svg; one that holds images has
        NAME-dark.png instead.

        Args:
          name: File name without its ending; one that is taken is numbered.
          figure: The picture, in the colours of light ground; see `pages.palette`.
          alt: What it shows, for those who do not see it.
          caption: Shown below it.
        """
        from tfp_flows.pages import faces, pictures  # here: pages without figures need no matplotlib

        name = self._file("figures", name)
        pictures.save(figure, self._folder / "figures" / f"{name}.png")
        both = faces.faces(figure)
        for other in (f"{name}.svg", f"{name}-dark.svg", f"{name}-dark.png"):  # of an earlier page
            (self._folder / "figures" / other).unlink(missing_ok=True)
        if both.ending == "svg":
            self._picture(f"{name}.svg", both.light)
        self._picture(f"{name}-dark.{both.ending}", both.dark)
        width, height = (round(size * CSS_DPI) for size in figure.get_size_inches())
        self._add(
            kind="figure",
            id=self._id("figure"),
            light=_address(both.light, both.ending),
            dark=_address(both.dark, both.ending),
            alt=alt,
            caption=caption,
            width=width,
            height=height,
        )

    def images(
        self,
        name: str,
        images: Sequence[np.ndarray] | np.ndarray,
        captions: Sequence[str | Sequence[str]],
        overlays: Sequence[np.ndarray] | np.ndarray | None = None,
        caption: str = "",
    ) -> None:
        """Adds images side by side, each with words of its own; also written as figures/NAME_1.png, ...

        Args:
          name: Files' name without number and ending.
          images: uint8 `[H, W, C]` each; other numbers of channels than 1 and 3 show their mean.
          captions: Of each image, one line or several; the first one stands out.
          overlays: Of each image a second one shown beside it, such as a heat map; figures/NAME_1_map.png.
          caption: Shown below all.

        Raises:
          ValueError: If there is not one caption, and one overlay, for each image.
        """
        cards = []
        beside = [None] * len(images) if overlays is None else overlays
        for number, (image, lines, overlay) in enumerate(zip(images, captions, beside, strict=True), 1):
            lines = [lines] if isinstance(lines, str) else list(lines)
            shown = [self._thumbnail(f"{name}_{number}", image, lines[0] if lines else f"image {number}")]
            if overlay is not None:
                alt = f"where the score of {shown[0]['alt']} comes from"
                shown.append(self._thumbnail(f"{name}_{number}_map", overlay, alt))
            cards.append({"id": self._id("image"), "pictures": shown, "lines": lines})
        self._add(kind="images", cards=cards, caption=caption, pairs=overlays is not None)

    def table(
        self,
        name: str,
        rows: Sequence[Row],
        caption: str,
        formats: dict[str, str] | None = None,
        marks: Callable[[Row, str], str | None] | None = None,
        folded: bool = True,
    ) -> None:
        """Adds a table, also written as tables/NAME.csv and into results.json.

        Args:
          name: File name without its ending.
          rows: List of dicts with the same keys, which are the columns' titles.
          caption: What it says and in which units.
          formats: {column: format specification} of the shown numbers; the files have them in full.
          marks: Function (row, column) -> "right", "wrong" or None.
          folded: Whether a long one is closed at first.
        """
        self.data(name, rows)
        header = list(rows[0])
        numeric = {key: all(cells.is_number(row[key]) for row in rows) for key in header}
        shown = [
            [
                {
                    "text": (text := cells.shown(row[key], (formats or {}).get(key))),
                    "classes": cells.classes(numeric[key], marks(row, key) if marks else None, text=text),
                }
                for key in header
            ]
            for row in rows
        ]
        titles = [{"text": key, "classes": cells.classes(numeric[key], title=key)} for key in header]
        self._add(kind="table", header=titles, rows=shown, caption=caption, folded=folded)

    def data(self, name: str, rows: Sequence[Row], in_json: bool = True) -> str:
        """Writes numbers that are drawn but not shown as a table: tables/NAME.csv, and results.json.

        Args:
          name: File name without its ending.
          rows: List of dicts with the same keys.
          in_json: Whether results.json has them too.

        Returns:
          The name, numbered if it was taken.
        """
        name = self._file("tables", name)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        runs.write_atomically(self._folder / "tables" / f"{name}.csv", text.getvalue())
        if in_json:
            self._results[name] = rows
        return name

    def write(self, how: Sequence[str]) -> pathlib.Path:
        """Writes index.html and results.json.

        Args:
          how: List of lines about how the page was made.

        Returns:
          Path of index.html.
        """
        html = self._environment.get_template("report.html.j2").render(
            title=self._title,
            lead=self._lead,
            sections=self._sections,
            how=how,
            light=palette.LIGHT._asdict(),
            dark=palette.DARK._asdict(),
        )
        results = json.dumps(self._results, indent=2, ensure_ascii=False)
        runs.write_atomically(self._folder / "results.json", results + "\n")
        runs.write_atomically(self._folder / "index.html", html)
        return self._folder / "index.html"

    def _file(self, folder: str, name: str) -> str:
        """A name that no other file of the folder has, on no file system."""
        name = name.replace("/", "_").replace("\\", "_")  # sets are called by their folders
        if len(name.encode("utf-8", "surrogateescape")) > MOST_BYTES:
            name = f"{name[:20]}-{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:16]}"
        names = (name if i == 1 else f"{name}-{i}" for i in itertools.count(1))
        free = next(name for name in names if (folder, name.casefold()) not in self._taken)
        self._taken.add((folder, free.casefold()))
        return free

    def _thumbnail(self, name: str, image: np.ndarray, alt: str) -> dict[str, Any]:
        """An image as the page shows it, also written to a file."""
        content, width, height = thumbnails.png(image)
        self._picture(f"{self._file('figures', name)}.png", content)
        coarse = max(width, height) < thumbnails.FEW
        return {"address": _address(content, "png"), "alt": alt, "width": width, "height": height} | {
            "coarse": coarse
        }

    def _picture(self, file: str, content: bytes) -> None:
        runs.write_atomically(self._folder / "figures" / file, content)

    def _id(self, kind: str) -> str:
        """An anchor that nothing else of the page has."""
        self._ids += 1
        return f"{kind}-{self._ids}"

    def _add(self, **item: Any) -> None:
        self._sections[-1].items.append(item)


def _address(content: bytes, ending: str) -> str:
    """A file as a `data:` address, so that the page needs none beside it."""
    kind = {"svg": "image/svg+xml", "png": "image/png"}[ending]
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
