"""Likelihoods of whole data sets, and how well they tell one set from another."""

import csv
import dataclasses
import io
import json

import numpy as np
import sklearn.metrics
import tensorflow as tf
import tqdm

from tfp_flows import data, plots, runs
from tfp_flows.distributions import in_parts
from tfp_flows.models import registry
from tfp_flows.numerics import parts, quantization

NUM_BOOTSTRAP = 200
PROTOCOL_FILE = "protocol.json"


@dataclasses.dataclass(frozen=True)
class Row:
    """One data set's likelihoods under a model.

    Attributes:
      dataset: Name as in `tfp_flows.data`, operations included.
      split: "train" or "test".
      n: Number of images.
      bits_per_dim: Mean over images.
      bits_per_dim_se: Standard error of that mean.
      log_prob: Mean log-probability, nats per image.
      auroc: Area under the ROC curve of the score -log_prob, this set positive (out of distribution)
        against the model's own test set; 0.5 is chance, below it this set is the *more* likely one.
        None for the test set itself.
      auroc_low: Lower end of its 95 % bootstrap interval.
      auroc_high: Upper end.
      estimate_se: Mean over images of the standard error of each one's estimated log-probability, nats.
        None where the model says none: it is exact, or a bound from fixed noise.
    """

    dataset: str
    split: str
    n: int
    bits_per_dim: float
    bits_per_dim_se: float
    log_prob: float
    auroc: float | None = None
    auroc_low: float | None = None
    auroc_high: float | None = None
    estimate_se: float | None = None


def compiled_log_prob(model):
    """`model.log_prob` as a `tf.function` of uint8 `[None, H, W, C]`, traced once for any batch."""
    signature = [tf.TensorSpec([None, *model.event_shape], tf.uint8)]
    return tf.function(
        lambda images: in_parts.log_prob(model, images),
        input_signature=signature,
        autograph=False,
    )


def compiled_estimate(model):
    """As `compiled_log_prob`, but `[B, 2]` with the standard error of the estimate beside it.

    For a model that has `log_prob_and_standard_error`; for any other it is `compiled_log_prob`.
    """
    if not hasattr(model, "log_prob_and_standard_error"):
        return compiled_log_prob(model)
    signature = [tf.TensorSpec([None, *model.event_shape], tf.uint8)]

    def estimate(images):
        return tf.stack(model.log_prob_and_standard_error(images), axis=-1)

    return tf.function(
        lambda images: parts.concatenated(estimate, images, model.dtype, [2]),
        input_signature=signature,
        autograph=False,
    )


def log_probs(log_prob, images, batch_size=256, progress=None):
    """The log-probability of many images, in batches.

    Args:
      log_prob: From `compiled_log_prob`, or any function of uint8 `[B, H, W, C]`.
      images: uint8 `[N, H, W, C]`.
      batch_size: Positive `int`; has no influence on the result but for rounding.
      progress: Label of a progress bar, or None for none.

    Returns:
      float64 `[N]`, nats; `[N, ...]` where the function gives more for each image.
    """
    values = []
    with tqdm.tqdm(total=len(images), unit="image", desc=progress, disable=progress is None) as bar:
        for batch in data.evaluation_batches(images, batch_size):
            values.append(log_prob(batch).numpy().astype(np.float64))
            bar.update(len(values[-1]))
    return np.concatenate(values)


def auroc(in_distribution, out_of_distribution, num_bootstrap=NUM_BOOTSTRAP, seed=0):
    """Area under the ROC curve of a score, higher meaning out of distribution.

    Args:
      in_distribution: Scores `[N]`.
      out_of_distribution: Scores `[M]`, the positive class.
      num_bootstrap: Resamples (of both sets) for the interval.
      seed: Of the resamples.

    Returns:
      (AUROC, low, high): the 95 % percentile bootstrap interval.
    """
    scores = np.concatenate([in_distribution, out_of_distribution])
    labels = np.repeat([0, 1], [len(in_distribution), len(out_of_distribution)])
    rng = np.random.default_rng(seed)
    resampled = []
    for _ in range(num_bootstrap):
        weights = np.concatenate(
            [
                rng.multinomial(len(part), np.full(len(part), 1 / len(part)))
                for part in (in_distribution, out_of_distribution)
            ]
        )
        resampled.append(sklearn.metrics.roc_auc_score(labels, scores, sample_weight=weights))
    low, high = np.quantile(resampled, [0.025, 0.975])
    return sklearn.metrics.roc_auc_score(labels, scores), low, high


def load_sets(spec, names, data_dir=None, download=False, max_images=None):
    """The sets that a run is judged on: its own test images, as many training ones, and the named.

    Args:
      spec: `runs.RunSpec`.
      names: Names as in `tfp_flows.data`; their test splits are loaded.
      data_dir: Folder of data sets in TFDS layout.
      download: Whether TFDS may download what is missing.
      max_images: Largest number of images of each set; None for all.

    Returns:
      List of `data.ImageSet`, all of the run's image shape.

    Raises:
      DataError: If one cannot be loaded or has another shape.
    """
    shared = dict(data_dir=data_dir, download=download, image_shape=spec.image_shape)
    own = data.load(spec.dataset, "test", max_images=max_images, **shared)
    sets = [own, data.load(spec.dataset, "train", max_images=len(own), **shared)]
    others = [name for name in dict.fromkeys(names) if name != spec.dataset]
    return sets + [data.load(name, "test", max_images=max_images, **shared) for name in others]


