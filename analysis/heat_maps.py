r"""Whether heat maps find what was pasted into a picture.

    python -m analysis.heat_maps --run=runs/quickstart --data_dir=DIR --patches=same,svhn_cropped,noise

A patch of another picture is pasted into each held-out image of the run's own set, at a place drawn anew.
The localisation AUROC of an image is the probability that a pixel of the patch has a higher value in the map
of the score than one outside, ties counted half; a row of the table has the mean over images. For comparison
the gradient of log p by the image, in three usual forms, is scored in the same way.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import scipy.stats
import tensorflow as tf
from absl import app, flags

from tfp_flows import data, detectors, runs
from tfp_flows.pages import heat

FLAGS = flags.FLAGS
SIMPLE = ("noise", "constant")


def patches(
    name: str, own: np.ndarray, count: int, size: int, data_dir: str | None, seed: int = 0
) -> np.ndarray:
    """`count` patches uint8 `[N, size, size, C]`.

    Args:
      name: "noise" of all grey levels, "constant" of one colour, "same": of other images of the set; or the
        name of a set, with crops at random, or whole images of the size of a patch (`mnist@resize=12@rgb`).
      own: The images uint8 `[N, H, W, C]` that they will be pasted into.
      count: N.
      size: Side of a patch.
      data_dir: Of data sets in TFDS layout.
      seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    channels = own.shape[-1]
    if name == "noise":
        return rng.integers(0, 256, [count, size, size, channels]).astype(np.uint8)
    if name == "constant":
        colours = rng.integers(0, 256, [count, 1, 1, channels])
        return np.broadcast_to(colours, [count, size, size, channels]).astype(np.uint8)
    images = np.roll(own, len(own) // 2, axis=0)
    if name != "same":
        images = np.asarray(data.load(name, "test", max_images=count, data_dir=data_dir).images)
    rows, columns = (rng.integers(0, side - size + 1, count) for side in images.shape[1:3])
    sources = images[np.arange(count) % len(images)]
    return np.stack([x[r : r + size, c : c + size] for x, r, c in zip(sources, rows, columns, strict=True)])


def planted(images: np.ndarray, pieces: np.ndarray, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(images with a piece each at a place drawn at random, masks bool `[N, H, W]` of these places)."""
    rng = np.random.default_rng(seed)
    found, masks = images.copy(), np.zeros(images.shape[:3], bool)
    size = pieces.shape[1]
    for i, piece in enumerate(pieces):
        row, column = (rng.integers(0, side - size + 1) for side in images.shape[1:3])
        place = np.s_[i, row : row + size, column : column + size]
        found[place], masks[place] = piece, True
    return found, masks


def localisation(maps: np.ndarray, masks: np.ndarray) -> float:
    """The AUROC of the pixels of `masks` against the others, by their values in `maps`: mean over images."""
    found = []
    for values, mask in zip(maps, masks, strict=True):
        ranks, inside = scipy.stats.rankdata(values), mask.ravel()
        positive = inside.sum()
        wins = ranks[inside].sum() - positive * (positive + 1) / 2
        found.append(wins / (positive * (inside.size - positive)))
    return float(np.mean(found))


def gradients(model: object) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Maps of the gradient g of log p by grey levels x / 256, in the usual forms."""

    @tf.function(autograph=False)
    def gradient(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        y = model.dequantized(images)  # type: ignore[attr-defined]
        with tf.GradientTape() as tape:
            tape.watch(y)
            log_prob = model.flow.log_prob(y)  # type: ignore[attr-defined]
        return tape.gradient(log_prob, y), y

    forms = {
        "gradient x input": lambda g, y: -(g * y).sum(-1),
        "|gradient x input|": lambda g, y: abs((g * y).sum(-1)),
        "|gradient|": lambda g, y: abs(g).sum(-1),
    }

    def of_form(form: Callable, images: np.ndarray) -> np.ndarray:
        return form(*(tensor.numpy() for tensor in gradient(tf.constant(images))))

    return {name: functools.partial(of_form, form) for name, form in forms.items()}


def _smoothed(detector: detectors.Detector, images: np.ndarray) -> np.ndarray:
    return heat.smoothed(detector.score_map(images))


def table(columns: Sequence[str], rows: dict[str, list[float]]) -> str:
    """The numbers in Markdown."""
    lines = [f"| map | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    lines += [f"| {name} | {' | '.join(f'{value:.3f}' for value in row)} |" for name, row in rows.items()]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Prints the table of a run."""
    del arguments
    run = runs.Run(FLAGS.run)
    spec = run.spec()
    where = {"data_dir": FLAGS.data_dir, "image_shape": spec.image_shape, "division": spec.division}
    validation = data.load(spec.dataset, "validation", max_images=FLAGS.fit_images, **where)
    test = np.asarray(data.load(spec.dataset, "test", max_images=FLAGS.max_images, **where).images)
    columns = list(FLAGS.patches)
    made = [patches(name, test, len(test), FLAGS.size, FLAGS.data_dir) for name in columns]
    pasted = [planted(test, pieces) for pieces in made]
    kinds: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    for name in FLAGS.detectors:
        detector = detectors.of_runs(name, [run], {}).fit(validation)
        kinds[name] = detector.score_map
        kinds[f"{name}, smoothed"] = functools.partial(_smoothed, detector)
    model = runs.load_model(run)[0]
    if FLAGS.gradients:
        kinds.update(gradients(model))
    rows = {
        name: [localisation(of(images), masks) for images, masks in pasted] for name, of in kinds.items()
    }
    print(table(columns, rows))


if __name__ == "__main__":
    flags.DEFINE_string("run", None, "Folder of the run.", required=True)
    flags.DEFINE_string("data_dir", None, "Folder of data sets in TFDS layout.")
    flags.DEFINE_list(
        "patches", ["same", *SIMPLE], "What is pasted in: same, noise, constant, names of sets."
    )
    flags.DEFINE_list("detectors", ["likelihood", "typicality"], "Whose maps.")
    flags.DEFINE_integer("size", 12, "Side of a patch.")
    flags.DEFINE_integer("max_images", 128, "Images that are pasted into.")
    flags.DEFINE_integer("fit_images", 512, "Images that the detectors are fitted to.")
    flags.DEFINE_bool("gradients", False, "Compare with gradients; of a flow.")
    app.run(main)
