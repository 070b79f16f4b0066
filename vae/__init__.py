"""A variational auto-encoder as a density model over images, with the importance-weighted bound."""

import tfp_flows  # noqa: F401  (first: a command starts TensorFlow quietly)
from vae.importance import importance_weighted_log_prob
from vae.model import VAE

__all__ = ["VAE", "importance_weighted_log_prob"]
