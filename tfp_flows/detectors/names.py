"""The names of the detectors, which commands know before TensorFlow is imported; see `registry`."""

NAMES = (
    "default",
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
    "sitn",
    "likelihood_path",
    "foreign_patches",
)

OF_SEVERAL_MODELS = ("likelihood_ratio", "waic")  # which one run alone cannot give

DEFAULT = "default"  # of detect, and of a run's report
