"""One picture as grey levels: the only place where pictures are decoded, for training and for scoring alike.

A picture is a file, its bytes or a PIL image, of any of `FORMATS`: stills that Pillow decodes itself. (What
would start another program, such as EPS or PDF, is none.) What is made of it:

    EXIF orientation       applied: a portrait that a phone saved on its side stands upright
    more than one frame    the first one (GIF, APNG, WebP, TIFF)
    1-bit, grey            one channel, 0..255
    RGB                    three channels
    16 bits                v / 257, rounded; of colour in TIFF the upper 8 bits, as Pillow has it
    palette, CMYK, YCbCr,  three channels; CMYK by Pillow's formula, R = (255 - C) (255 - K) / 255
      HSV, L*a*b*
    transparency           over a colour o:  a c + (1 - a) o, rounded; refused where there is none

An ICC profile is left aside: the values are taken as they are stored, whatever colour space they are of.
"""

import contextlib
import io
import os
from collections.abc import Callable
from typing import IO, NamedTuple

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from tfp_flows.checks import sizes
from tfp_flows.data.errors import DataError
from tfp_flows.data.files import check_regular

FORMATS = (
    *("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"),  # a JPEG may be MPO
    *("JPEG2000", "AVIF", "QOI", "DIB"),
)
SUFFIXES = frozenset(
    ".png .apng .jpg .jpeg .jpe .jfif .mpo .webp .bmp .dib .gif .tif .tiff .pbm .pgm .ppm .pnm "
    ".jp2 .j2k .j2c .jpc .jpf .jpx .avif .avifs .qoi".split()
)
GREY, RGB, DEEP = "grey", "RGB", "16 bits"
PLAIN = (GREY, RGB)  # what is taken as it is
_WEAK = ("PPM", "DIB")  # their first bytes may be those of a text
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_PREFIX = 16  # bytes by which a format is known
_ORIENTATION = 0x0112
_TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # by EXIF's orientation; of [H, W, C]
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: np.rot90(a),
}

Colour = tuple[int, int, int]
Picture = str | os.PathLike | bytes | io.BytesIO | Image.Image


class Unfit(DataError):
    """A picture cannot be had; the message is the reason alone.

    Attributes:
      transparent: Whether it is for its transparency, which `over` would mend.
    """

    def __init__(self, message: str, transparent: bool = False) -> None:
        super().__init__(message)
        self.transparent = transparent


class Fact(NamedTuple):
    """What a picture was before it was decoded.

    Attributes:
      height: In pixels, upright.
      width: Likewise.
      mode: "grey", "RGB", "16 bits", "palette", "CMYK", "YCbCr", "HSV" or "LAB".
      rotated: Whether it was turned or mirrored, as EXIF says.
      first_frame: Whether it has more frames or pages.
      flattened: Whether what is transparent was laid over a colour.
    """

    height: int
    width: int
    mode: str
    rotated: bool = False
    first_frame: bool = False
    flattened: bool = False


class Decoded(NamedTuple):
    """A picture's grey levels, uint8 `[H, W, 1 or 3]`, and what it was."""

    image: np.ndarray
    fact: Fact


def decode(picture: Picture, over: Colour | None = None) -> Decoded:
    """Decodes one picture.

    Args:
      picture: A path, the bytes of a file, or a PIL image.
      over: The colour that shows where it is transparent; None to refuse transparency.

    Returns:
      `Decoded`; of three channels unless the picture is grey, and what it is laid over too.

    Raises:
      Unfit: If it is none, is transparent, or by its header too large to be decoded.
    """
    if isinstance(picture, str | os.PathLike):
        try:
            check_regular(picture)
        except DataError as error:
            raise Unfit(str(error)) from error
    try:
        if isinstance(picture, Image.Image):
            return _decoded(picture, over, _png_of(picture))
        opened = io.BytesIO(picture) if isinstance(picture, bytes) else picture
        # An open file and not its path: Pillow maps what has a path into memory, and takes the pixels of a
        # TIFF without compression that is turned (EXIF) for those of the turned picture.
        with _open(opened) as file, Image.open(file, formats=FORMATS) as image:
            return _decoded(image, over, lambda: _contents(opened))
    except Unfit:
        raise
    except Exception as error:  # Pillow's decoders raise whatever comes to them of what is damaged
        raise Unfit(f"cannot be read as a picture: {_reason(error, picture)}") from error


def why_not_plain(mode: str) -> str:
    """Says what is wrong with a picture of another mode than grey or RGB, and what to do."""
    what = {"palette": "has a palette", DEEP: "has 16 bits per channel"}.get(mode, f"is {mode}")
    return f"{what}: add @rgb or @luminance"


def looks_like_picture(path: str | os.PathLike) -> bool:
    """Whether a file's first bytes are those of a picture; for files without a suffix."""
    try:
        with open(path, "rb") as file:
            prefix = file.read(_PREFIX)
    except OSError:
        return False
    Image.init()
    found = (Image.OPEN[name][1] for name in FORMATS if name in Image.OPEN and name not in _WEAK)
    return any(accept is not None and accept(prefix) is True for accept in found)


