"""How several draws of dequantisation noise become one log-probability; nothing here needs TensorFlow."""

BOUNDS = ("mean", "importance")  # see `Dequantized`
