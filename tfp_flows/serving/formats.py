"""The formats of an export; nothing here needs TensorFlow."""

SAVED_MODEL, STABLEHLO = FORMATS = ("savedmodel", "stablehlo")
BATCH_SIZES = (1, 64)  # of StableHLO programs, unless told otherwise
