"""The paper's analyses: why a likelihood is fooled. Run from a checkout; see `analysis.report`."""

import tfp_flows  # noqa: F401  (first: a command starts TensorFlow quietly)
