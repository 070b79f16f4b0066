r"""How well the inverse of a run's flow is one.

    python -m analysis.inverse --run=runs/glow_cifar10 --datasets=svhn_cropped,mnist --data_dir=DIR

prints a round trip, decode(encode(x)), of its own test images, of the named sets, of nine extreme images and
of samples: the worst and the mean difference in grey levels, how many are not finite, and of samples whether
log p is. `evaluate` says less, of fewer images.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from tfp_flows import commands, data, evaluation, numerics, runs
from tfp_flows.checks.errors import UserError

if TYPE_CHECKING:
    from tfp_flows.distributions import Dequantized
    from tfp_flows.numerics import InverseError

FLAGS = flags.FLAGS
AT_ONCE = 250  # samples


def rows(
    model: "Dequantized", sets: "Sequence[data.ImageSet]", num_samples: int
) -> "list[tuple[str, InverseError, str]]":
    """(what, its round trip, a remark) for each set, each extreme image, and samples.

    Args:
      model: A flow over dequantised images.
      sets: Of the model's image shape, its own first.
      num_samples: 0 for none.
    """
    found = [
        (f"{data.short(one.name)} ({one.split})", numerics.inverse_error(model, one.images), "")
        for one in sets
    ]
    shape = tuple(model.event_shape)
    for name, image in numerics.extreme_images(shape, np.asarray(sets[0].images[0])).items():
        found.append((name, numerics.inverse_error(model, image[np.newaxis]), ""))
    if num_samples:
        found.append(_samples(model, num_samples))
    return found


def _samples(model: "Dequantized", count: int) -> "tuple[str, InverseError, str]":
    """The row of the model's own samples."""
    import tensorflow as tf

    log_prob = tf.function(model.flow.log_prob, reduce_retracing=True)
    errors, without = [], 0
    for start in range(0, count, AT_ONCE):
        y = model.draws(min(AT_ONCE, count - start), (start, 1))
        errors.append(numerics.inverse_error(model, y))
        without += int((~np.isfinite(log_prob(tf.identity(y)))).sum())
    worst = float(np.nanmax([error.worst for error in errors]))
    mean = float(np.nanmean([error.mean for error in errors]))
    not_finite = sum(error.not_finite for error in errors)
    return "samples", numerics.InverseError(worst, mean, not_finite, count), f"log p not finite: {without:,}"


def text(found: "Sequence[tuple[str, InverseError, str]]") -> str:
    """The rows as an aligned table."""
    lines = [("images", "n", "worst", "mean", "not finite", "")]
    lines += [
        (what, f"{e.n:,}", f"{e.worst:.2g}", f"{e.mean:.2g}", f"{e.not_finite:,}", remark)
        for what, e, remark in found
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 0 < i < 5 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def define_flags() -> None:
    """Defines the flags."""
    commands.define_common_flags()
    flags.DEFINE_list("datasets", [], f"Further data sets: {commands.DATASET_HELP}")
    flags.DEFINE_integer("max_images", 2000, "Images of a set, a fixed random sample.", lower_bound=2)
    flags.DEFINE_integer("num_samples", 10_000, "Samples to draw.", lower_bound=0)


def main() -> None:
    """Measures and prints."""
    run = runs.Run(FLAGS.run)
    data.check_there([run.with_data().dataset, *FLAGS.datasets], data_dir=FLAGS.data_dir)
    from tfp_flows.distributions import Dequantized  # here, as they import TensorFlow
    from tfp_flows.distributions.protocols import is_flow

    model, _ = runs.load_model(run)
    if not is_flow(model) or not isinstance(model, Dequantized):
        raise UserError("`run`: its model is no flow.")
    sets = evaluation.load_sets(
        run.with_data(),
        FLAGS.datasets,
        data_dir=FLAGS.data_dir,
        download=FLAGS.download,
        max_images=FLAGS.max_images,
    )
    sets = [one for one in sets if one.split != "train"]
    print(text(rows(model, sets, FLAGS.num_samples)))


if __name__ == "__main__":
    define_flags()
    commands.run(main)
