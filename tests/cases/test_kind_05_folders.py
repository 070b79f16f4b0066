"""Kind 5: a folder of a person's own photographs works."""

import csv
import os

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests import forked
from tests.data.pictures import photo, truncated, write_photos
from tfp_flows import data, detectors
from tfp_flows.runs import Run
from tfp_flows.serving import signature_file

PLAIN = (".png", ".bmp", ".webp")  # of these, all are RGB, and the first two without loss
TINY = ("--levels=1", "--steps_per_level=1", "--hidden_channels=8", "--batch_size=8", "--steps=3")


def refused(name, split="train", **options):
    with pytest.raises(data.DataError) as error:
        data.load(name, split, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_case_24_mixed_sizes_are_resized_image_by_image(tmp_path):
    name = write_photos(tmp_path / "good", formats=PLAIN)
    whole = data.load(f"{name}@resize=8", "all")
    assert whole.images.shape == (40, 8, 8, 3)
    for key, image in zip(whole.keys, whole.images, strict=True):
        alone = np.asarray(Image.open(tmp_path / "good" / key))[np.newaxis]
        np.testing.assert_array_equal(image, data.load(_archive(tmp_path, alone), "test").images[0])
    parts = [data.load(f"{name}@crop=10@pad=12", split) for split in data.SPLITS]
    assert {part.image_shape for part in parts} == {(12, 12, 3)} and sum(map(len, parts)) == 40


def _archive(folder, images):
    np.savez(folder / "one.npz", test=images)
    return f"npz:{folder / 'one.npz'}@resize=8"


def test_case_24_without_an_operation_the_message_suggests_one(tmp_path):
    message = refused(write_photos(tmp_path / "good", formats=PLAIN))
    assert (
        "has shape" in message
        and "sizes, from " in message
        and message.endswith("add @resize=32 to the name")
    )


@pytest.fixture
def odd(tmp_path):
    """RGB photographs, and one of each kind that stopped training."""
    name = write_photos(tmp_path / "good", formats=(".png",))
    rng, root = np.random.default_rng(7), tmp_path / "good"
    photo(rng, 20, 20).convert("RGBA").save(root / "a.png")
    photo(rng, 20, 20).convert("CMYK").save(root / "b.jpg")
    photo(rng, 20, 20).convert("L").save(root / "c.png")
    photo(rng, 20, 20).convert("P").save(root / "d.gif")
    Image.fromarray(rng.integers(0, 2**16, (20, 20), np.uint16)).save(root / "e.png")
    photo(rng, 200, 200).save(root / "f.png")
    truncated(root / "f.png")
    return name


def test_case_25_what_does_not_fit_is_named_together_with_the_remedy(odd):
    """Whatever split it is in: `train` is told of all."""
    assert refused(f"{odd}@resize=8").removeprefix(odd) == (
        ": 6 of 46 images cannot be taken as they are: 1 has transparency (a.png): add @over=white; "
        "1 is CMYK (b.jpg), 1 is grey among RGB (c.png), 1 has a palette (d.gif), 1 has 16 bits (e.png): "
        "add @rgb; 1 cannot be read (f.png: image file is truncated); or skip them with `skip_unreadable`"
    )


def test_case_25_rgb_and_over_take_them_and_the_broken_one_is_skipped(odd):
    with pytest.warns(data.DataWarning, match=r"1 of 46 images are left out: f.png \(cannot be read"):
        taken = data.load(f"{odd}@resize=8@rgb@over=white", "all", skip_unreadable=True)
    assert len(taken) == 45 and taken.image_shape == (8, 8, 3)
    assert taken.reading.skipped == (("f.png", "cannot be read: image file is truncated"),)
    grey = data.load(f"{odd}@luminance@over=#ff0000@resize=8", "all", skip_unreadable=True)
    assert len(grey) == 45 and grey.image_shape == (8, 8, 1)
    left = data.load(f"{odd}@resize=8", "all", skip_unreadable=True)
    assert len(left) == 40 and {path for path, _ in left.reading.skipped} == {
        "a.png",
        "b.jpg",
        "c.png",
        "d.gif",
        "e.png",
        "f.png",
    }


def test_case_26_every_format_and_link_is_read_and_what_is_skipped_is_listed(tmp_path):
    name = write_photos(tmp_path / "good", 32)
    root = tmp_path / "good"
    (root / "000.png").rename(root / "without_suffix")
    write_photos(tmp_path / "elsewhere", 8)
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root)
    (root / "dangling.png").symlink_to("nowhere")
    os.mkfifo(root / "fifo.png")
    (root / "iphone.heic").write_bytes(b"x")
    for file in ("notes.txt", "Thumbs.db", "b.txt", "LICENSE"):
        (root / file).write_text("no picture")
    found = data.load(f"{name}@resize=8@rgb", "all")
    assert len(found) == 40 and "without_suffix" in found.keys
    assert sum(key.startswith("again/") for key in found.keys) == 8  # one of the two names
    skipped = dict(found.reading.skipped)
    assert set(skipped) == {"linked", "loop", "dangling.png", "fifo.png", "iphone.heic"}
    assert "FIFO" in skipped["fifo.png"] and "leads nowhere" in skipped["dangling.png"]
    assert "HEIC" in skipped["iphone.heic"] and "link" in skipped["loop"]
    assert dict(found.reading.others) == {".txt": 2, ".db": 1, "": 1}
    assert "4 other files were left alone (without a suffix, .db, .txt)" in found.reading.lines()


