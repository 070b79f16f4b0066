"""A trained model, with a detector if there is one, as functions that run without this package."""

import inspect

import tensorflow as tf

from tfp_flows.detectors import calibration
from tfp_flows.numerics import Seed, quantization

SEED = 0  # of the noise in log_prob; written into signature.json, so that a call can be repeated
PADDED_SIZES = (1, 16, 128)


class Servable:
    """The functions of an exported model; every one is a `tf.function` traced once, for any batch size.

        log_prob(images)                    float32 [B], nats
        serving_default(images)             log_prob, bits_per_dim; with a detector also score and p_value
        log_prob_seeded(images, seed)       log_prob with other noise, for the families that have any
        sample(n, seed)                     images, uint8 [n, H, W, C]
        encode, decode, log_prob_parts      where the family has them: see its `methods`

    Images are uint8 `[None, H, W, C]`; all but `log_prob` return named tensors.
    """

    def __init__(self, model, family, detector=None, jit_compile=False):
        """Makes the functions; nothing is traced yet.

        Args:
          model: Density model over integer images.
          family: Its `Family`.
          detector: Fitted, exportable `detectors.Detector`, or None.
          jit_compile: Whether `log_prob` and `serving_default` are compiled by XLA; batches are then
          padded to a
            multiple of 1, 16 or 128 images, so that few sizes are ever compiled.

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
        scores = padded(self._scores, model.event_shape) if jit_compile else self._scores
        self.methods = {
            "serving_default": _named(scores, images),
            "log_prob_seeded": _named(self._log_prob_seeded, images, seed),
            "sample": _named(self._sample, tf.TensorSpec([], tf.int32, name="n"), seed),
        }
        if not family.noisy:
            del self.methods["log_prob_seeded"]
        for name, method in family.methods(model).items():
            self.methods[name] = _named(method.function, *method.inputs)
        self.log_prob = tf.function(
            lambda images: scores(images)["log_prob"], input_signature=[images], autograph=False
        )

    def of_size(self, name, size):
        """(function, specs): a method for exactly `size` images, as XLA needs it; then `n` is no input."""
        method = self.methods[name]
        specs = [spec for spec in method.input_signature if spec.name != "n"]
        static = [
            tf.TensorSpec([size, *s.shape[1:]] if s.shape.rank else [], s.dtype, s.name) for s in specs
        ]
        fixed = [size] if len(specs) < len(method.input_signature) else []
        return lambda *inputs: method.python_function(*fixed, *inputs), static

    def save(self, folder):
        """Writes the SavedModel; all functions are traced."""
        module = tf.Module(name="servable")
        module.log_prob = self.log_prob
        for name, function in self.methods.items():
            setattr(module, name, function)
        signatures = {name: function.get_concrete_function() for name, function in self.methods.items()}
        graphs = [f.graph for f in [*signatures.values(), self.log_prob.get_concrete_function()]]
        # Whatever the model is, and whether it tracks its variables or not.
        module.captured = list({id(v): v for graph in graphs for v in graph.variables}.values())
        tf.saved_model.save(module, str(folder), signatures=signatures)

    def _scores(self, images):
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

    def _bits_per_dim(self, log_prob):
        return quantization.bits_per_dim(log_prob, self._model.event_shape)

    def _log_prob_seeded(self, images, seed):
        return {"log_prob": self._model.log_prob(images, seed=seed)}

    def _sample(self, n, seed):
        pair = tf.cast(Seed.of(seed).pair, tf.int32)
        return {"images": tf.cast(self._family.sample(self._model, n, pair, False), tf.uint8)}


def padded(function, image_shape):
    """`function` compiled by XLA for a few batch sizes, and the batch cut and padded to them.

    Args:
      function: From images uint8 `[B, H, W, C]` to a dict of tensors `[B]`.
      image_shape: (H, W, C).

    Returns:
      Such a function of any batch size.
    """

    def of_size(size):
        compiled = tf.function(function, jit_compile=True, autograph=False)

        def run(images):
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

    def run(images):
        count = tf.shape(images)[0]
        index = tf.searchsorted(PADDED_SIZES, [tf.minimum(count, PADDED_SIZES[-1])])[0]
        return tf.switch_case(index, [lambda branch=branch: branch(images) for branch in branches])

    return run


def signature(servable):
    """What `signature.json` says of the functions: {name: {inputs, outputs}}, dtypes and shapes."""
    described = {}
    for name, function in servable.methods.items():
        concrete = function.get_concrete_function()
        inputs, _ = concrete.structured_input_signature
        described[name] = {
            "inputs": {spec.name: _describe(spec) for spec in inputs},
            "outputs": {key: _describe(spec) for key, spec in concrete.structured_outputs.items()},
        }
    return described


def _describe(spec):
    return {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}


def _named(function, *specs):
    """`function` as a `tf.function` of keyword arguments, so that a signature has their names."""
    keywords = {spec.name: spec for spec in specs}
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in keywords]

    def call(*positional, **named):
        return function(*positional, *named.values())

    call.__signature__ = inspect.Signature(parameters)
    return tf.function(call, input_signature=list(specs), autograph=False)
