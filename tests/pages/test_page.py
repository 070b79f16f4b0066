"""A page: what it is given is on it, and in the files beside it."""

import ast
import html
import pathlib
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tfp_flows import pages
from tfp_flows.pages import page

RNG = np.random.default_rng(0)


@pytest.fixture
def made(tmp_path):
    found = pages.Page(tmp_path, "title", "lead")
    found.section("Section", "section")
    return found


def _written(made):
    return made.write([]).read_text(encoding="utf-8")


def test_images_are_written_as_they_are(made, tmp_path):
    images = RNG.integers(0, 256, [2, 5, 7, 3]).astype(np.uint8)
    grey = RNG.integers(0, 256, [1, 5, 7, 1]).astype(np.uint8)
    made.images("strange", images, ["a < b", ["c", "p = 0.01"]], overlays=images[::-1], caption="Both.")
    made.images("strange", grey, ["d"])
    text = _written(made)
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert names == [f"strange_{i}.png" for i in ("1-2", "1", "1_map", "2", "2_map")]
    for name, expected in (
        ("strange_1", images[0]),
        ("strange_2_map", images[0]),
        ("strange_1-2", grey[0, :, :, 0]),
    ):
        found = np.asarray(Image.open(tmp_path / "figures" / f"{name}.png"))
        np.testing.assert_array_equal(found, expected)
    assert text.count('class="coarse"') == 5 == len(re.findall('<img [^>]*alt="[^"]+"', text))
    assert "a &lt; b" in text and "<span>p = 0.01</span>" in text and "Both." in text


def test_a_name_with_slashes_is_that_of_one_file(made, tmp_path):
    image = np.zeros([1, 5, 7, 1], np.uint8)
    made.images("train/good", image, ["a"])
    made.images("train_good", image, ["b"])
    _written(made)
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert names == ["train_good_1-2.png", "train_good_1.png"]


def test_large_images_are_made_smaller_and_not_shown_as_squares(made, tmp_path):
    made.images("large", RNG.integers(0, 256, [1, 900, 1800, 3]).astype(np.uint8), ["x"])
    assert 'class="coarse"' not in _written(made)
    assert Image.open(tmp_path / "figures" / "large_1.png").size == (512, 256)


def test_each_image_has_its_words(made):
    images = np.zeros([2, 4, 4, 1], np.uint8)
    with pytest.raises(ValueError):
        made.images("x", images, ["one"])
    with pytest.raises(ValueError):
        made.images("x", images, ["one", "two"], overlays=images[:1])


def test_numbers_stand_right_with_a_minus_sign_and_words_left(made):
    rows = [{"set": "a-b", "n": -3, "x": -1.25, "y": ""}, {"set": "c", "n": 4, "x": 2.0, "y": 1.0}]
    made.table("t", rows, "caption", formats={"x": "+.1f"})
    text = _written(made)
    assert (
        '<td>a-b</td><td class="number">−3</td><td class="number">−1.2</td><td class="number">–</td>' in text
    )
    titles = '<th scope="col" class="short">set</th><th scope="col" class="number short">n</th>'
    assert titles in text
    made.table("titles", [{"M = 10": 1, "log P (nats)": 2}], "caption")
    assert 'class="number short">M = 10<' in _written(made)
    assert 'class="number">log P (nats)<' in _written(made)


def test_long_tables_are_folded(made):
    made.table("short", [{"n": i} for i in range(15)], "caption")
    assert "<details>" not in _written(made)
    made.table("long", [{"n": i} for i in range(16)], "caption")
    assert "<details><summary>Table of 16 rows</summary>" in _written(made)
    made.table("open", [{"n": i} for i in range(17)], "caption", folded=False)
    assert "<details open><summary>Table of 17 rows</summary>" in _written(made)


def test_a_sentence_in_a_cell_is_broken_into_lines_and_a_number_is_not(made):
    made.table("t", [{"a": "one two " * 6, "b": "one two"}, {"a": "x", "b": "y"}], "caption")
    text = _written(made)
    assert text.count('class="long"') == 1 and f'<td class="long">{"one two " * 6}</td>' in text


def test_words_of_others_are_no_html(made):
    evil = "<script>alert(1)</script>"
    made.text(evil)
    made.callout(evil)
    made.code(evil, evil)
    made.facts([(evil, evil)])
    made.figure("f", Figure(), evil, evil)
    made.images("i", np.zeros([1, 2, 2, 1], np.uint8), [evil])
    made.table("t", [{evil: evil}], evil)
    text = _written(made)
    assert "<script" not in text and text.count(html.escape(evil)) >= 12


def test_commands_are_kept_to_the_letter(made):
    command = "python -m tfp_flows.score \\\n    --images=folder:a b  # two  blanks"
    made.code(command)
    assert f"<code>{command}</code>" in _written(made)


def test_figures_on_both_grounds_are_files_and_part_of_the_page(made, tmp_path):
    (tmp_path / "figures" / "f-dark.png").write_bytes(b"of an earlier page")
    figure = Figure(figsize=(4, 2))
    figure.add_subplot().plot([0, 1])
    made.figure("f", figure, "a line")
    with_image = Figure(figsize=(4, 2))
    with_image.add_subplot().imshow(np.zeros([2, 2]))
    made.figure("f", with_image, "an image")
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert names == ["f-2-dark.png", "f-2.png", "f-dark.svg", "f.png", "f.svg"]
    assert Image.open(tmp_path / "figures" / "f.png").size == (768, 384)
    text = _written(made)
    assert text.count('width="384" height="192"') == 2
    assert text.count("data:image/svg+xml;base64,") == 2 and text.count("data:image/png;base64,") == 2
    assert not re.search(r'(src|href|srcset)="(?!data:|#)', text)


def test_a_page_without_figures_needs_no_matplotlib():
    tree = ast.parse(pathlib.Path(page.__file__).read_text(encoding="utf-8"))
    statements = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = {alias.name for node in statements for alias in node.names}
    assert imported & {"palette", "thumbnails"} and not imported & {"pictures", "faces", "drawing"}
