"""What is drawn: its numbers, its bins, its axes, its colours, its words."""

import io
import itertools
import re

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from PIL import Image

from tfp_flows.pages import bins, drawing, faces, lines, palette, pictures

RNG = np.random.default_rng(0)
TRAIN = {"good (train)": "good"}


def _sets(count, images=300):
    names = ["good", "good (train)", *(f"other {i}" for i in range(count - 1))]
    return {name: RNG.normal(3 + 0.4 * i, 0.3, images) for i, name in enumerate(names)}


def _steps(axes):
    return {step.get_label(): step for step in axes.findobj(StepPatch)}


def _texts(figure):
    return [text for text in figure.findobj(Text) if text.get_text().strip()]


def _colours(figure):
    found = []
    for artist in figure.findobj():
        for name in ("color", "facecolor", "edgecolor", "markerfacecolor"):
            get = getattr(artist, f"get_{name}", None)
            found.append((name, str(get())) if get else None)
    return found


def _places(svg):
    return re.findall(b' (?:d|transform|x|y)="[^"]*"', svg)


@pytest.mark.parametrize("images", [20, 50, 1000, 10_000])
def test_bins_follow_the_images(images):
    values = np.random.default_rng(1).normal(size=images)
    low, high = values.min(), values.max()
    found = bins.edges([values], low, high)
    spread = np.subtract(*np.quantile(values, [0.75, 0.25]))
    width = min(2 * spread * images ** (-1 / 3), spread / 2)
    assert len(found) - 1 == max(8, int(np.ceil((high - low) / width)))
    assert found[0] == low and found[-1] == high
    counts, _ = np.histogram(values, found)
    assert np.median(counts) >= 2 and len(found) - 1 <= 2 * images**0.5 + 8


def test_bins_are_few_where_images_are_and_never_too_many():
    few, many = (np.random.default_rng(2).normal(size=n) for n in (20, 10_000))
    counts = [len(bins.edges([v], -4, 4)) - 1 for v in (few, many)]
    assert 8 <= counts[0] <= 16 and 40 <= counts[1] <= 100
    assert len(bins.edges([many, few], -4, 4)) - 1 < counts[1]
    assert len(bins.edges([np.full(9, 3.0), many], -4, 4)) == counts[1] + 1, "what does not vary counts not"
    assert len(bins.edges([many, many * 1e-4], -4, 4)) == counts[1] + 1
    assert len(bins.edges([many * 0.05], -4, 4)) - 1 <= 100


def test_few_sets_stand_over_one_another_named_at_their_peaks():
    sets = _sets(4)
    how = pictures.styles(sets, TRAIN)
    figure = pictures.likelihood_figure(sets, "title", how)
    (axes,) = figure.axes
    steps = _steps(axes)
    assert axes.get_legend() is None and not figure.legends
    edges = bins.edges(list(sets.values()), *bins.window(list(sets.values())))
    for name, values in sets.items():
        step = steps[f"{name}: {values.mean():.2f}"]
        heights, found, _ = step.get_data()
        first = np.searchsorted(edges, found[0])
        np.testing.assert_allclose(found, edges[first : first + len(found)])
        np.testing.assert_allclose(
            heights, np.histogram(values, found)[0] / len(values) / np.diff(found), rtol=1e-9
        )
        assert to_hex(step.get_edgecolor()) == how[name].color.lower()
        assert step.get_fill() == (name != "good (train)")
    figure.draw_without_rendering()
    names = {text.get_text(): text for text in axes.texts}
    assert set(names) == {f"{name}: {values.mean():.2f}" for name, values in sets.items()}
    boxes = [text.get_window_extent() for text in names.values()]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert all(axes.bbox.x0 - 1 <= box.x0 and box.x1 <= axes.bbox.x1 + 1 for box in boxes)


def test_more_sets_are_small_multiples_with_the_first_behind_each():
    sets = _sets(6)
    how = pictures.styles(sets, TRAIN)
    figure = pictures.likelihood_figure(sets, "", how, pictures.Threshold(3.5, "p = 0.05"))
    assert len(figure.axes) == 6
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    own = _steps(figure.axes[0])
    assert set(own) == {"good", "good (train)"}
    for i, axes in enumerate(figure.axes[1:]):
        ghost, step = axes.findobj(StepPatch)
        assert step.get_label() == f"other {i}"
        assert to_hex(step.get_edgecolor()) == how[f"other {i}"].color.lower()
        assert to_hex(ghost.get_facecolor()[:3]) == palette.LIGHT.line and ghost.get_label().startswith("_")
        for found, expected in zip(ghost.get_data(), own["good"].get_data(), strict=True):
            np.testing.assert_array_equal(found, expected)
        assert f"other {i}\n" in axes.get_ylabel()
        assert [3.5, 3.5] in [list(line.get_xdata()) for line in axes.lines]
    assert [t.get_text() for t in _texts(figure)].count("p = 0.05") == 1
    assert "outline: good (train)" in figure.axes[0].get_ylabel()


