"""The formats of an export; nothing here needs TensorFlow."""

SAVED_MODEL, STABLEHLO, ONNX, TFLITE = FORMATS = ("savedmodel", "stablehlo", "onnx", "tflite")
BATCH_SIZES = (1, 64)  # of StableHLO programs, unless told otherwise
SPOKEN = {SAVED_MODEL: "a SavedModel", STABLEHLO: "StableHLO", ONNX: "ONNX", TFLITE: "TensorFlow Lite"}
FILES = {ONNX: "model.onnx", TFLITE: "model.tflite"}  # the one file of a format that has one
