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

from tfp_flows import runs
from tfp_flows.pages import pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]  # of a table: texts, numbers and "" by the titles of their columns
TEMPLATES = pathlib.Path(__file__).parent / "templates"
DPI = 110
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
        for name in ("figures", "tables"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)

    def section(self, title: str, anchor: str) -> None:
        """Begins a section; what is added next belongs to it."""
        self._sections.append(Section(title, anchor))

    def text(self, text: str) -> None:
        """Adds a paragraph."""
        self._add(kind="text", text=text)

    def heading(self, text: str) -> None:
        """Adds a heading within the section."""
        self._add(kind="heading", text=text)

    def figure(self, name: str, figure: "Figure", alt: str, caption: str = "") -> None:
        """Adds a matplotlib `Figure`, also written as figures/NAME.png.

        Args:
          name: File name without its ending; one that is taken is numbered.
          figure: The picture.
          alt: What it shows, for those who do not see it.
          caption: Shown below it.
        """
        name = self._file("figures", name)
        buffer = io.BytesIO()
        pictures.save(figure, buffer, DPI)
        png = buffer.getvalue()
        (self._folder / "figures" / f"{name}.png").write_bytes(png)
        width, height = (round(size * DPI) for size in figure.get_size_inches())
        self._add(
            kind="figure",
            png=base64.b64encode(png).decode(),
            alt=alt,
            caption=caption,
            width=width,
            height=height,
        )

    def table(
        self,
        name: str,
        rows: Sequence[Row],
        caption: str,
        formats: dict[str, str] | None = None,
        marks: Callable[[Row, str], str | None] | None = None,
    ) -> None:
        """Adds a table, also written as tables/NAME.csv and into results.json.

        Args:
          name: File name without its ending.
          rows: List of dicts with the same keys, which are the columns' titles.
          caption: What it says and in which units.
          formats: {column: format specification} of the shown numbers; the files have them in full.
          marks: Function (row, column) -> "right", "wrong" or None.
        """
        self.data(name, rows)
        header = list(rows[0])
        shown = [
            [
                {"text": _shown(row[key], (formats or {}).get(key)), "mark": marks and marks(row, key)}
                for key in header
            ]
            for row in rows
        ]
        self._add(kind="table", header=header, rows=shown, caption=caption)

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
            title=self._title, lead=self._lead, sections=self._sections, how=how
        )
        results = json.dumps(self._results, indent=2, ensure_ascii=False)
        runs.write_atomically(self._folder / "results.json", results + "\n")
        runs.write_atomically(self._folder / "index.html", html)
        return self._folder / "index.html"

    def _file(self, folder: str, name: str) -> str:
        """A name that no other file of the folder has, on no file system."""
        if len(name.encode("utf-8", "surrogateescape")) > MOST_BYTES:
            name = f"{name[:20]}-{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:16]}"
        names = (name if i == 1 else f"{name}-{i}" for i in itertools.count(1))
        free = next(name for name in names if (folder, name.casefold()) not in self._taken)
        self._taken.add((folder, free.casefold()))
        return free

    def _add(self, **item: Any) -> None:
        self._sections[-1].items.append(item)


def _shown(value: Any, specification: str | None) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, str) or specification is None:
        return str(value)
    return format(value, specification)
