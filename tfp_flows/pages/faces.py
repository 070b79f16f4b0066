"""A figure as a page shows it: on light and on dark ground, as SVG or, of images, as sharp PNG."""

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.collections import Collection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from tfp_flows.pages import palette

SHARP = 192  # dots per inch: two for each of CSS
LARGEST_SVG = 150_000  # bytes; beyond, PNG is smaller
# Letters stay letters, in the page's own type. matplotlib has measured them in DejaVu Sans, which is wide:
# others fit where it does.
TYPE = "text{font-family:system-ui,'DejaVu Sans',Verdana,sans-serif!important}"


class Faces(NamedTuple):
    """A figure on both grounds.

    Attributes:
      ending: "svg" or "png".
      light: The file on light ground.
      dark: The file on dark ground.
    """

    ending: str
    light: bytes
    dark: bytes


def faces(figure: Figure) -> Faces:
    """Draws a figure on light and on dark ground; it is as it was afterwards.

    Args:
      figure: matplotlib `Figure`, drawn with the colours of light ground.
    """
    with _laid_out(figure):
        if not figure.findobj(AxesImage):
            light = svg(figure)
            if len(light) <= LARGEST_SVG:
                with on_dark(figure):
                    return Faces("svg", light, svg(figure))
        light = png(figure)
        with on_dark(figure):
            return Faces("png", light, png(figure))


@contextlib.contextmanager
def _laid_out(figure: Figure) -> Iterator[None]:
    """Lays the figure out once, so that both grounds have everything in the same place."""
    figure.draw_without_rendering()
    engine = figure.get_layout_engine()
    figure.set_layout_engine("none")
    try:
        yield
    finally:
        figure.set_layout_engine(engine)


def svg(figure: Figure) -> bytes:
    """The figure as SVG: the same bytes for the same figure."""
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "tfp_flows"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue().replace("</style>", TYPE + "</style>", 1).encode()


def png(figure: Figure) -> bytes:
    """The figure as PNG, with two dots for each of a page's."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=SHARP)
    return buffer.getvalue()


@contextlib.contextmanager
def on_dark(figure: Figure) -> Iterator[None]:
    """Has the figure's words, lines and areas in their colours on dark ground; images stay as they are."""
    undo: list[tuple[Callable[[Any], object], Any]] = []
    for artist in figure.findobj():
        # All before any is set: a marker's may be its line's.
        undo += [(put, get()) for get, put in _colours(artist)]
    for put, before in undo:
        put(_darkened(before))
    try:
        yield
    finally:
        for put, before in reversed(undo):
            put(before)


def _colours(artist: Artist) -> Iterator[tuple[Callable[[], Any], Callable[[Any], object]]]:
    """(getter, setter) of each colour of an artist."""
    if isinstance(artist, Text):
        yield artist.get_color, artist.set_color
        box = artist.get_bbox_patch()
        if box is not None:
            yield from _colours(box)
    elif isinstance(artist, Line2D):
        yield artist.get_color, artist.set_color
        yield artist.get_markerfacecolor, artist.set_markerfacecolor
        yield artist.get_markeredgecolor, artist.set_markeredgecolor
    elif isinstance(artist, Patch):
        yield artist.get_facecolor, artist.set_facecolor
        yield artist.get_edgecolor, artist.set_edgecolor
    elif isinstance(artist, Collection) and artist.get_array() is None:
        yield artist.get_facecolor, artist.set_facecolor
        yield artist.get_edgecolor, artist.set_edgecolor


def _darkened(colour: Any) -> Any:
    """A colour, or an array of them `[N, 4]`, on dark ground."""
    if getattr(colour, "ndim", 1) == 2:
        return [_darkened(tuple(one)) for one in colour]
    if isinstance(colour, str) and colour == "none":
        return colour
    *_, alpha = to_rgba(colour)
    return to_rgba(palette.on_dark(to_hex(colour)), alpha)