def _decoded(image: Image.Image, over: Colour | None, contents: Callable[[], bytes]) -> Decoded:
    sizes.check_image_size((image.height, image.width, len(image.getbands())), "the picture", Unfit)
    first_frame = _has_more_frames(image)
    before = _orientation(image) if image.format == "TIFF" else 1  # which Pillow turns as it decodes it
    deep_png = image.format == "PNG" and ";16" in _raw_mode(image)
    if _is_transparent(image) and over is None:
        raise Unfit("has transparency: add @over=white", transparent=True)
    colour, alpha, mode = _of_deep_png(image, contents()) if deep_png else _levels(image)
    now = _orientation(image)
    turned = _TURNED.get(now)
    if alpha is not None and over is not None:
        colour = _laid_over(colour, alpha, over)
    pixels = _to_8_bits(colour)
    if turned is not None:
        pixels = turned(pixels)
    pixels = np.ascontiguousarray(pixels)
    height, width, channels = pixels.shape
    if mode == GREY and channels == 3:
        mode = RGB
    rotated = turned is not None or before in _TURNED
    fact = Fact(height, width, mode, rotated, first_frame, alpha is not None)
    return Decoded(pixels, fact)


def _levels(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None, str]:
    """(colour `[H, W, 1 or 3]`, alpha `[H, W, 1]` or None, mode); uint8, or uint16 of what has 16 bits."""
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format == "PPM"):  # Pillow scales PGM to 65535
        deep = np.asarray(image).astype(np.uint16)[..., np.newaxis]
        clear = image.info.get("transparency")
        alpha = None if clear is None else np.where(deep == clear, np.uint16(0), np.uint16(65535))
        return deep, alpha, DEEP
    if mode in ("I", "F"):
        raise Unfit("has 32 bits per channel: write it with 8 or 16")
    name = {"1": GREY, "L": GREY, "LA": GREY, "La": GREY, "P": "palette", "PA": "palette"}.get(mode, mode)
    name = RGB if mode in ("RGB", "RGBA", "RGBX", "RGBa") else name
    if ";16" in _raw_mode(image):
        name = DEEP
    if _is_transparent(image):
        with_alpha = np.asarray(image.convert("LA" if name == GREY else "RGBA"))
        return with_alpha[..., :-1], with_alpha[..., -1:], name
    if name == GREY:
        return np.asarray(image.convert("L"))[..., np.newaxis], None, name
    if mode == "LAB":
        return np.asarray(_from_lab(image)), None, name
    return np.asarray(image if mode == "RGB" else image.convert("RGB")), None, name


def _of_deep_png(image: Image.Image, encoded: bytes) -> tuple[np.ndarray, np.ndarray | None, str]:
    """As `_levels`, of a PNG with 16 bits: Pillow would open its colours as 8, cut off and not rounded."""
    import tensorflow as tf  # here, as few pictures need it

    with tf.device("/CPU:0"):
        values = tf.io.decode_png(encoded, channels=4, dtype=tf.uint16).numpy()
    colour = values[..., :1] if image.mode[0] in "IL" else values[..., :3]
    return colour, values[..., 3:] if _is_transparent(image) else None, DEEP


def _laid_over(colour: np.ndarray, alpha: np.ndarray, over: Colour) -> np.ndarray:
    """a c + (1 - a) o, rounded, in the unit of `colour`; of one channel where colour and o are grey."""
    top = np.iinfo(colour.dtype).max
    below = np.array(over[:1] if len(set(over)) == 1 else over, np.uint32) * (top // 255)
    wide = alpha.astype(np.uint32)
    return ((wide * colour + (top - wide) * below + top // 2) // top).astype(colour.dtype)


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 257 is odd: no value is half way


def _from_lab(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None  # as it is not done in place
    return converted


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in _WITH_ALPHA or "transparency" in image.info


def _raw_mode(image: Image.Image) -> str:
    """How the file has its values, such as "RGB;16B"; "" where that is not known."""
    tile = getattr(image, "tile", None)
    args = tile[0][3] if tile else ""
    raw = args[0] if isinstance(args, tuple) and args else args
    return raw if isinstance(raw, str) else ""


def _has_more_frames(image: Image.Image) -> bool:
    """A phone's JPEG may hold a second picture, of depths or for HDR: that is no frame."""
    if image.format in ("JPEG", "MPO"):
        return False
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # what comes after the first frame may be damaged
        return True


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF says nothing
        return 1


def _open(opened: str | os.PathLike | io.BytesIO) -> contextlib.AbstractContextManager[IO[bytes]]:
    return contextlib.nullcontext(opened) if isinstance(opened, io.BytesIO) else open(opened, "rb")


def _contents(opened: str | os.PathLike | io.BytesIO) -> bytes:
    if isinstance(opened, io.BytesIO):
        return opened.getvalue()
    with open(opened, "rb") as file:
        return file.read()


def _png_of(image: Image.Image) -> Callable[[], bytes]:
    """The encoded contents of an image that is open, where it still has its file."""

    def contents() -> bytes:
        file = getattr(image, "fp", None)
        if file is None:
            raise Unfit("its file is closed: give its path")
        file.seek(0)
        return file.read()

    return contents


def _reason(error: Exception, picture: Picture) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "its format is not known"
    text = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
    if isinstance(picture, str | os.PathLike):
        text = text.replace(repr(os.fspath(picture)), "the file").replace(os.fspath(picture), "the file")
    return text