@pytest.mark.parametrize("others", [1, 6])
def test_a_set_far_away_is_said_to_be_off_the_scale(others):
    sets = {**_sets(others), "noise": RNG.normal(30, 0.1, 300)}
    figure = pictures.likelihood_figure(sets, "", pictures.styles(sets, TRAIN))
    assert figure.axes[0].get_xlim()[1] < 10
    (words,) = [t.get_text() for t in _texts(figure) if "off the scale" in t.get_text()]
    assert "30.0" in words and "→" in words


def test_a_threshold_is_never_outside():
    figure = pictures.score_figure(_sets(1), threshold=pictures.Threshold(90.0, "p = 0.05"))
    low, high = figure.axes[0].get_xlim()
    assert low < 90 < high


def test_a_threshold_that_no_score_reaches_is_not_drawn():
    sets = _sets(1)
    figure = pictures.score_figure(sets, threshold=pictures.Threshold(np.inf, "p = 0.05"))
    assert figure.axes[0].get_xlim() == pictures.score_figure(sets).axes[0].get_xlim()
    assert not any("p = 0.05" in text.get_text() for text in _texts(figure))


def test_infinite_scores_do_not_move_the_frame():
    scores = {"good": RNG.normal(0, 1, 50), "strange": np.r_[RNG.normal(3, 1, 50), np.full(20, np.inf)]}
    (axes,) = pictures.score_figure(scores).axes
    low, high = axes.get_xlim()
    assert -6 < low < -1 and 3 < high < 9
    drawn = _steps(axes)["strange: inf"].get_data()
    assert np.sum(drawn.values * np.diff(drawn.edges)) == pytest.approx(50 / 70, abs=0.03)


def test_what_does_not_vary_is_a_line():
    sets = {"good": np.full(50, 2.0), "other": RNG.normal(2, 0.1, 50)}
    (axes,) = pictures.likelihood_figure(sets).axes
    assert [list(line.get_xdata()) for line in axes.lines if line.get_linewidth() == 2] == [[2, 2]]


def test_aurocs_are_sorted_beside_chance():
    areas = [pictures.Area("b", 0.4, 0.35, 0.45), pictures.Area("a", 0.9), pictures.Area("c", 0.5, 0.4, 0.6)]
    (axes,) = pictures.auroc_dots(areas, "AUROC", 0.95).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "c", "b"]
    assert axes.yaxis_inverted()
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in dots] == [(0.9, 0), (0.5, 1), (0.4, 2)]
    reaches = [
        list(line.get_xdata()) for line in axes.lines if line.get_linewidth() == 2 and line not in dots
    ]
    assert [[0.9, 0.9], [0.4, 0.6], [0.35, 0.45]] == reaches
    texts = {text.get_text(): text for text in axes.texts}
    assert {"0.900", "0.500", "0.400", "chance", "0.95"} == set(texts)
    assert texts["chance"].xy[0] == 0.5 and texts["0.400"].xy == (0.45, 2)


def test_a_figure_is_drawn_on_both_grounds_and_stays_as_it_was():
    sets = _sets(3)
    figure = pictures.likelihood_figure(sets, "title", pictures.styles(sets, TRAIN))
    before = _colours(figure)
    both = faces.faces(figure)
    assert both.ending == "svg" and _colours(figure) == before
    assert _places(both.light) == _places(both.dark) != [], "the colours are all that differs"
    light, dark = both.light.decode().lower(), both.dark.decode().lower()
    for one, other in zip(palette.ON_LIGHT[:3], palette.ON_DARK[:3], strict=True):
        assert one.lower() in light and one.lower() not in dark
        assert other.lower() in dark and other.lower() not in light
    for token in ("ground", "soft"):
        assert getattr(palette.LIGHT, token) in light and getattr(palette.LIGHT, token) not in dark
        assert getattr(palette.DARK, token) in dark
    assert "<text" in dark and "system-ui" in dark and len(both.light) < 40_000


def test_images_keep_their_colours_on_dark_ground():
    images = np.full([4, 8, 8, 3], (255, 0, 0), np.uint8)
    both = faces.faces(pictures.image_figure(images))
    assert both.ending == "png"
    light, dark = (np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in (both.light, both.dark))
    height, width, _ = light.shape
    for picture in (light, dark):
        np.testing.assert_array_equal(picture[height // 4, width // 4], [255, 0, 0])
    grounds = [palette.text(picture[height // 2, width // 2] / 255) for picture in (light, dark)]
    assert grounds == [palette.LIGHT.ground, palette.DARK.ground]


def test_the_look_of_figures_is_left_to_those_of_others():
    before = Figure().add_subplot().spines["top"].get_visible()
    pictures.likelihood_figure(_sets(1))
    assert before and Figure().add_subplot().spines["top"].get_visible()
    assert drawing.LOOK["axes.spines.top"] is False


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([0.1, 0.9], [0.1, 0.9]),
        ([0.5, 0.5], [0.45, 0.55]),
        ([0.5, 0.5, 0.5], [0.4, 0.5, 0.6]),
        ([0.3, 0.5, 0.52], [0.3, 0.46, 0.56]),
        ([0.4, 0.5, 0.52], [0.37333333, 0.47333333, 0.57333333]),
    ],
)
def test_names_at_ends_are_spread_as_little_as_can_be(places, expected):
    np.testing.assert_allclose(lines.spread(places, 0.1), expected)
