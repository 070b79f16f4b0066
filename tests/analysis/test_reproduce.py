"""The reproduction as a command: one run at the scale smoke, which the tests here share."""

import json
import re
import shutil

import pytest

from analysis import reproduce_recipes, reproduce_rows, reproduce_work
from tests import forked
from tests.data import tfds_layouts
from tests.pages import browser, walk
from tfp_flows import data, evaluation, runs
from tfp_flows.numerics import quantization

QUICKSTART = "--flagfile=flagfiles/reproduce_quickstart.flags"
VERDICTS = {"reproduced", "not at this scale", "contradicted"}


def _reproduce(out, *arguments):
    return forked.command(
        "analysis.reproduce", QUICKSTART, f"--out={out}", "--noprogress", *arguments, timeout=1200
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, how the command ended)."""
    out = tmp_path_factory.mktemp("reproduce") / "out"
    result = _reproduce(out)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr
    return out, result


def _results(out):
    return json.loads((out / "results.json").read_text(encoding="utf-8"))


def test_every_row_of_the_paper_is_there_ours_beside_it(made):
    out, _ = made
    rows = {(r["model"], r["learned"], r["judged on"]): r for r in _results(out)["rows"]}
    published = {key[1:]: row["published"] for key, row in rows.items() if row["published"]}
    assert published == {
        ("FashionMNIST", "FashionMNIST (train)"): 2.902,
        ("FashionMNIST", "FashionMNIST"): 2.958,
        ("FashionMNIST", "MNIST"): 1.833,
        ("MNIST", "MNIST"): 1.262,
    }
    for model in ("Glow", "CV-Glow", "VAE", "PixelCNN"):
        for judged in ("FashionMNIST (train)", "FashionMNIST", "MNIST", "constant images", "noise"):
            row = rows[model, "FashionMNIST", judged]
            assert row["ours"] > 0 and row["± s.e."] > 0 and row["seed"] == 0 and row["steps"] > 0
    assert rows["Glow", "FashionMNIST", "constant 128"]["images"] == 1
    assert re.fullmatch(r"\d\.\d{3} \[.*\]", rows["Glow", "MNIST", "FashionMNIST"]["AUROC [95 %]"])


def test_our_numbers_are_those_of_the_runs(made):
    """Scored again, by the evaluation of the library."""
    out, _ = made
    (folder,) = (out / "runs").glob("*/glow")
    model, _ = runs.load_model(runs.Run(folder))
    images = data.load("mnist_small", "test", max_images=100).images
    log_probs = evaluation.log_probs(evaluation.compiled_log_prob(model), images)
    expected = quantization.bits_per_dim(log_probs, (28, 28, 1))
    (row,) = [
        r
        for r in _results(out)["rows"]
        if (r["model"], r["learned"], r["judged on"]) == ("Glow", "FashionMNIST", "MNIST")
    ]
    assert row["ours"] == pytest.approx(expected.mean(), rel=1e-5)
    assert row["± s.e."] == pytest.approx(expected.std(ddof=1) / 10, rel=1e-4)


def test_every_claim_has_a_verdict_and_a_number(made):
    out, _ = made
    claims = _results(out)["claims"]
    assert len(claims) >= 14 and {c["verdict"] for c in claims} <= VERDICTS
    for claim in claims:
        assert re.search(r"\d", claim["number"]), claim
    (mnist,) = [c for c in claims if c["claim"].startswith("Glow, trained on FashionMNIST, finds MNIST")]
    area = next(
        r["AUROC [95 %]"] for r in _results(out)["rows"] if (r["model"], r["judged on"]) == ("Glow", "MNIST")
    )
    assert area in mnist["number"]


def test_the_report_is_one_page_and_a_table_for_the_docs(made):
    out, result = made
    html = (out / "index.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(https?:|//)', html)
    for anchor in ("claims", "rows", "histograms", "decomposition", "second-order", "signs", "detectors"):
        assert f'id="{anchor}"' in html
    text = (out / "results.md").read_text(encoding="utf-8")
    assert "| verdict | claim | number |" in text and "2.902" in text
    assert str(out / "index.html") in result.stdout
    assert {path.name for path in (out / "figures").glob("histogram_*.png")} >= {
        f"histogram_{name}.png" for name in ("glow", "cv_glow", "vae", "pixelcnn", "glow_mnist")
    }


def test_a_second_call_computes_nothing_and_says_the_same(made):
    out, _ = made
    kept = {path: path.stat().st_mtime_ns for path in (out / "cache").iterdir()}
    kept |= {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*") if path.is_file()}
    before = (out / "results.json").read_text(encoding="utf-8")
    result = _reproduce(out)
    assert result.returncode == 0, result.stderr
    assert "to go" not in result.stdout and "to train" not in result.stdout
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list((out / "cache").iterdir())) + len(
        [path for path in (out / "runs").rglob("*") if path.is_file()]
    ) == len(kept)
    assert (out / "results.json").read_text(encoding="utf-8") == before


def test_a_damaged_result_and_a_training_without_its_end_are_made_again_alone(made, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(made[0], out)
    (done,) = [path for path in (out / "runs").glob("*/done.json") if (path.parent / "cv_glow").exists()]
    done.unlink()
    next((out / "cache").glob("auroc-*")).write_bytes(b"no archive")
    result = _reproduce(out)
    assert result.returncode == 0, result.stderr
    assert "1 models to train" in result.stdout and "train cv_glow" in result.stdout
    assert _results(out)["rows"] == _results(made[0])["rows"]


def test_runs_that_are_given_are_taken_and_named(made, tmp_path):
    (glow,) = (made[0] / "runs").glob("*/glow")
    result = _reproduce(tmp_path / "out", f"--run_of=glow={glow}", "--stages=evaluate,report")
    assert result.returncode == 0, result.stderr
    results = _results(tmp_path / "out")
    rows = [r for r in results["rows"] if r["ours"] != ""]
    assert {(r["model"], r["remark"]) for r in rows} == {("Glow", "a run that was given")}
    assert [m["run"] for m in results["models"] if m["model"] == "glow"] == ["given: glow"]
    left = {r["remark"] for r in results["rows"] if r["ours"] == ""}
    assert left == {"it is not trained yet: the stage train does it"}
    assert not (tmp_path / "out" / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stages=train,cook"], "error: --stages must be of train, evaluate"),
        (["--run_of=glow"], "error: --run_of: write NAME=FOLDER, got 'glow'."),
        (["--run_of=flow=runs/x"], "error: --run_of: no model is called 'flow'; choose from glow, cv_glow"),
        (["--run_of=vae=models/glow_fashion_mnist"], "is a glow; vae is a vae."),
        (["--run_of=glow=models/glow_cifar10"], "was trained on cifar10; glow learns fashion_mnist_small."),
        (["--stages=report"], "error: --stages: the report needs the stage evaluate, with these models."),
    ],
)
def test_mistakes_are_one_line(tmp_path, arguments, message):
    result = _reproduce(tmp_path / "out", *arguments)
    assert result.returncode == 1 and len(result.stderr.strip().splitlines()) == 1
    assert message in result.stderr and not (tmp_path / "out").exists()


def _with_panels_alone():
    whole = reproduce_recipes.recipes
    names = ("glow_celeb_a", "glow_imagenet32")
    reproduce_recipes.recipes = lambda *args: [r for r in whole(*args) if r.name in names]


def test_panels_of_celeb_a_and_imagenet_are_made_where_their_images_are(tmp_path):
    """Trained and judged on small sets in TFDS's layout; what else the panel needs is said to be missing."""
    tfds_layouts.write_celeb_a(tmp_path / "data", {"train": 400, "validation": 8, "test": 24})
    tfds_layouts.write_imagenet32(tmp_path / "data", {"train": 400, "validation": 24})
    places = [f"--out={tmp_path / 'out'}", f"--data_dir={tmp_path / 'data'}"]
    result = forked.command(
        *("analysis.reproduce", "--experiment=cifar10", "--scale=smoke", "--stages=train,evaluate"),
        *("--noprogress", *places),
        before=_with_panels_alone,
        timeout=1200,
    )
    assert result.returncode == 0, result.stderr
    config = reproduce_work.Config("cifar10", "smoke", tmp_path / "out", data_dir=str(tmp_path / "data"))
    found = reproduce_rows.rows(reproduce_work.Reproduction(config))
    rows = {(r["learned"], r["judged on"]): r for r in found if r["model"] == "Glow"}
    for learned in ("CelebA", "ImageNet32"):
        assert rows[learned, learned]["images"] == 24 and rows[learned, "SVHN"]["ours"] > 0
        assert rows[learned, "SVHN"]["how sure"] == "a histogram alone"
    missing = rows["ImageNet32", "CIFAR-100"]
    assert missing["ours"] == "" and "'cifar100' is not in" in missing["remark"]


def test_the_page_fits_a_phone_and_a_desk(made):
    path = browser.find()
    if path is None:
        pytest.skip("no Chromium on PATH: the page was not opened in a browser")
    with browser.started(path) as opened:
        walk.everywhere(opened, (made[0] / "index.html").as_uri())
        assert opened.run("document.images.length") > 15
