"""Variables away from where they start, where much is the identity."""

import numpy as np
import tensorflow as tf


def perturb(module: tf.Module, seed: int = 0, scale: float = 0.1) -> None:
    """Adds seeded normal noise to every trainable variable: new couplings are identities."""
    rng = np.random.default_rng(seed)
    for variable in module.trainable_variables:
        variable.assign_add(tf.constant(scale * rng.standard_normal(variable.shape), variable.dtype))
