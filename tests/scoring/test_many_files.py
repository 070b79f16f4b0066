"""Memory does not grow with the number of images, neither of a job nor of one that goes on."""

import atexit
import functools
import pathlib
import resource
import tracemalloc

import numpy as np
from PIL import Image

from tfp_flows.scoring.done import Done

from .images import keys, save_detector, score

COUNT, FEW = 2000, 200
SHAPE = (128, 128, 1)  # 16 KiB an image


def _noting_peak(file):
    """Writes the most memory, in bytes, that this process has held, when it ends."""
    atexit.register(
        lambda: pathlib.Path(file).write_text(
            str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024), encoding="ascii"
        )
    )


def _peak(folder, out, detector):
    noted = out.with_suffix(".peak")
    before = functools.partial(_noting_peak, noted)
    result = score(f"folder:{folder}", out, detector, "--batch_size=20", before=before).wait()
    assert result.returncode == 0, result.stderr
    return int(noted.read_text(encoding="ascii"))


def test_two_thousand_files_take_no_more_memory_than_two_hundred(tmp_path):
    """Of their images 28 MiB are beyond those of the first 200; a tenth of that may stay, as noise."""
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        folder = tmp_path / ("many" if number >= FEW else "few")
        folder.mkdir(exist_ok=True)
        pixels = np.tile(rng.integers(0, 256, [8, 8]).astype(np.uint8), [16, 16])
        Image.fromarray(pixels).save(folder / f"{number:04d}.png", compress_level=1)
    detector = save_detector(tmp_path / "detector", shape=SHAPE)
    _peak(tmp_path / "few", tmp_path / "first.csv", detector)  # the server's first child is no measure
    few = _peak(tmp_path / "few", tmp_path / "few.csv", detector)
    (tmp_path / "few").rename(tmp_path / "many" / "few")
    many = _peak(tmp_path / "many", tmp_path / "many.csv", detector)
    assert len(set(keys(tmp_path / "many.csv"))) == COUNT
    extra = (COUNT - FEW) * np.prod(SHAPE)
    assert many - few < 0.4 * extra, (few, many, extra)


def test_what_is_done_takes_24_bytes_an_image():
    count = 100_000
    tracemalloc.start()
    try:
        done = Done(f"folder/of/images/{number}.png" for number in range(count))
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(done) == count and held < 25 * count and peak < 100 * count
