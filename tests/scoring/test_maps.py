"""Pictures of heat maps beside a table of scores."""

import io
import itertools
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from tfp_flows import scoring
from tfp_flows.data import streams
from tfp_flows.pages import heat

from .images import SHAPE, Killed, image, scorer, write_png


class Mapping:
    """A scorer whose maps are the grey levels; it dies at a call of that number."""

    gives_p_values = True
    map_scale = heat.Scale(0.0, 255.0)

    def __init__(self, dies_at=None):
        self._calls = itertools.count()
        self._dies_at = dies_at

    def __call__(self, images):
        if next(self._calls) == self._dies_at:
            raise Killed
        return scorer(images)

    def check_map(self):
        pass

    def score_map(self, images):
        return images[..., 0].astype(np.float32)


def _job(folder, out, maps, mapping=None, which="all", model="m", alpha=0.5):
    mapping = mapping or Mapping()
    files = None if maps is None else scoring.MapFiles(mapping, maps, which, model)

    def opened(skip):
        return streams.stream(f"folder:{folder}", SHAPE, skip=skip)

    job = scoring.Job(f"folder:{folder}", model, alpha)
    return scoring.score_stream(mapping, opened, out, job, 4, progress=False, maps=files)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for number in range(9):
        write_png(tmp_path / "in" / f"{number}.png", number)
    write_png(tmp_path / "in" / "sub" / "a b.png", 9)
    return tmp_path / "in"


def _made(maps):
    return sorted(path.relative_to(maps).as_posix() for path in maps.rglob("*.png"))


ALL = sorted([*(f"{number}.png.png" for number in range(9)), "sub/a b.png.png"])


def test_every_image_has_a_picture_in_one_scale(folder, tmp_path):
    _job(folder, tmp_path / "s.csv", tmp_path / "maps")
    assert _made(tmp_path / "maps") == ALL
    with Image.open(tmp_path / "maps" / "3.png.png") as picture:
        assert picture.width >= 2 * heat.SIDE and picture.height >= heat.SIDE
        left = np.asarray(picture)[:256:64, :256:64, 0]
    np.testing.assert_array_equal(left, image(3)[..., 0])
    noted = json.loads((tmp_path / "maps" / "scale.json").read_text())
    assert (noted["low"], noted["high"]) == (0.0, 255.0)


def test_a_job_that_was_killed_makes_those_that_are_missing(folder, tmp_path):
    out, maps = tmp_path / "s.csv", tmp_path / "maps"
    with pytest.raises(Killed):
        _job(folder, out, maps, Mapping(dies_at=2))
    assert len(_made(maps)) == 8
    (maps / "1.png.png").unlink()
    before = (maps / "2.png.png").stat().st_mtime_ns
    _job(folder, out, maps)
    assert _made(maps) == ALL and (maps / "2.png.png").stat().st_mtime_ns == before


def test_maps_of_those_called_out(folder, tmp_path):
    values = scorer(np.stack([image(number) for number in range(9)]))["p_value"]
    alpha = float(np.sort(values)[3])
    _job(folder, tmp_path / "s.csv", tmp_path / "maps", which="out", alpha=alpha)
    chosen = {f"{i}.png.png" for i in np.flatnonzero(values <= np.float32(alpha))}
    assert {name for name in _made(tmp_path / "maps") if "sub" not in name} == chosen and len(chosen) == 4


def test_what_cannot_be_made_is_said_before_any_work(folder, tmp_path):
    out = tmp_path / "s.csv"
    _job(folder, out, tmp_path / "maps")
    with pytest.raises(scoring.ScoringError, match="holds maps of another model"):
        _job(folder, tmp_path / "t.csv", tmp_path / "maps", model="other")
    mapping = Mapping()
    mapping.gives_p_values = False
    with pytest.raises(scoring.ScoringError, match="`maps_of`: without p-values"):
        scoring.MapFiles(mapping, tmp_path / "other", "out", "m")
    (tmp_path / "maps" / "scale.json").write_text('{"low": "x"}')
    with pytest.raises(scoring.ScoringError, match="is damaged"):
        _job(folder, tmp_path / "t.csv", tmp_path / "maps")
    assert not (tmp_path / "t.csv").exists()


