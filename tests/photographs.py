"""A person's two folders: photographs of mixed sizes and formats, some of them odd.

    python -m tests.photographs FOLDER 800 200

FOLDER/good holds cuts of the two photographs of scikit-learn (a temple, a flower), FOLDER/strange cuts of a
portrait that matplotlib ships. Among the good ones is one with transparency, one grey, one CMYK, one rotated
by its EXIF and one cut off; they are told apart by their names.
"""

import pathlib
import sys

import numpy as np
from matplotlib import cbook
from PIL import Image
from sklearn.datasets import load_sample_images

FORMATS = ("png", "jpg", "webp", "bmp")
SMALLEST, LARGEST = 48, 200
ORIENTATION, QUARTER_TURN = 274, 6  # the tag of EXIF, and its value for a camera held upright
ODD = ("transparent.png", "grey.png", "cmyk.jpg", "rotated.jpg", "truncated.jpg")


def make(folder, num_good=800, num_strange=200, seed=0):
    """Writes the two folders; returns their paths."""
    rng = np.random.default_rng(seed)
    good, strange = (pathlib.Path(folder) / name for name in ("good", "strange"))
    pictures = [Image.fromarray(picture) for picture in load_sample_images().images]
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        portrait = Image.open(file).convert("RGB")
    _write(good, pictures, num_good - len(ODD), rng)
    _write_odd(good, pictures[0], rng)
    _write(strange, [portrait], num_strange, rng)
    return good, strange


def _write(folder, pictures, count, rng):
    folder.mkdir(parents=True)
    for i in range(count):
        cut = _cut(pictures[i % len(pictures)], rng)
        cut.save(folder / f"{i:04d}.{FORMATS[i // len(pictures) % len(FORMATS)]}", quality=92)


def _write_odd(folder, picture, rng):
    transparent, grey, cmyk, rotated, truncated = (folder / name for name in ODD)
    cut = _cut(picture, rng).convert("RGBA")
    cut.putalpha(Image.linear_gradient("L").resize(cut.size))
    cut.save(transparent)
    _cut(picture, rng).convert("L").save(grey)
    _cut(picture, rng).convert("CMYK").save(cmyk, quality=92)
    exif = Image.Exif()
    exif[ORIENTATION] = QUARTER_TURN
    _cut(picture, rng).rotate(90, expand=True).save(rotated, quality=92, exif=exif)
    _cut(picture, rng).save(truncated, quality=92)
    truncated.write_bytes(truncated.read_bytes()[:-400])


def _cut(picture, rng):
    """A cut of random size, place and zoom."""
    width, height = (int(n) for n in rng.integers(SMALLEST, LARGEST + 1, 2))
    left, top = (
        int(rng.integers(0, had - n + 1)) for had, n in zip(picture.size, (width, height), strict=True)
    )
    return picture.crop((left, top, left + width, top + height))


if __name__ == "__main__":
    make(sys.argv[1], *map(int, sys.argv[2:]))
