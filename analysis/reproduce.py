r"""Reproduces the paper in one command: trains what is missing, evaluates, analyses, compares, reports.

    python -m analysis.reproduce --flagfile=flagfiles/reproduce_fashion_mnist.flags --data_dir=DIR

OUT/index.html has every row of the paper beside ours, and its claims with a verdict each; OUT/results.json
every number, OUT/results.md the tables. The same command goes on where it was interrupted, and once all is
done takes seconds; another flag of a model trains that model anew, and what depends on it.
"""

import pathlib

from absl import flags

from analysis.errors import AnalysisError
from tfp_flows import commands

FLAGS = flags.FLAGS
EXPERIMENTS = ("fashion_mnist", "cifar10")
SCALES = ("smoke", "cpu", "paper")
STAGES = ("train", "evaluate", "analyse", "detect", "report")


def define_flags() -> None:
    """Defines the flags of the reproduction."""
    flags.DEFINE_enum(
        "experiment",
        "fashion_mnist",
        EXPERIMENTS,
        "What is learned by most models: FashionMNIST, or CIFAR-10.",
    )
    flags.DEFINE_enum(
        "scale",
        "cpu",
        SCALES,
        "smoke: tiny models on embedded images, to see that all works; cpu: within 150 minutes on two "
        "cores; paper: the paper's sizes and schedules, for a GPU.",
    )
    flags.DEFINE_string("out", None, "Folder for runs, cache and report.")
    flags.DEFINE_list("stages", list(STAGES), f"What to do, some of {', '.join(STAGES)}.")
    flags.DEFINE_integer("seeds", 1, "How often to train the headline model, for a spread.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Of models, probes, draws and samples.", lower_bound=0)
    flags.DEFINE_multi_string(
        "run_of",
        [],
        "NAME=FOLDER: take this run for a model instead of training it, such as "
        "glow=models/glow_fashion_mnist; may be given several times.",
    )
    flags.DEFINE_string("data_dir", None, "Folder of data sets in TFDS layout.")
    flags.DEFINE_bool("download", False, "Let TFDS download a data set that is not in --data_dir.")
    flags.DEFINE_bool("progress", True, "Show progress bars of trainings.")
    flags.mark_flag_as_required("out")


def main() -> None:
    """Does the stages, one after the other."""
    from analysis import reproduce_page, reproduce_stages, reproduce_work  # here, as they import TensorFlow
    from tfp_flows import numerics

    out = pathlib.Path(FLAGS.out)
    if out.exists() and not out.is_dir():
        raise AnalysisError(f"`out`: {out} is a file; name a folder.")
    stages = reproduce_stages.check_stages(FLAGS.stages)
    numerics.parts.choose(0)
    work = reproduce_work.Reproduction(
        reproduce_work.Config(
            experiment=FLAGS.experiment,
            scale=FLAGS.scale,
            out=out,
            data_dir=FLAGS.data_dir,
            download=FLAGS.download,
            seeds=FLAGS.seeds,
            seed=FLAGS.seed,
            given=_given(FLAGS.run_of),
        )
    )
    for model in work.models:
        if model.missing:
            print(f"left out {model.name}: {model.missing}", flush=True)
    done = reproduce_stages.Done(work)
    reproduce_stages.do(work, stages, done, FLAGS.progress)
    if "report" in stages:
        if "evaluate" not in done:
            raise AnalysisError("`stages`: the report needs the stage evaluate, with these models.")
        print(f"Written to {reproduce_page.write(work, done)}")


def _given(values: list[str]) -> dict[str, str]:
    """{name: folder} of `run_of`."""
    found = {}
    for value in values:
        name, equals, folder = value.partition("=")
        if not (name and equals and folder):
            raise AnalysisError(f"`run_of`: write NAME=FOLDER, got {value!r}.")
        found[name] = folder
    return found


if __name__ == "__main__":
    define_flags()
    commands.run(main)
