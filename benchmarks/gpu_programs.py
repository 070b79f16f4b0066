"""The programs of benchmarks/gpu.py, written by TensorFlow; and what they trained, as a run of tfp_flows.

TensorFlow and the package are imported where they are used: the sizes are read where there is neither.
"""

import dataclasses
import functools
import pathlib

import numpy as np

from benchmarks import gpu_evaluation, gpu_training, peers, stablehlo

MODES = ("float32", "tf32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class Size:
    """The model, its training, and how large the ceilings' arrays are."""

    dataset: str = "cifar10"
    levels: int = 3
    steps_per_level: int = 8
    hidden: int = 400
    scale: str = "sigmoid"
    batch: int = 64
    steps_per_call: int = 10
    steps: int = 20000
    learning_rate: float = 2e-3
    save_every: int = 1000  # this and log_every: multiples of steps_per_call
    log_every: int = 50
    product: int = 8192
    copy_mib: int = 1024


TINY = Size("digits", 2, 1, 4, "sigmoid", 8, 2, 12, 1e-3, 4, 2, 64, 1)


def lower(folder, size, data_dir, modes=MODES, sets=()):
    """Writes the programs, the state before the first step, images and the order in which they come.

    Args:
      folder: Where to.
      size: A `Size`.
      data_dir: Folder of data sets in TFDS layout.
      modes: Those of `MODES` that the programs of training and of `log_prob` are written in, beside
        `log_prob` in float32.
      sets: Names of the sets that the trained weights are judged on, beside the test images.
    """
    import tensorflow as tf

    from tfp_flows import GlowConfig, data, runs, training
    from tfp_flows.serving import stablehlo as lowering

    images = data.load(size.dataset, "train", data_dir=data_dir).images
    config = training.TrainingConfig(
        steps=size.steps,
        batch_size=size.batch,
        learning_rate=size.learning_rate,
        clip_norm=20.0,
        log_every=size.log_every,
    )
    model = GlowConfig(size.levels, size.steps_per_level, size.hidden, scale=size.scale)
    spec = runs.RunSpec("glow", model, vars(config), size.dataset, images.shape[1:])
    family, state = _state(spec)
    subject = training.subject_of_family(family, state.model)
    training.initialize(subject, state, config, training.Examples(images), spec)
    bundle = lowering.Bundle()
    variables = _variables(state)
    names = {id(variable): bundle.add_weight(variable) for variable in variables}
    batches_spec = tf.TensorSpec([size.steps_per_call, size.batch, *spec.image_shape], tf.uint8, "images")
    for mode in modes:
        products = "bfloat16" if mode == "bfloat16" else "none"
        own = dataclasses.replace(config, mixed_precision=products)
        train_step = training.make_train_step(subject, state, own)
        functions = {
            "train_step": functools.partial(_steps, train_step),
            "log_prob": functools.partial(_log_probs, state.model, products=products),
        }
        for name, function in functions.items():
            program = lowering.lower(function, batches_spec, variables=variables, tf32=mode != "float32")
            bundle.add(f"{name}_{mode}", size.batch, program)
    latents_spec = tf.TensorSpec(batches_spec.shape, tf.float32, "z")
    functions = {"encode": (_encoded, batches_spec), "decode": (_decoded, latents_spec)}
    if "float32" not in modes:
        functions["log_prob"] = (functools.partial(_log_probs, products="none"), batches_spec)
    for name, (function, given) in functions.items():
        program = lowering.lower(functools.partial(function, state.model), given, variables=variables)
        bundle.add(f"{name}_float32", size.batch, program)
    order = _order(len(images), config)
    rates = training.Schedule(config)(np.arange(config.steps)).numpy()
    arrays = {"images": images, "order": order, "learning_rates": rates}
    described = dict(run=spec.to_json(), size=dataclasses.asdict(size), step=names[id(state.step)])
    described |= dict(log_prob_flops=_network_flops(size, spec.image_shape), tensorflow=tf.__version__)
    trained, averages = state.model.trainable_variables, state.average.averages
    described["averages"] = {names[id(v)]: names[id(a)] for v, a in zip(trained, averages, strict=True)}
    described["kernels"] = [names[id(v)] for v in trained if v.name.endswith("_kernel:0")]
    stablehlo.write(folder, bundle, arrays, **described)
    found = {name: data.load(name, "test", data_dir=data_dir, image_shape=spec.image_shape) for name in sets}
    found = {size.dataset: data.load(size.dataset, "test", data_dir=data_dir), **found}
    found = {name: images.images for name, images in found.items()}
    np.savez(pathlib.Path(folder) / gpu_evaluation.SETS_FILE, **found)
    # The weights are written: now TensorFlow's own first steps, for the other side to be checked by.
    train_step = training.make_train_step(subject, state, config)
    losses = [float(train_step(tf.constant(images[rows]))[0]) for rows in order[: size.steps_per_call]]
    np.savez(pathlib.Path(folder) / "arrays.npz", losses=np.float32(losses), **arrays)


def restore(folder, to):
    """Writes the trained state as a run of tfp_flows, its curve as the run's metrics."""
    import tensorflow as tf

    from tfp_flows import runs
    from tfp_flows.serving import stablehlo as lowering
    from tfp_flows.training import metrics

    folder = pathlib.Path(folder)
    signature = stablehlo.reader.read_json(folder / "signature.json")
    arrays = stablehlo.reader.read_arrays(folder / gpu_training.STATE_FILE)
    spec = runs.RunSpec.from_json(signature["run"])
    _, state = _state(spec)
    bundle = lowering.Bundle()
    for variable in _variables(state):
        variable.assign(arrays[bundle.add_weight(variable)])
    run_folder = runs.Run(to)
    settings = {**spec.training, **dataclasses.asdict(spec.model), "dataset": spec.dataset, "run": to}
    lines = [f"--{key}={value}\n" for key, value in settings.items() if value not in (None, "")]
    run_folder.create(spec, "".join(lines))
    with metrics.Metrics(run_folder.metrics_file, run_folder.events, 0) as table:
        for row in gpu_training.read_curve(folder):
            table.add(int(row["step"]), **{key: float(row[key]) for key in gpu_training.COLUMNS[1:]})
    manager = tf.train.CheckpointManager(state.checkpoint, run_folder.checkpoints, max_to_keep=2)
    manager.save(checkpoint_number=int(state.step))


def _steps(train_step, images):
    """The results of one step after another on images `[steps, batch, ...]`."""
    import tensorflow as tf

    bits_per_dim, norm = tf.map_fn(train_step, images, fn_output_signature=(tf.float32, tf.float32))
    return {"bits_per_dim": bits_per_dim, "norm": norm}


def _encoded(model, images):
    """The dequantised images, in grey levels, and their latents."""
    import tensorflow as tf

    def encode(images):
        y = model.dequantized(images)
        return {"y": 256.0 * y, "z": model.flow.bijector.inverse(y)}

    return tf.map_fn(encode, images, fn_output_signature={"y": tf.float32, "z": tf.float32})


def _decoded(model, latents):
    """What the latents are of, in grey levels, and its log-density (of values in [0, 1)), nats."""
    import tensorflow as tf

    def decode(z):
        y, log_det = model.flow.bijector.forward_and_log_det(z)
        return {"y": 256.0 * y, "log_prob": model.flow.distribution.log_prob(z) - log_det}

    return tf.map_fn(decode, latents, fn_output_signature={"y": tf.float32, "log_prob": tf.float32})


def _log_probs(model, images, products):
    import tensorflow as tf

    from tfp_flows.numerics import precision

    with precision.reduced(precision.dtype(products)):
        return {"log_prob": tf.map_fn(model.log_prob, images, fn_output_signature=tf.float32)}


def _network_flops(size, image_shape):
    """Operations of the coupling networks' products in a batch's `log_prob`."""
    sizes = peers.Size(*image_shape, size.levels, size.steps_per_level, size.hidden, size.batch)
    products = 0
    for height, width, channels in peers.level_shapes(sizes):
        kernels = 9 * channels // 2 * size.hidden + size.hidden**2 + 9 * size.hidden * channels
        products += height * width * size.steps_per_level * kernels
    return 2 * size.batch * products


def _state(spec):
    """(family, fresh `training.TrainingState`) of a `runs.RunSpec`."""
    from tfp_flows import training
    from tfp_flows.models import registry

    family = registry.family(spec.family)
    model = family.build(spec.model, spec.image_shape, family.training_protocol(spec.model))
    return family, training.TrainingState(model, training.TrainingConfig(**spec.training))


def _variables(state):
    """All that a checkpoint of the state holds, in an order that makes the names of the weights."""
    counters = [state.step, state.window, state.best, state.since_best]
    return [*state.model.variables, *state.optimizer.variables(), *state.average.averages, *counters]


def _order(count, config):
    """The rows of the images that each step of a run takes: int32 `[steps, batch]`."""
    from tfp_flows import data

    numbers = np.arange(count, dtype="<u4").view(np.uint8).reshape(count, 1, 1, 4)
    batches = data.training_batches(numbers, config.batch_size, config.seed, 0, config.steps)
    rows = [np.ascontiguousarray(batch.numpy()).view("<u4") for batch in batches]
    return np.stack(rows).reshape(config.steps, config.batch_size).astype(np.int32)