PIECES = [
    "",
    ".",
    "..",
    "a",
    "A",
    "a.png",
    "%2E",
    "%",
    "a%2Fb",
    "\udcff",
    "é",
    "\n",
    "~",
    "x" * 300,
    "x" * 301,
]


@pytest.mark.parametrize("batch", [1, 3])
def test_of_equal_keys_the_first_has_the_picture(tmp_path, batch):
    items = [streams.Item("a.png", image(number)) for number in (10, 200, 90)]
    rows = [scoring.ScoredImage("a.png", None, None, float(i), 0.5, "in") for i in range(3)]
    maps = scoring.MapFiles(Mapping(), tmp_path / "maps", "all", "m")
    for start in range(0, 3, batch):
        maps.write(items[start : start + batch], rows[start : start + batch])
    (name,) = _made(tmp_path / "maps")
    alone = scoring.MapFiles(Mapping(), tmp_path / "alone", "all", "m")
    alone.write(items[:1], rows[:1])
    assert (tmp_path / "maps" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_two_keys_have_two_files_and_none_leaves_the_folder(tmp_path):
    keys = ["/".join(parts) for n in (1, 2, 3) for parts in itertools.product(PIECES, repeat=n)]
    keys += ["scale.json", "scale.json/a", "a.PNG/b", "../../etc/passwd", "/etc/passwd", "a.png.png"]
    keys = list(dict.fromkeys(keys))
    found = [scoring.relative_path(key) for key in keys]
    assert len(set(found)) == len(keys)
    assert not any(path.is_absolute() or {"..", "."} & set(path.parts) for path in found)
    assert all(len(part.encode()) < 240 for path in found for part in path.parts)
    folders = {str(parent) for path in found for parent in path.parents}
    assert not folders & ({str(path) for path in found} | {"scale.json"})
    for key in ("../../etc/passwd", "a/\udcff", "x" * 300):
        path = tmp_path / scoring.relative_path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        assert tmp_path in pathlib.Path(path).resolve().parents


def test_an_overlay_is_red_where_the_map_is_high():
    grey = np.full([32, 32, 3], 128, np.uint8)
    values = np.zeros([32, 32], np.float32)
    values[:, 16:] = 10.0
    picture = np.asarray(heat.overlay(grey, values, heat.Scale(0.0, 10.0))).astype(int)
    left, right = picture[128, 20], picture[128, -20]
    assert np.ptp(left) == 0 and right[0] - right[1] > 100
    bare = np.asarray(heat.overlay(grey, np.full([32, 32], np.nan), heat.Scale(0.0, 10.0))).astype(int)
    assert (bare[..., 0] - bare[..., 1]).min() > 100  # what is no number is as foreign as can be
    file = io.BytesIO(heat.png(heat.pair(grey, values, heat.Scale(0.0, 10.0), "\u2603 snow")))
    assert Image.open(file).size[0] > 512


def test_a_long_caption_goes_on_in_the_next_line():
    grey, values, scale = np.full([32, 32, 3], 128, np.uint8), np.zeros([32, 32]), heat.Scale(0.0, 10.0)
    short, long = (heat.pair(grey, values, scale, "word " * count) for count in (1, 100))
    ink = np.asarray(long).min(axis=-1)[short.height :] < 100
    assert long.width == short.width and long.height > short.height
    assert ink.any() and not ink[:, -2:].any()  # nothing is cut


def test_smoothing_is_the_mean_of_what_lies_in_the_image():
    values = np.random.default_rng(0).standard_normal([2, 7, 9])
    found = heat.smoothed(values, 3)
    padded = np.pad(values, [(0, 0), (1, 1), (1, 1)], constant_values=np.nan)
    expected = [[np.nanmean(padded[:, r : r + 3, c : c + 3], (1, 2)) for c in range(9)] for r in range(7)]
    np.testing.assert_allclose(found, np.moveaxis(expected, -1, 0))
