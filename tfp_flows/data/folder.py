"""The source `folder:PATH`: PNG and JPEG files.

Files are found in all subfolders (names that start with a dot are skipped, and so is all that does not end
in .png, .jpg or .jpeg) and taken in the order of their relative paths. Subfolders `train`, `val` and `test`
are splits of the folder's own (`layout` has the other spellings, and what is refused); a split that has no
subfolder is taken from the training images by the file's relative path, as in `splits`: adding files moves
no other file to another split.

Files must hold 8-bit grey levels (read as 1 channel; 1-, 2- and 4-bit grey is scaled to 0..255
without loss) or 8-bit RGB (3 channels). Alpha, palettes, 16 bits and CMYK are refused: how to turn
those into grey levels is not ours to guess. An EXIF orientation is not applied. All images of a
split must have the same shape.
"""

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from tfp_flows.checks import sizes
from tfp_flows.data.errors import DataError
from tfp_flows.data.image_set import ImageSet
from tfp_flows.data.layout import is_official

_SUFFIXES = (".png", ".jpg", ".jpeg")
_PNG_BIT_DEPTH_OFFSET = 24
_NUM_THREADS = min(8, os.cpu_count() or 1)


def read_files(path: str, files: Sequence[str], split: str) -> ImageSet:
    """Reads some images of a folder.

    Args:
      path: The folder; `~` is expanded.
      files: Paths relative to the folder, with slashes.
      split: The split that they are.

    Returns:
      The images, without labels, in the order of `files`, which are their keys.

    Raises:
      DataError: If there is none, or a file cannot be read, is of a kind that is refused, or differs in
        shape from the first one.
    """
    check_some(path, files, split)
    images = _decode_all(Path(os.path.expanduser(path)), files)
    return ImageSet(f"folder:{path}", split, images, None, tuple(files))


def check_some(path: str, files: Sequence[str], split: str) -> None:
    """Refuses a split without images. Raises `DataError`."""
    if not files:
        raise DataError(
            f"folder:{path}: none of its {len(list_images(path))} image(s) is for the {split} part: "
            "put some into subfolders train and test"
        )


def list_images(path: str) -> list[str]:
    """The relative paths of a folder's images, sorted. Raises `DataError` if there are none."""
    root = Path(os.path.expanduser(path))
    if not os.path.isdir(root):
        raise DataError(
            f"folder:{path}: no such folder (an '@' starts an operation only where a known one follows it)"
        )
    tops = [root, *(top for top in root.iterdir() if top.is_symlink() and is_official(top.name))]
    files = sorted(
        {
            file.relative_to(root).as_posix()
            for top in tops
            for file in top.rglob("*")
            if file.suffix.lower() in _SUFFIXES and _visible(file.relative_to(root)) and file.is_file()
        }
    )
    if not files:
        raise DataError(f"folder:{path}: holds no image ({', '.join(_SUFFIXES)})")
    return files


def _visible(relative: Path) -> bool:
    return not any(name.startswith(".") for name in relative.parts)


def _decode_all(root: Path, files: Sequence[str]) -> np.ndarray:
    first = decode_file(root / files[0])
    sizes.check_held(len(files) * first.size, f"{root}", DataError)
    images = np.empty((len(files), *first.shape), np.uint8)
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        decoded = pool.map(decode_file, (root / file for file in files))
        for index, image in enumerate(decoded):
            if image.shape != first.shape:
                pool.shutdown(wait=False, cancel_futures=True)
                raise DataError(
                    f"{root / files[index]}: has shape {_text(image)}, but {root / files[0]} has "
                    f"{_text(first)}: all images must have the same shape"
                )
            images[index] = image
    return images


def decode_file(file: Path | io.BytesIO) -> np.ndarray:
    """Reads one PNG or JPEG, a path or bytes in memory, as `uint8 [H, W, 1 or 3]`.

    Raises:
      DataError: If it is none, of a kind that is refused, or by its header too large to be decoded.
    """
    try:
        with Image.open(file, formats=("PNG", "JPEG")) as image:
            sizes.check_image_size((image.height, image.width, len(image.getbands())), f"{file}", DataError)
            _refuse_lossy(image, file)
            pixels = np.asarray(image.convert("L") if image.mode == "1" else image)
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = str(error).replace(str(file), "the file").replace(repr(str(file)), "the file")
        raise DataError(f"{file}: cannot be read as a PNG or JPEG: {reason}") from error
    return pixels[..., np.newaxis] if pixels.ndim == 2 else pixels


def _refuse_lossy(image: Image.Image, file: Path | io.BytesIO) -> None:
    if _is_16_bit(image, file):
        raise DataError(f"{file}: has 16 bits per channel: write it with 8")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        raise DataError(f"{file}: has transparency: flatten it to RGB or greyscale")
    if image.mode == "P":
        raise DataError(f"{file}: has a palette: convert it to RGB or greyscale")
    if image.mode not in ("1", "L", "RGB"):
        raise DataError(f"{file}: is {image.mode}: convert it to 8-bit RGB or greyscale")


def _is_16_bit(image: Image.Image, file: Path | io.BytesIO) -> bool:
    """Reads the bit depth from the PNG header: Pillow opens 16-bit RGB as 8 bits, in silence."""
    if image.format != "PNG":
        return False
    if isinstance(file, io.BytesIO):
        return file.getvalue()[_PNG_BIT_DEPTH_OFFSET] == 16
    with open(file, "rb") as stream:
        return stream.read(_PNG_BIT_DEPTH_OFFSET + 1)[_PNG_BIT_DEPTH_OFFSET] == 16


def _text(image: np.ndarray) -> str:
    return "x".join(map(str, image.shape))
