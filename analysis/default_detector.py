r"""What the default detector finds and what it does not, and by what its members were chosen.

    python -m analysis.default_detector --runs=runs/glow_fashion_mnist,runs/glow_cifar10 --out=study

For each run, its statistics of own images and of many foreign sets: real ones, those of `foreign_sets`,
constants, noise. From them every combination of up to four tests by three rules is judged, and one set is
left out: for each foreign set the combination is chosen that has the best mean AUROC on all the others, in
all runs, and judged on that set alone. So no number of the column "chosen without it" was tuned to its set.
Sets of `foreign_sets.NEAR` are own images that still look like own ones; they are listed last.

Writes OUT/default_detector.md and OUT/default_detector.csv. Statistics are kept in OUT/cache.
"""

import pathlib

from absl import flags

from tfp_flows import commands, runs

FLAGS = flags.FLAGS
REAL = ("mnist", "fashion_mnist", "cifar10", "svhn_cropped", "digits", "photos")


def define_flags() -> None:
    """Defines the flags."""
    flags.DEFINE_list("runs", None, "Folders of runs.")
    flags.DEFINE_string("data_dir", None, "Folder of data sets in TFDS layout.")
    flags.DEFINE_list(
        "foreign", list(REAL), "Real foreign sets; those that cannot be had are left out, and said."
    )
    flags.DEFINE_integer("max_images", 1000, "Images of each foreign set.")
    flags.DEFINE_integer("own_images", 2000, "Own test images.")
    flags.DEFINE_integer("fit_images", None, "Validation images, and calibration images; None: all.")
    flags.DEFINE_string("out", None, "Folder for the tables.")
    flags.mark_flags_as_required(["runs", "out"])


def main() -> None:
    """Judges every run, writes and prints the tables."""
    for path in FLAGS.runs:
        runs.Run(path).spec()  # one that is not there is refused before TensorFlow is imported
    from analysis import default_study

    limits = (FLAGS.fit_images, FLAGS.fit_images, FLAGS.own_images)
    out = pathlib.Path(FLAGS.out)
    print(default_study.write(FLAGS.runs, out, FLAGS.foreign, FLAGS.data_dir, limits, FLAGS.max_images))


if __name__ == "__main__":
    define_flags()
    commands.run(main)