def evaluate(run, sets, *, batch_size=256, num_samples=64, protocol=None, progress=True):
    """Scores data sets under a run's model and writes table, pictures and scores.

    Writes into the run's `evaluation` folder: `bits_per_dim.csv`, `likelihoods.png` (histograms),
    `samples.png` (images that the model drew), `log_probs.npz` (every score) and `protocol.json`
    (how they were computed).

    Args:
      run: `runs.Run`.
      sets: List of `data.ImageSet`, the model's own test set first, as from `load_sets`.
      batch_size: Images scored at once.
      num_samples: Images to draw for `samples.png`; 0 for none.
      protocol: How log-probabilities are estimated, an instance of the family's `protocol_class`; None
        for its defaults.
      progress: Whether to show progress bars.

    Returns:
      List of `Row`, in the order of `sets`.

    Raises:
      RunError: If the run has no model yet.
    """
    protocol = protocol or registry.family(run.spec().family).protocol_class()
    model, step = runs.load_model(run, protocol)
    run.evaluation.mkdir(exist_ok=True)
    labels = [f"{s.name} ({s.split})" for s in sets]
    estimate = compiled_estimate(model)
    estimates = [
        log_probs(estimate, image_set.images, batch_size, label if progress else None)
        for image_set, label in zip(sets, labels, strict=True)
    ]
    values = [found if found.ndim == 1 else found[:, 0] for found in estimates]
    errors = [None if found.ndim == 1 else found[:, 1].mean() for found in estimates]
    shape = sets[0].image_shape
    rows = [_row(sets[0], values[0], None, errors[0])]
    rows += [_row(s, v, values[0], e) for s, v, e in zip(sets[1:], values[1:], errors[1:], strict=True)]
    _write_csv(run.evaluation / "bits_per_dim.csv", rows)
    description = json.dumps({"step": step, **dataclasses.asdict(protocol)}, indent=2)
    runs.write_atomically(run.evaluation / PROTOCOL_FILE, description + "\n")
    np.savez_compressed(run.evaluation / "log_probs.npz", **dict(zip(labels, values, strict=True)))
    title = f"{run.spec().family} trained on {sets[0].name}, {step:,} steps"
    bits = {k: quantization.bits_per_dim(v, shape) for k, v in zip(labels, values, strict=True)}
    plots.likelihood_histograms(run.evaluation / "likelihoods.png", bits, title)
    if num_samples:
        drawn = registry.family(run.spec().family).sample(model, num_samples, (0, 0), progress)
        samples = drawn.numpy().astype(np.uint8)
        plots.image_grid(run.evaluation / "samples.png", samples, f"Samples: {title}")
    return rows


def report(run, rows):
    """The table of the rows, what it says, and where the files are, as text."""
    likelier = [row.dataset for row in rows[1:] if row.split == "test" and row.auroc_high < 0.5]
    lines = [table(rows), ""]
    if rows[0].estimate_se is not None:
        protocol = json.loads((run.evaluation / PROTOCOL_FILE).read_text(encoding="utf-8"))
        settings = ", ".join(f"{k} {v}" for k, v in protocol.items() if k != "step")
        lines.append(
            f"log p is an estimate ({settings}); the standard error of one image's is "
            f"{rows[0].estimate_se:.2f} nats on average ({rows[0].dataset})."
        )
    if likelier:
        lines.append(
            f"The model finds these more likely than its own test images (AUROC below 0.5): "
            f"{', '.join(likelier)}."
        )
    lines.append(f"The table, pictures and scores are in {run.evaluation}.")
    return "\n".join(lines)


def table(rows):
    """The rows as an aligned text table."""
    lines = [("dataset", "split", "n", "bits/dim", "log p (nats)", "AUROC of -log p [95 %]")]
    for row in rows:
        area = "" if row.auroc is None else f"{row.auroc:.3f} [{row.auroc_low:.3f}, {row.auroc_high:.3f}]"
        lines.append(
            (
                row.dataset,
                row.split,
                f"{row.n:,}",
                f"{row.bits_per_dim:.3f} ± {row.bits_per_dim_se:.3f}",
                f"{row.log_prob:,.1f}",
                area,
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _row(image_set, scores, reference, estimate_se):
    bits = quantization.bits_per_dim(scores, image_set.image_shape)
    area = (None, None, None) if reference is None else auroc(-reference, -scores)
    error = bits.std(ddof=1) / np.sqrt(len(bits)) if len(bits) > 1 else float("nan")
    mean = (bits.mean(), error, scores.mean())
    return Row(image_set.name, image_set.split, len(scores), *mean, *area, estimate_se)


def _write_csv(path, rows):
    text = io.StringIO()
    fields = [field.name for field in dataclasses.fields(Row)]
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        values = dataclasses.asdict(row)
        writer.writerow({k: "" if v is None else v for k, v in values.items()})
    runs.write_atomically(path, text.getvalue())
