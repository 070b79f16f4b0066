"""The colours of pages and pictures, on light and on dark ground: the only place that has any."""

from collections.abc import Sequence
from typing import NamedTuple


class Theme(NamedTuple):
    """What a ground is drawn on with, as "#rrggbb".

    Attributes:
      ground: The page.
      panel: Boxes on it.
      line: Rules, grids and frames.
      soft: Words that explain.
      ink: Words.
      own: The model's own data, links and accents.
      right: Numbers that are as they should be.
      wrong: Numbers that are not.
    """

    ground: str
    panel: str
    line: str
    soft: str
    ink: str
    own: str
    right: str
    wrong: str


LIGHT = Theme("#ffffff", "#f4f5f7", "#d5d8dd", "#5c6168", "#1b1d21", "#0072b2", "#00684d", "#a33500")
DARK = Theme("#16181b", "#212429", "#3a3e45", "#a3a9b2", "#e6e8eb", "#4ba3e3", "#6fd3b0", "#ff9d6b")

# Of sets, the model's own first: Okabe and Ito's, told apart with any colour vision. Their orange and sky
# blue are too pale for a line on white (below 3 to 1) and are a brown and a deeper sky blue here.
ON_LIGHT = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#1B1D21", "#7A5A00", "#3F9AD6")
ON_DARK = ("#4BA3E3", "#F0803C", "#2FC498", "#E39BC6", "#E6E8EB", "#F2C94C", "#A5D8F7")
LEAST_CONTRAST = 3.0  # of what is no text: WCAG 2.2, 1.4.11
LEAST_OF_WORDS = 4.5  # WCAG 2.2, 1.4.3
TONE = 0.75  # of a set's colour in that of its training images, the rest being ground

Colour = tuple[float, float, float]


def parse(colour: str) -> Colour:
    """Red, green and blue in [0, 1] of "#rrggbb"."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def text(colour: Sequence[float]) -> str:
    """Red, green and blue in [0, 1] as "#rrggbb"."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour[:3])


def luminance(colour: str) -> float:
    """Relative luminance in [0, 1], as WCAG 2.2 defines it."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parse(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """(L1 + 0.05) / (L2 + 0.05) of the lighter and the darker luminance, 1 to 21, as WCAG 2.2 defines it."""
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def mixed(colour: str, other: str, share: float) -> str:
    """`share` of a colour, the rest of another one."""
    pairs = zip(parse(colour), parse(other), strict=True)
    return text([share * a + (1 - share) * b for a, b in pairs])


def tone(colour: str, ground: str = LIGHT.ground) -> str:
    """The paler tone of a set's colour that its training images have."""
    return mixed(colour, ground, TONE)


def words(colour: str) -> str:
    """A set's colour, darkened until words of it can be read on light ground."""
    share = 1.0
    while contrast(found := mixed(colour, LIGHT.ink, share), LIGHT.ground) < LEAST_OF_WORDS:
        share -= 0.05
    return found


def on_dark(colour: str) -> str:
    """The colour that stands on the dark ground for one on the light ground.

    A colour of the theme or of a set has its counterpart; a grey is mirrored between the grounds; any other
    keeps its hue and is made lighter until it can be seen.

    Args:
      colour: "#rrggbb".
    """
    colour = colour.lower()
    if colour in _COUNTERPARTS:
        return _COUNTERPARTS[colour]
    parts = parse(colour)
    if max(parts) - min(parts) < 0.02:
        return mixed(DARK.ground, DARK.ink, parts[0])
    share = 0.0
    while contrast(found := mixed("#ffffff", colour, share), DARK.ground) < LEAST_CONTRAST:
        share += 0.05
    return found


_COUNTERPARTS = {
    **{words(tone(light)): dark.lower() for light, dark in zip(ON_LIGHT, ON_DARK, strict=True)},
    **{words(light): dark.lower() for light, dark in zip(ON_LIGHT, ON_DARK, strict=True)},
    **dict(zip(LIGHT, DARK, strict=True)),
    **{light.lower(): dark.lower() for light, dark in zip(ON_LIGHT, ON_DARK, strict=True)},
    **{tone(light): tone(dark, DARK.ground) for light, dark in zip(ON_LIGHT, ON_DARK, strict=True)},
}