def test_case_26_a_folder_that_cannot_be_opened_is_listed(tmp_path, monkeypatch):
    name = write_photos(tmp_path / "good", 8)
    write_photos(tmp_path / "good" / "private", 2)
    real = os.scandir

    def scandir(path):
        if str(path).endswith("private"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = data.load(f"{name}@resize=8@rgb", "all")
    assert found.reading.skipped == (("private", "cannot be read: Permission denied"),)
    items = list(data.streams.stream(f"{name}@resize=8@rgb", (8, 8, 3)))
    assert [(i.key, i.error) for i in items if i.image is None] == [
        ("private", "cannot be read: Permission denied")
    ]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tiff", ".webp"])
def test_case_27_exif_orientation_is_applied_and_said(tmp_path, orientation, suffix):
    """Against Pillow's own, in which it is the file that is turned."""
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(rng.integers(0, 256, (9, 6, 3), np.uint8))
    options = {"lossless": True} if suffix == ".webp" else {}
    image.save(tmp_path / f"x{suffix}", exif=exif, **options)
    with Image.open(tmp_path / f"x{suffix}") as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    found = data.load(f"folder:{tmp_path}", "all")
    np.testing.assert_array_equal(found.images[0], expected)
    assert found.image_shape == ((9, 6, 3) if orientation < 5 else (6, 9, 3))
    assert ("1 turned as EXIF says" in found.reading.lines()) == (orientation != 1)


def test_case_28_one_picture_is_a_set_and_a_path_is_told_what_to_type(tmp_path, monkeypatch):
    write_photos(tmp_path / "images", 8, (".png",))
    np.savez(tmp_path / "x.npz", test=np.zeros((3, 4, 4, 1), np.uint8))
    monkeypatch.chdir(tmp_path)
    for name in ("images/000.png", "folder:images/000.png", f"{tmp_path}/images/000.png"):
        one = data.load(f"{name}@resize=8", "all")
        assert one.keys == ("000.png",) and one.image_shape == (8, 8, 3)
        (item,) = data.streams.stream(f"{name}@resize=8", (8, 8, 3))
        np.testing.assert_array_equal(item.image, one.images[0])
    for path in ("images", "images/", "./images", str(tmp_path / "images")):
        expected = f"did you mean folder:{path}@resize=8?"
        assert expected in refused(f"{path}@resize=8", data_dir=str(tmp_path))
        with pytest.raises(data.DataError, match=expected.replace("?", r"\?")):
            list(data.streams.stream(f"{path}@resize=8", (8, 8, 3), str(tmp_path)))
    assert "did you mean npz:x.npz?" in refused("x.npz", data_dir=str(tmp_path))
    assert "did you mean mine=folder:images?" in refused("mine=images", data_dir=str(tmp_path))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on a folder of mixed pictures with its export and a detector, made by the commands."""
    work = tmp_path_factory.mktemp("kind_05")
    write_photos(work / "good", 60)
    write_photos(work / "strange", 12, seed=1)
    photo(np.random.default_rng(2), 90, 90).save(work / "good" / "cut.png")
    truncated(work / "good" / "cut.png")

    def command(module, *arguments, expected=0):
        result = forked.command(f"tfp_flows.{module}", *arguments, cwd=work, timeout=300)
        assert result.returncode == expected, result.stderr
        return result

    chain = "@resize=8@rgb@contrast=0.5"
    train = ("train", f"--dataset=folder:good{chain}", "--run=run", "--noprogress", *TINY)
    (work / "refusal").write_text(command(*train, expected=1).stderr)
    command(*train, "--skip_unreadable", "--evaluate_on=folder:strange")
    detect = ("--run=run", "--detector=likelihood", "--out=detector", "--noprogress", "--allow_unattainable")
    command("detect", *detect, "--calibrate_on=folder:strange")
    command("export", "--run=run", "--out=exported", "--detector=detector")
    return work


def scores(work, model, name, out):
    result = forked.command(
        *(
            "tfp_flows.score",
            model,
            f"--images={name}",
            f"--out={out}",
            "--noprogress",
            "--allow_unattainable",
        ),
        cwd=work,
        timeout=300,
    )
    with open(work / out, newline="", encoding="utf-8") as file:
        return result, {row["key"]: float(row["log_prob"]) for row in csv.DictReader(file)}


def test_score_and_evaluate_apply_the_chain_of_the_run_by_themselves(trained):
    """Raw photographs, through an export and a detector: what evaluating the run gives."""
    refusal = (trained / "refusal").read_text()
    assert "1 cannot be read (cut.png: " in refusal and "skip it with --skip_unreadable" in refusal
    spec = Run(trained / "run").spec()
    assert spec.skip_unreadable and spec.preparation.text == "@resize=8@rgb@contrast=0.5"
    with open(trained / "run" / "evaluation" / "bits_per_dim.csv", newline="", encoding="utf-8") as file:
        names = [row["dataset"] for row in csv.DictReader(file)]
    assert "strange@resize=8@rgb@contrast=0.5" in names
    with np.load(trained / "run" / "evaluation" / "log_probs.npz") as archive:
        (key,) = [key for key in archive if "strange" in key]
        expected = np.sort(archive[key])
    for index, model in enumerate(("--model=exported", "--detector=detector")):
        result, found = scores(trained, model, "folder:strange", f"{index}.csv")
        assert result.returncode == 0, result.stderr
        np.testing.assert_allclose(np.sort(list(found.values())), expected, rtol=1e-5)


def test_the_preparation_makes_the_very_images_that_the_run_was_judged_on(trained):
    preparation = Run(trained / "run").spec().preparation
    described = signature_file.read(trained / "exported")
    assert data.Preparation.from_json(described["preparation"]) == preparation
    assert detectors.load(trained / "detector").preparation == preparation
    assert "@resize=8@rgb@contrast=0.5" in (trained / "exported" / "model_card.md").read_text()
    raw = f"folder:{trained / 'strange'}"
    judged = data.load(raw, "all", preparation=preparation)
    files = [trained / "strange" / key for key in judged.keys]
    np.testing.assert_array_equal(data.read_pictures(files, preparation), judged.images)
    items = list(data.streams.stream(raw, (8, 8, 3), preparation=preparation))
    np.testing.assert_array_equal([item.image for item in items], judged.images)
    own = data.load(
        f"folder:{trained / 'good'}@resize=8@rgb@contrast=0.5", "test", skip_unreadable=True
    )  # its means are the run's
    files = [trained / "good" / key for key in own.keys]
    np.testing.assert_array_equal(data.read_pictures(files, preparation), own.images)


def test_rows_in_are_rows_out_and_errors_and_other_files_are_counted(trained):
    mixed = trained / "mixed"
    write_photos(mixed, 3, (".png",))
    (mixed / "broken.png").write_bytes(b"no picture")
    (mixed / "README").write_text("no picture")
    (mixed / "gone.jpg").symlink_to("nowhere")
    os.mkfifo(mixed / "fifo.jpg")
    for file in ("a.txt", "b.txt", "c.db"):
        (mixed / file).write_text("no picture")
    result, found = scores(trained, "--model=exported", "folder:mixed", "mixed.csv")
    assert result.returncode == 3 and len(found) == 3
    with open(trained / "mixed.csv.errors.csv", newline="", encoding="utf-8") as file:
        failed = {row["key"]: row["error"] for row in csv.DictReader(file)}
    assert set(failed) == {"broken.png", "README", "gone.jpg", "fifo.jpg"}
    assert "3 images scored, 4 could not be read: mixed.csv (3 other files were left alone (.db, .txt))" in (
        result.stdout
    )


def test_a_name_with_operations_is_taken_as_it_says(trained):
    """`@resize=8@rgb` is not the run's chain: the contrast is missing."""
    result, plain = scores(trained, "--model=exported", "folder:strange@resize=8@rgb", "plain.csv")
    assert result.returncode == 0, result.stderr
    _, chained = scores(trained, "--model=exported", "folder:strange", "chained.csv")
    assert plain.keys() == chained.keys() and all(plain[key] != chained[key] for key in plain)
