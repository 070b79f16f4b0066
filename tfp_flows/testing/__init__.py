"""The contract that every bijector, density model and detector keeps, ours or a stranger's.

    from tfp_flows import testing

    def test_my_bijector():
        testing.check_bijector(lambda dtype: MyBijector(dtype=dtype), event_shape=(4, 4, 2))

Each check raises `AssertionError` with the numbers that disagree.
"""

from tfp_flows.testing.bijector import (
    check_batch_ranks,
    check_bijector,
    check_checkpoint,
    check_constant_jacobian,
    check_copy,
    check_gradients,
    check_graph_modes,
    check_independence,
    check_log_det,
    check_not_identity,
    check_round_trip,
    check_shapes,
    check_single_precision,
    check_transformed_distribution,
)
from tfp_flows.testing.density_model import check_density_model
from tfp_flows.testing.detector import check_detector
from tfp_flows.testing.perturbation import perturb

__all__ = [
    "check_batch_ranks",
    "check_bijector",
    "check_checkpoint",
    "check_constant_jacobian",
    "check_copy",
    "check_density_model",
    "check_detector",
    "check_gradients",
    "check_graph_modes",
    "check_independence",
    "check_log_det",
    "check_not_identity",
    "check_round_trip",
    "check_shapes",
    "check_single_precision",
    "check_transformed_distribution",
    "perturb",
]
