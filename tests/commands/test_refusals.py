"""What a command refuses it refuses before TensorFlow is imported: at once."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from tests.forked import ROOT
from tfp_flows import runs, training
from tfp_flows.models import registry

# Each case in a process of its own, forked from one in which nothing slow can be imported.
EACH = """
import importlib.abc, json, os, runpy, sys

SLOW = ("tensorflow", "tensorflow_probability", "sklearn", "matplotlib", "tensorflow_datasets.core")

class Refuses(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in SLOW:
            raise AssertionError(f"{name} is imported")

sys.meta_path.insert(0, Refuses())
import tfp_flows.data.loading, tfp_flows.runs.run  # once for all
folder, cases = sys.argv[1], json.load(sys.stdin)
for index, (module, *arguments) in enumerate(cases):
    child = os.fork()
    if not child:
        os.dup2(os.open(f"{folder}/{index}", os.O_CREAT | os.O_WRONLY), 2)
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with open(f"{folder}/{index}", "a") as file:
        file.write(f"exit status {status}")
"""
MODEL = str(ROOT / "models" / "glow_fashion_mnist")
TRAIN = ("tfp_flows.train", "--run=new", "--noprogress")
EVALUATE = ("tfp_flows.evaluate", f"--run={MODEL}")
DETECT = ("tfp_flows.detect", f"--run={MODEL}", "--out=new")
EXPORT = ("tfp_flows.export", f"--run={MODEL}", "--out=new")
SCORE = ("tfp_flows.score", "--model=export", "--out=new.csv", "--images=digits")
MONITOR = ("tfp_flows.monitor", "--scores=none.csv")
TABLE = (*TRAIN, "--dataset=table.csv")
EVALUATE_TABLE = ("tfp_flows.evaluate", "--run=of_table")
DETECT_TABLE = ("tfp_flows.detect", "--run=of_table", "--out=new")
OF_TABLES = [
    ((*TABLE, "--levels=2"), "--levels is a flag of glow; the family here is vector_flow"),
    ((*TABLE, "--flip"), "--flip is for images, and table.csv is a table."),
    ((*TABLE, "--condition=label"), "--condition is for images"),
    ((*TABLE, "--report"), "--report is for images"),
    ((*TABLE, "--outlier_kinds=noise"), "--outlier_kinds is for images"),
    ((*TABLE, "--family=glow"), "--family=glow is for images, and table.csv is a table"),
    ((*TABLE, "--num_steps=0"), "--num_steps must be a positive integer"),
    ((*TABLE, "--coupling=additive"), "--coupling must be one of"),
    ((*TABLE, "--steps=-1"), "--steps must be a positive integer"),
    ((*TABLE, "--ignore=b,c"), "table.csv: a flow over vectors takes two columns or more, got one"),
    ((*TABLE, "--columns=a,x"), "table.csv: has no column x; there are a, b, c"),
    ((*TABLE, "--evaluate_on=digits"), "digits: the run is of a table, and this is none"),
    ((*TABLE, "--evaluate_on=none.csv"), "none.csv: no such file"),
    ((*TABLE, "--evaluate_on=two.csv"), "two.csv: has no column c; there are a, b"),
    ((*TABLE, "--run=file"), "--run: file is there already and is no run"),
    ((*TRAIN, "--dataset=table.csv@contrast=0.5"), "@contrast=0.5 is for images, and table.csv is a table"),
    ((*TRAIN, "--dataset=none.csv"), "none.csv: no such file"),
    (
        (*TRAIN, "--dataset=labels.csv"),
        "holds no numbers ('w', ...): --ignore=kind leaves it out",
    ),
    (
        (*TRAIN, "--dataset=gaps.csv"),
        "row 1 must hold 3 numbers, got '1,,3' (2 such rows of 40: 1, 2); --skip",
    ),
    ((*TRAIN, "--dataset=constant.csv"), "column b holds one value alone, 7, in the rows to train on"),
    ((*TRAIN, "--dataset=few.csv"), "few.csv: 19 rows are too few to be divided"),
    (
        (*TRAIN, "--dataset=cube.npy"),
        "must be numbers [N, D], N and D positive, got float64 [2, 3, 4]",
    ),
    ((*TRAIN, "--dataset=digits", "--columns=a"), "--columns is for tables, and digits holds images"),
    ((*TRAIN, "--dataset=digits", "--family=vector_flow"), "--family=vector_flow is for tables"),
    ((*TRAIN, "--dataset=digits", "--num_steps=2"), "--num_steps is a flag of vector_flow"),
    (
        (*TRAIN, "--dataset=digits", "--evaluate_on=table.csv"),
        "a table of numbers holds no images",
    ),
    ((*EVALUATE_TABLE, "--datasets=digits"), "digits: the run is of a table"),
    ((*EVALUATE_TABLE, "--datasets=two.csv"), "two.csv: has no column c"),
    ((*EVALUATE_TABLE, "--temperature=0.5"), "--temperature is for images, and of_table is of a table"),
    ((*EVALUATE_TABLE, "--noise_seed=1"), "--noise_seed is a flag of glow"),
    ((*EVALUATE_TABLE, "--dataset=digits"), "digits: the run is of a table"),
    ((*DETECT_TABLE, "--data_dir=empty"), "--data_dir is for images"),
    ((*DETECT_TABLE, "--calibrate_on=table.csv"), "--calibrate_on: the model was trained on rows of"),
    (("tfp_flows.export", "--run=of_table", "--out=new", "--format=onnx"), "--format is for images"),
]
# (arguments, what the message has in it)
CASES = [
    ((*TRAIN, "--dataset=digits", "--steps=-1"), "--steps must be a positive integer"),
    ((*TRAIN, "--dataset=digits", "--levels=0"), "--levels must be a positive integer"),
    ((*TRAIN, "--dataset=digits", "--family=vae", "--levels=2"), "--levels is a flag of glow"),
    ((*TRAIN, "--dataset=digits", "--parts=3"), "--batch_size=64 cannot be cut into --parts=3"),
    ((*TRAIN, "--dataset=digits", "--distribute=multi_worker"), "TF_CONFIG"),
    ((*TRAIN, "--dataset=digits", "--init_from=none"), "error: --init_from: no run in none"),
    ((*TRAIN, "--dataset=digits", "--evaluate_on=folder:none"), "folder:none: no such folder"),
    ((*TRAIN, "--dataset=digits", "--outlier_dataset=npz:none"), "npz:none: no such file"),
    ((*TRAIN, "--dataset=digits", "--outlier_kinds=none"), "--outlier_kinds are blurred, faded,"),
    ((*TRAIN, "--dataset=digits", "--coupling=none"), "--coupling=none: value should be one of <affine|"),
    ((*TRAIN, "--dataset=digits", "--condition=code"), "--condition=code: value should be one of <none|"),
    (
        (*TRAIN, "--dataset=digits", "--detector=foreign"),
        "--detector=foreign: value should be one of <none|",
    ),
    ((*TRAIN, "--dataset=noise"), "noise: has only a test split"),
    ((*TRAIN, "--dataset=mnist_small"), "mnist_small: has only a test split, no train split"),
    ((*TRAIN, "--dataset=folder:empty"), "folder:empty: holds no image"),
    ((*TRAIN, "--dataset=tfrecord:none*"), "tfrecord:none*: no such file"),
    ((*TRAIN, "--dataset=minst"), "unknown data set 'minst' (did you mean 'mnist'?)"),
    ((*TRAIN, "--dataset=cifar10", "--data_dir=empty"), "'cifar10' is not in"),
    (("tfp_flows.train", "--run=file", "--dataset=digits"), "--run: file is there already and is no run"),
    (("tfp_flows.evaluate", "--run=none"), "--run: no run in none"),
    (("tfp_flows.evaluate", "--run=broken"), "run.json is damaged"),
    ((*EVALUATE, "--dataset=fashion_mnist_small", "--datasets=folder:none"), "no such folder"),
    ((*EVALUATE, "--data_dir=none"), "'fashion_mnist' is not in none (there: none): give the --data_dir"),
    ((*EVALUATE, "--num_importance_samples=3"), "--num_importance_samples is a flag of vae"),
    ((*DETECT, "--alpha=2"), "--alpha must be in (0, 1)"),
    ((*DETECT, "--set=bad"), "--set: 'bad' is not NAME=VALUE"),
    ((*DETECT, "--set=nonsense=1"), "--set: default has no such setting: 'nonsense'; there are png"),
    (
        (*DETECT, "--detector=sitn", "--set=tests=none"),
        "sitn: `tests` must be one of paper, all, got 'none'",
    ),
    ((*DETECT, "--set=batch_size=0"), "default: `batch_size` must be a positive integer, got 0"),
    ((*DETECT, "--detector=waic"), "waic: needs at least one other member, as --with"),
    ((*DETECT, f"--with={MODEL}"), "default: takes one model, got 2"),
    ((*DETECT, "--detector=none"), "--detector=none: value should be one of <default|"),
    ((*DETECT, "--with=none"), "no run in none"),
    ((*DETECT, "--dataset=fashion_mnist_small", "--calibrate_on=npz:none"), "npz:none: no such file"),
    ((*DETECT[:2], "--out=file"), "--out: file is there already and is no detector"),
    ((*EXPORT, "--detector=none"), "--detector: no detector in none (it has no detector.json)"),
    ((*EXPORT, "--detector=file"), "--detector: no detector in file"),
    ((*EXPORT, "--format=stablehlo", "--batch_sizes=x"), "--batch_sizes must be positive integers"),
    ((*EXPORT[:2], "--out=file"), "--out: file is there already and is no export"),
    ((*SCORE, "--out=new.txt"), "--out: new.txt must end in .csv or .parquet"),
    ((*SCORE, "--images=folder:none"), "folder:none: no such folder"),
    ((*SCORE, "--images=mnist", "--data_dir=none"), "'mnist' is not in none"),
    ((*SCORE, "--alpha=2"), "--alpha must be in (0, 1)"),
    ((*SCORE, "--split=none"), "digits: has no split 'none': choose from train"),
    ((*SCORE, "--group_by=folder"), "--group_by=folder: images of digits have no folders"),
    ((*SCORE, "--images=folder:none", "--split=train"), "--split is for sets that have splits by name"),
    ((*SCORE, "--maps_of=all"), "--maps_of is for heat maps: give --maps too"),
    ((*SCORE, "--images=digits@none"), "unknown operation '@none'"),
    ((*SCORE, "--none=1"), "there is no flag --none"),
    (SCORE, "0.05"),  # ten calibration images are too few
    ((*SCORE, "--model=none"), "--model: none is no exported model"),
    (("tfp_flows.score", "--detector=empty", *SCORE[2:]), "--detector: no detector in empty"),
    (MONITOR, "--scores: there is no table none.csv"),
    ((*MONITOR, "--detector=none"), "--detector: none is no detector"),
    (("analysis.report", "--runs=none", "--datasets=digits", "--out=new"), "no run in none"),
    (("analysis.detectors", "--runs=none", "--in=digits", "--out=noise", "--report=new"), "no run in none"),
    (("analysis.inverse", "--run=none"), "no run in none"),
    (("analysis.heat_maps", "--run=none"), "no run in none"),
    (("analysis.heat_maps", "--dataset=photos", "--detectors=none"), "there is no detector 'none'"),
    (("analysis.heat_maps", "--dataset=photos", "--patches=none"), "unknown data set 'none'"),
    (("analysis.default_detector", "--runs=none", "--out=new"), "no run in none"),
    *OF_TABLES,
]


def _write_tables(folder):
    """Tables, and a run of one of them that was never trained."""
    rows = [f"{i % 7},{i * i % 11},{i}" for i in range(40)]
    texts = {"table": ["a,b,c", *rows], "few": ["a,b,c", *rows[:19]], "two": ["a,b", "1,2", "3,4"]}
    texts["labels"] = ["a,b,c,kind", *(f"{row},w" for row in rows)]
    texts["gaps"] = ["a,b,c", rows[0], "1,,3", "1,2", *rows[3:]]
    texts["constant"] = ["a,b,c", *(f"{i % 7},7,{i}" for i in range(40))]
    for name, lines in texts.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    np.save(folder / "cube.npy", np.zeros([2, 3, 4]))
    config = dataclasses.asdict(training.TrainingConfig())
    model = registry.settings(registry.VECTORS).config_class()
    place = f"table:{folder / 'table.csv'}"
    spec = runs.RunSpec(registry.VECTORS, model, config, place, (3,), columns=("a", "b", "c"))
    runs.Run(folder / "of_table").create(spec, None)


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """What each case writes to stderr, and its exit status."""
    folder = tmp_path_factory.mktemp("refusals")
    (folder / "empty").mkdir()
    _write_tables(folder)
    (folder / "file").write_text("x")
    (folder / "broken").mkdir()
    (folder / "broken" / "run.json").write_text("{")
    (folder / "export").mkdir()
    signature = {"format": 1, "image_shape": [28, 28, 1], "methods": {"serving_default": {}}}
    signature["detector"] = {"name": "likelihood", "num_calibration": 10}
    (folder / "export" / "signature.json").write_text(json.dumps(signature))
    said = folder / "said"
    said.mkdir()
    subprocess.run(
        [sys.executable, "-c", EACH, str(said)],
        input=json.dumps([arguments for arguments, _ in CASES]),
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "HOME": str(folder)},
        check=True,
        text=True,
        stdout=subprocess.DEVNULL,
    )
    return [(said / str(index)).read_text() for index in range(len(CASES))]


@pytest.mark.parametrize("index", range(len(CASES)))
def test_it_is_refused_at_once_in_one_line(refusals, index):
    message, status = refusals[index].rsplit("\n", 1)
    assert message.startswith("error: ") and "\n" not in message and status == "exit status 1", message
    assert CASES[index][1] in message
