"""What the training of benchmarks/gpu.py made, judged in float32 with JAX alone."""

import numpy as np

from benchmarks import gpu_training, stablehlo

SETS_FILE = "sets.npz"
DISTANT = ("checkerboard", "checkerboard_2", "stripes", "zeros", "full", "noise")


def evaluate(model, folder, arrays, size, samples, seed=0):
    """Judges the averaged weights of the folder's state.

    Args:
      model: The `Model` of the folder's programs.
      folder: `pathlib.Path`, with the state and `SETS_FILE`: uint8 `[N, H, W, C]` by name, the first the
        test images of the set that was trained on.
      arrays: Its arrays: `images`, those that were trained on.
      size: A `gpu_programs.Size`.
      samples: How many latents are drawn and decoded.
      seed: Of them.

    Returns:
      dict: `bits_per_dim` {set: [mean, standard error, AUROC of -log p against the test images, the share
      that is not finite]}; `samples` and `round_trips` as `_of_samples` and `_error` give them.
    """
    saved = stablehlo.reader.read_arrays(folder / gpu_training.STATE_FILE)
    averages = model.signature["averages"]  # {name of a weight: name of its average}
    model.weights = {name: model.put(saved[averages.get(name, name)]) for name in saved}
    with np.load(folder / SETS_FILE) as archive:
        sets = dict(archive)
    test = next(iter(sets))
    sets["train"] = arrays["images"][: len(sets[test])]
    found = {name: _rows(model, "log_prob", size, images)["log_prob"] for name, images in sets.items()}
    np.savez(folder / "log_probs.npz", **found)
    bits = {name: -log_probs / _nats_per_bit(sets[name]) for name, log_probs in found.items()}
    distant = distant_images(sets[test].shape[1:]) | {"upside_down": sets[test][:, ::-1]}
    return {
        "bits_per_dim": {name: _summary(values, bits[test]) for name, values in bits.items()},
        "samples": _of_samples(model, size, sets[test], samples, seed),
        "round_trips": {test: _error(model, size, sets[test])}
        | {name: _error(model, size, images) for name, images in distant.items()},
    }


def distant_images(image_shape):
    """{name of `DISTANT`: uint8 `[N, H, W, C]`}: one image each, of noise 1,000."""
    rows, columns = np.indices(image_shape[:2])
    noise = np.random.default_rng(0).integers(0, 256, [1000, *image_shape], np.uint8)
    patterns = [(rows + columns) % 2, (rows // 2 + columns // 2) % 2, columns % 2, 0 * rows, 0 * rows + 1]
    images = [np.broadcast_to(255 * pattern[None, ..., None], [1, *image_shape]) for pattern in patterns]
    return dict(zip(DISTANT, [image.astype(np.uint8) for image in images] + [noise], strict=True))


def _summary(bits, inside):
    finite = np.isfinite(bits)
    error = float(np.std(bits[finite]) / np.sqrt(max(finite.sum(), 1)))
    # What is not finite is as unlikely as can be.
    scores = [np.where(np.isfinite(values), values, np.inf) for values in (inside, bits)]
    return [float(np.mean(bits[finite])), error, stablehlo.roc.area_under(*scores), float(1 - finite.mean())]


def _of_samples(model, size, images, count, seed):
    """How many of the samples, of their densities, and of their 8-bit images' likelihoods are not finite."""
    z = np.random.default_rng(seed).standard_normal([count, *images.shape[1:]], np.float32)
    z = z * np.float32(model.signature["run"]["model"]["prior_scale"])
    found = _rows(model, "decode", size, z)
    finite = np.isfinite(found["y"]).all(axis=(1, 2, 3))
    shown = np.clip(np.floor(found["y"][finite]), 0, 255).astype(np.uint8)
    bits = -_rows(model, "log_prob", size, shown)["log_prob"] / _nats_per_bit(shown)
    return {
        "drawn": count,
        "not_finite": int(count - finite.sum()),
        "density_not_finite": int(np.sum(~np.isfinite(found["log_prob"]))),
        "image_likelihood_not_finite": int(np.sum(~np.isfinite(bits))),
        "bits_per_dim_of_images": float(np.mean(bits[np.isfinite(bits)])),
        "values_out_of_range": float(np.mean((found["y"][finite] < 0) | (found["y"][finite] >= 256))),
        "farthest_value": float(np.max(np.abs(found["y"][finite]), initial=0.0)),
    }


def _error(model, size, images):
    """decode(encode(x)) against x in grey levels: the largest error of each image with a finite result."""
    encoded = _rows(model, "encode", size, images)
    decoded = _rows(model, "decode", size, encoded["z"])
    error = np.abs(decoded["y"] - encoded["y"]).max(axis=(1, 2, 3))
    finite = np.isfinite(error)
    return {
        "images": len(images),
        "max": float(np.max(error, initial=0.0, where=finite)),
        "mean": float(np.mean(error[finite])) if finite.any() else None,
        "not_finite": float(1 - finite.mean()),
        "latents_not_finite": float(1 - np.isfinite(encoded["z"]).all(axis=(1, 2, 3)).mean()),
    }


def _rows(model, function, size, values):
    """The results of a program in float32 for any number of images or latents, as NumPy arrays."""
    name, count, chunks = f"{function}_float32", size.steps_per_call * size.batch, []
    (given,) = (a["input"] for a in model.program(name, size.batch)[1]["arguments"] if "input" in a)
    for start in range(0, max(len(values), 1), count):
        chunk = np.zeros([count, *values.shape[1:]], values.dtype)
        rows = values[start : start + count]
        chunk[: len(rows)] = rows
        chunk = chunk.reshape([size.steps_per_call, size.batch, *values.shape[1:]])
        results = stablehlo.on_host(model.run(name, size.batch, {given: model.put(chunk)}))
        chunks.append(
            {key: value.reshape([count, *value.shape[2:]])[: len(rows)] for key, value in results.items()}
        )
    return {key: np.concatenate([chunk[key] for chunk in chunks]) for key in chunks[0]}


def _nats_per_bit(images):
    return np.log(2) * np.prod(images.shape[1:])
