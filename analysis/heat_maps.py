r"""Whether heat maps find what was pasted into a picture.

    python -m analysis.heat_maps --run=runs/quickstart_photos --data_dir=DIR \
        --patches=same,svhn_cropped,noise
    python -m analysis.heat_maps --dataset=photos --detectors=foreign_patches --scores --foreign=digits@rgb

A patch of another picture is pasted into each held-out image of the run's own set, at a place drawn anew.
The localisation AUROC of an image is the probability that a pixel of the patch has a higher value in the
map of the score than one outside, ties counted half; a row of the table has the mean over images. For
comparison the gradient of log p by the image, in three usual forms, is scored in the same way. --scores says
in a second table how well the scores tell these images from the same ones without patches, and from those of
other sets.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np
from absl import flags

from tfp_flows import commands, data, detectors, evaluation, runs
from tfp_flows.checks.errors import UserError
from tfp_flows.detectors.names import NAMES
from tfp_flows.numerics import roc
from tfp_flows.pages import heat

FLAGS = flags.FLAGS
SIMPLE = ("noise", "constant")


def patches(
    name: str, own: np.ndarray, count: int, size: int | tuple[int, int], data_dir: str | None, seed: int = 0
) -> np.ndarray:
    """`count` patches uint8 `[N, *size, C]`.

    Args:
      name: "noise" of all grey levels, "constant" of one colour, "same": of other images of the set; or the
        name of a set, with crops at random, or whole images of the size of a patch (`mnist@resize=12@rgb`).
      own: The images uint8 `[N, H, W, C]` that they will be pasted into.
      count: N.
      size: Side of a patch, or height and width.
      data_dir: Of data sets in TFDS layout.
      seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    channels = own.shape[-1]
    height, width = (size, size) if isinstance(size, int) else size
    if name == "noise":
        return rng.integers(0, 256, [count, height, width, channels]).astype(np.uint8)
    if name == "constant":
        colours = rng.integers(0, 256, [count, 1, 1, channels])
        return np.broadcast_to(colours, [count, height, width, channels]).astype(np.uint8)
    images = np.roll(own, len(own) // 2, axis=0)
    if name != "same":
        images = np.asarray(data.load(name, "test", max_images=count, data_dir=data_dir).images)
    sides = zip(images.shape[1:3], (height, width), strict=True)
    rows, columns = (rng.integers(0, whole - own_side + 1, count) for whole, own_side in sides)
    sources = images[np.arange(count) % len(images)]
    return np.stack(
        [x[r : r + height, c : c + width] for x, r, c in zip(sources, rows, columns, strict=True)]
    )


def planted(images: np.ndarray, pieces: np.ndarray, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(images with a piece each at a place drawn at random, masks bool `[N, H, W]` of these places)."""
    rng = np.random.default_rng(seed)
    found, masks = images.copy(), np.zeros(images.shape[:3], bool)
    height, width = pieces.shape[1:3]
    for i, piece in enumerate(pieces):
        row, column = (rng.integers(0, n + 1) for n in np.subtract(images.shape[1:3], [height, width]))
        place = np.s_[i, row : row + height, column : column + width]
        found[place], masks[place] = piece, True
    return found, masks


def localisation(maps: np.ndarray, masks: np.ndarray) -> float:
    """The AUROC of the pixels of `masks` against the others, by their values in `maps`: mean over images."""
    return float(
        np.mean([roc.area_under(m[~inside], m[inside]) for m, inside in zip(maps, masks, strict=True)])
    )


def gradients(model: object) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Maps of the gradient g of log p by grey levels x / 256, in the usual forms."""
    import tensorflow as tf  # here, so that --help does not wait for it

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


def _smoothed(detector: "detectors.Detector", images: np.ndarray) -> np.ndarray:
    return heat.smoothed(detector.score_map(images))


def table(columns: Sequence[str], rows: dict[str, list[float]]) -> str:
    """The numbers in Markdown."""
    lines = [f"| map | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    lines += [f"| {name} | {' | '.join(f'{value:.3f}' for value in row)} |" for name, row in rows.items()]
    return "\n".join(lines)


def fitted(name: str, run: "runs.Run | None", dataset: str, where: dict) -> "detectors.Detector":
    """The detector of a run, or of a set where it needs no model, fitted as `detect` does."""
    kind = detectors.DETECTORS[name]
    if run is None:
        detector = kind.of_models([], {"image_shape": data.load(dataset, "test", **where).images.shape[1:]})
    else:
        detector = detectors.of_runs(name, [run], {})
    most = kind.most_fit_images or FLAGS.fit_images
    return detector.fit(data.load(dataset, kind.fit_split, max_images=most, **where))


def main() -> None:
    """Prints the tables of a run, or of a set."""
    if bool(FLAGS.run) == bool(FLAGS.dataset):
        raise UserError("--run or --dataset: give one of them.")
    run = runs.Run(FLAGS.run) if FLAGS.run else None
    where: dict = {"data_dir": FLAGS.data_dir}
    if run is not None:
        spec = run.spec()
        where.update(
            image_shape=spec.image_shape, division=spec.division, skip_unreadable=spec.skip_unreadable
        )
    dataset = run.spec().dataset if run else FLAGS.dataset
    for name in FLAGS.detectors:
        if name not in NAMES:
            raise UserError(f"--detectors: there is no detector {name!r}; there are {', '.join(NAMES)}.")
    pasted = [name.format(side=1) for name in FLAGS.patches if name not in ("same", *SIMPLE)]
    data.check_there([dataset, *FLAGS.foreign, *pasted], data_dir=FLAGS.data_dir)
    test = np.asarray(data.load(dataset, "test", max_images=FLAGS.max_images, **where).images)
    own = {name: fitted(name, run, dataset, where) for name in FLAGS.detectors}
    kinds: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    for name, detector in own.items():
        kinds[name] = detector.score_map
        kinds[f"{name}, smoothed"] = functools.partial(_smoothed, detector)
    if FLAGS.gradients and run is not None:
        kinds.update(gradients(runs.load_model(run)[0]))
    columns = list(FLAGS.patches)
    foreign = [
        data.load(name, "test", max_images=FLAGS.max_images, **where).images for name in FLAGS.foreign
    ]
    for text in FLAGS.sizes:
        sides = [int(side) for side in text.split("x")]
        size = (sides[0], sides[-1])
        made = [
            patches(name.format(side=max(size)), test, len(test), size, FLAGS.data_dir) for name in columns
        ]
        pasted = [planted(test, pieces) for pieces in made]
        rows = {
            name: [localisation(of(images), masks) for images, masks in pasted] for name, of in kinds.items()
        }
        print(f"\nWhere, patches of {size[0]} x {size[1]} pixels:\n\n{table(columns, rows)}", flush=True)
        if not FLAGS.scores:
            continue
        strange = [images for images, _ in pasted] + [np.asarray(images) for images in foreign]
        rows = {name: _aurocs(detector.score, test, strange) for name, detector in own.items()}
        print(
            f"\nWhether:\n\n{table([*columns, *(f'all {name}' for name in FLAGS.foreign)], rows)}",
            flush=True,
        )


def _aurocs(
    score: Callable[[np.ndarray], np.ndarray], own: np.ndarray, strange: Sequence[np.ndarray]
) -> list[float]:
    known = score(own)
    return [evaluation.auroc(known, score(images), num_bootstrap=0)[0] for images in strange]


def define_flags() -> None:
    """Defines the flags."""
    flags.DEFINE_string("run", None, "Folder of the run.")
    flags.DEFINE_string("dataset", None, "Instead of a run, the set of detectors that need no model.")
    flags.DEFINE_string("data_dir", None, "Folder of data sets in TFDS layout.")
    flags.DEFINE_list(
        "patches",
        ["same", *SIMPLE],
        "What is pasted in: same, noise, constant, names of sets; {side} is a patch's.",
    )
    flags.DEFINE_list("detectors", ["likelihood", "typicality"], "Whose maps.")
    flags.DEFINE_list("sizes", ["12"], "Sides of a patch: 12, 8x16.")
    flags.DEFINE_bool("scores", False, "Whether the scores notice the patches, too.")
    flags.DEFINE_list("foreign", [], "Sets whose images the scores should notice.")
    flags.DEFINE_integer("max_images", 128, "Images that are pasted into.")
    flags.DEFINE_integer("fit_images", 512, "Images that the detectors are fitted to.")
    flags.DEFINE_bool("gradients", False, "Compare with gradients; of a flow.")


if __name__ == "__main__":
    define_flags()
    commands.run(main)
