"""A trained model, with a detector if there is one, as functions that run without this package."""

import inspect
import os
from collections.abc import Callable, Mapping

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_flows import runs
from tfp_flows.checks import traces
from tfp_flows.detectors import Detector, calibration
from tfp_flows.models import Family
from tfp_flows.numerics import Seed, quantization

SEED = 0  # of the noise in log_prob; written into signature.json, so that a call can be repeated
PADDED_SIZES = (1, 16, 128)
Scores = Callable[[tf.Tensor], dict[str, tf.Tensor]]  # of uint8 images `[B, H, W, C]`; each `[B]`


class Servable:
    """The functions of an exported model; every one is a `tf.function` traced once, for any batch size.

        log_prob(images)                    float32 [B], nats
        serving_default(images)             log_prob, bits_per_dim; with a detector also score and p_value
        log_prob_seeded(images, seed)       log_prob with other noise, for the families that have any
        sample(n, seed)                     images, uint8 [n, H, W, C]
        score_map(images)                   map, float32 [B, H, W], where the detector has one
        encode, decode, log_prob_parts      where the family has them: see its `methods`
        log_density(values)                 of a flow: log p of grey levels with their noise, floating, nats
        log_prob_given, posterior, sample_given     of a model that is given classes: see `models.labelled`

    Images are uint8 `[None, H, W, C]`, `values` floating; all but `log_prob` return named tensors.
    """

    def __init__(
        self,
        model: tfd.Distribution,
        family: Family,
        detector: Detector | None = None,
        jit_compile: bool = False,
    ) -> None:
        """Makes the functions; nothing is traced yet.

        Args:
          model: Density model over integer images.
          family: Its `Family`.
          detector: Fitted, exportable `detectors.Detector`, or None.
          jit_compile: Whether `log_prob` and `serving_default` are compiled by XLA; batches are then
            padded to a multiple of 1, 16 or 128 images, so that few sizes are ever compiled.

        Raises:
          DetectorError: If the detector does not run inside a graph.
        """
        self._model = model
        self._family = family
        self._detector = detector
        if detector is not None:
            detector.check_exportable()
        images = tf.TensorSpec([None, *model.event_shape], tf.uint8, name="images")
        seed = tf.TensorSpec([], tf.int64, name="seed")
        functions: list[Scores] = [self._scores, self._log_prob]
        if jit_compile:
            functions = [padded(function, model.event_shape) for function in functions]
        scores, alone = functions
        self.methods: dict[str, tf.types.experimental.PolymorphicFunction] = {
            "serving_default": _named(scores, images),
            "log_prob_seeded": _named(self._log_prob_seeded, images, seed),
            "sample": _named(self._sample, tf.TensorSpec([], tf.int32, name="n"), seed),
        }
        if family.sample is None:
            del self.methods["sample"]
        if not family.noisy:
            del self.methods["log_prob_seeded"]
        if detector is not None and not detector.maps.why_none():
            self.methods["score_map"] = _named(self._score_map, images)
        for name, method in family.methods(model).items():
            self.methods[name] = _named(method.function, *method.inputs)
        self.log_prob = tf.function(
            lambda images: alone(images)["log_prob"], input_signature=[images], autograph=False
        )

    def of_size(self, name: str, size: int) -> tuple[Callable, list[tf.TensorSpec]]:
        """(function, specs): a method for exactly `size` images, as XLA needs it; then `n` is no input."""
        method = self.methods[name]
        specs = [spec for spec in method.input_signature if spec.name != "n"]
        static = [
            tf.TensorSpec([size, *s.shape[1:]] if s.shape.rank else [], s.dtype, s.name) for s in specs
        ]
        fixed = [size] if len(specs) < len(method.input_signature) else []
        return lambda *inputs: method.python_function(*fixed, *inputs), static

    def save(self, folder: str | os.PathLike) -> None:
        """Writes the SavedModel; all functions are traced."""
        module = tf.Module(name="servable")
        module.log_prob = self.log_prob
        for name, function in self.methods.items():
            setattr(module, name, function)
        signatures = {name: traces.for_saving(function) for name, function in self.methods.items()}
        graphs = [f.graph for f in [*signatures.values(), traces.for_saving(self.log_prob)]]
        # Whatever the model is, and whether it tracks its variables or not; by their names where it does.
        captured = {id(v): v for graph in graphs for v in graph.variables}
        named = {name: v for name, v in runs.variables_by_name(self._model).items() if id(v) in captured}
        module.model = runs.nested(named)
        module.captured = [v for v in captured.values() if id(v) not in set(map(id, named.values()))]
        tf.saved_model.save(module, str(folder), signatures=signatures)

    def _scores(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        if self._detector is None:
            log_prob = self._model.log_prob(images)
            return {"log_prob": log_prob, "bits_per_dim": self._bits_per_dim(log_prob)}
        statistics = self._detector.graph_statistics(images)
        score = self._detector.graph_score_statistics(statistics)
        shared = self._detector.log_prob_first and self._detector.models[:1] == [self._model]
        log_prob = tf.cast(statistics[:, 0], tf.float32) if shared else self._model.log_prob(images)
        found = {"log_prob": log_prob, "bits_per_dim": self._bits_per_dim(log_prob), "score": score}
        if self._detector.calibration_scores is not None:
            found["p_value"] = calibration.p_value(score, tf.constant(self._detector.calibration_scores))
        return found

    def _log_prob(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"log_prob": self._model.log_prob(images)}

    def _score_map(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        assert self._detector is not None
        return {"map": self._detector.maps.in_graph(images)}

    def _bits_per_dim(self, log_prob: tf.Tensor) -> tf.Tensor:
        return quantization.bits_per_dim(log_prob, self._model.event_shape)

    def _log_prob_seeded(self, images: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"log_prob": self._model.log_prob(images, seed=seed)}

    def _sample(self, n: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        assert self._family.sample is not None
        pair = tf.cast(Seed.of(seed).pair, tf.int32)
        return {"images": tf.cast(self._family.sample(self._model, n, pair, False), tf.uint8)}


def padded(function: Scores, image_shape: tuple[int, ...]) -> Scores:
    """`function` compiled by XLA for a few batch sizes, and the batch cut and padded to them.

    Args:
      function: From images uint8 `[B, H, W, C]` to a dict of tensors `[B]`.
      image_shape: (H, W, C).

    Returns:
      Such a function of any batch size.
    """

    def of_size(size: int) -> Scores:
        compiled = tf.function(function, jit_compile=True, autograph=False)

        def run(images: tf.Tensor) -> dict[str, tf.Tensor]:
            count = tf.shape(images)[0]
            missing = -count % size
            filled = tf.pad(images, [[0, missing], [0, 0], [0, 0], [0, 0]])
            chunks = tf.reshape(filled, [-1, size, *image_shape])
            outputs = compiled.get_concrete_function(tf.TensorSpec([size, *image_shape], tf.uint8))
            dtypes = {name: tensor.dtype for name, tensor in outputs.structured_outputs.items()}
            found = tf.map_fn(compiled, chunks, parallel_iterations=1, fn_output_signature=dtypes)
            return {name: tf.reshape(value, [-1])[:count] for name, value in found.items()}

        return run

    branches = [of_size(size) for size in PADDED_SIZES]

    def run(images: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.shape(images)[0]
        index = tf.searchsorted(PADDED_SIZES, [tf.minimum(count, PADDED_SIZES[-1])])[0]
        return tf.switch_case(index, [lambda branch=branch: branch(images) for branch in branches])

    return run


def signature(servable: Servable) -> dict:
    """What `signature.json` says of the functions: {name: {inputs, outputs}}, dtypes and shapes."""
    return signature_of(servable.methods)


def signature_of(methods: Mapping[str, tf.types.experimental.PolymorphicFunction]) -> dict:
    """The same of functions by name."""
    described = {}
    for name, function in methods.items():
        concrete = traces.for_saving(function)
        inputs, _ = concrete.structured_input_signature
        described[name] = {
            "inputs": {spec.name: _describe(spec) for spec in inputs},
            "outputs": {key: _describe(spec) for key, spec in concrete.structured_outputs.items()},
        }
    return described


def _describe(spec: tf.TensorSpec) -> dict:
    return {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}


def _named(function: Callable, *specs: tf.TensorSpec) -> tf.types.experimental.PolymorphicFunction:
    """`function` as a `tf.function` of keyword arguments, so that a signature has their names."""
    keywords = {spec.name: spec for spec in specs}
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in keywords]

    def call(*positional: tf.Tensor, **named: tf.Tensor) -> dict[str, tf.Tensor]:
        return function(*positional, *named.values())

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return tf.function(call, input_signature=list(specs), autograph=False)
