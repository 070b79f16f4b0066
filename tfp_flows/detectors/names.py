"""The names of the detectors, which commands know before TensorFlow is imported; see `registry`."""

NAMES = (
    "likelihood",
    "typicality",
    "density_of_states",
    "input_complexity",
    "likelihood_ratio",
    "waic",
    "critics",
    "outlier_exposure",
    "likelihood_regret",
    "gradient_norms",
    "score_test",
    "local_intrinsic_dimension",
    "second_order",
    "foreign_patches",
)

DEFAULT = "typicality"  # of detect, and of a run's report
