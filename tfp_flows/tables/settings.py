"""What training means for a table where no flag says otherwise, and which flags are for images."""

from collections.abc import Mapping

FEW = 1_000  # rows to train on, below which a smaller flow fits better: docs/vectors.md
OF_FEW: Mapping[str, object] = {"num_steps": 4, "hidden_units": 16}
DEFAULTS: Mapping[str, object] = {
    "batch_size": 128,
    "optimizer": "adam",
    "prior": "student_t",
    "ema_decay": 0.9,
    "validate_every": 25,
    "early_stopping": 6,
    "checkpoint_every": 100,
    "log_every": 25,
    "parts": 1,
}
_DATA = ("data_dir", "download", "memory_limit_mib", "cache_dir")
# Of each command, the flags that mean nothing for a table.
OF_IMAGES: Mapping[str, tuple[str, ...]] = {
    "train": (
        *_DATA,
        *("condition", "code_size", "report", "temperature", "distribute", "max_restarts", "flip"),
        *("mutation_rate", "outlier_dataset", "outlier_kinds", "outlier_margin", "outlier_weight"),
        *("mixed_precision", "inverse_penalty"),
    ),
    "evaluate": (*_DATA, "temperature"),
    "detect": (*_DATA,),
    "export": ("jit_compile", "format", "batch_sizes"),
}


def defaults(num_rows: int) -> dict[str, object]:
    """The values of flags that were not given, by how many rows there are to train on."""
    return {**DEFAULTS, **(OF_FEW if num_rows < FEW else {})}
