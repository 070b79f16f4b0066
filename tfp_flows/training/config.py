"""How a model is trained: the settings, each of which is also a flag."""

import dataclasses
import math

from tfp_flows.checks import counts
from tfp_flows.checks.errors import UserError

OPTIMIZERS = ("adam", "adamax", "rmsprop")
STRATEGIES = ("none", "mirrored", "multi_worker")  # see `training.strategies`
DECAY_FORMS = ("cosine", "linear", "sqrt")
MIXED_PRECISION = ("none", "bfloat16")
LEAST = {
    "steps": 1,
    "batch_size": 1,
    "log_every": 1,
    "checkpoint_every": 1,
    "validate_every": 0,
    "early_stopping": 0,
    "seed": 0,
}
OUTLIER_KINDS = (  # see `training.outlier_kinds`
    *("blurred", "faded", "inverted", "binarized", "outlined", "shuffled", "permuted", "turned", "enlarged"),
    *("shrunk", "blended", "mutated", "grained", "smooth", "constant", "noise"),
)


def _field(default, text, **metadata):
    return dataclasses.field(default=default, metadata={"help": text, **metadata})


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained; each field is also a flag of `tfp_flows.train`."""

    steps: int = _field(
        2000,
        "Steps of the optimizer in all. If it is not given, training stops earlier once validation no "
        "longer improves.",
    )
    batch_size: int = _field(64, "Images in a step.")
    learning_rate: float = _field(1e-3, "Learning rate at its highest.")
    optimizer: str = _field("adamax", "Optimizer.", choices=OPTIMIZERS)
    warmup: float = _field(0.02, "Fraction of --steps in which the learning rate rises from 0.")
    decay: float = _field(0.5, "Fraction of --steps, at the end, in which it falls to 0.")
    decay_form: str = _field(
        "cosine",
        "How it falls: by half a cosine, on a line, or as 1 - sqrt of the fraction that is over.",
        choices=DECAY_FORMS,
    )
    clip_norm: float = _field(0.0, "Largest global norm of the gradient; 0 for no limit.")
    weight_decay: float = _field(
        0.0,
        "Matrices and kernels of networks shrink by this times the learning rate at each step, apart from "
        "the gradient.",
    )
    inverse_penalty: float = _field(
        0.0,
        "Of a Glow: weight of a penalty on stretching on the way back from the latent, far from the data; "
        "at most so many times the gradient of the bits per dimension.",
    )
    flip: bool = _field(
        False, "Turn each training image left to right with probability 1/2, anew at every step."
    )
    ema_decay: float = _field(
        0.999, "Decay of the moving average of the weights, which is what is evaluated; 0 for none."
    )
    seed: int = _field(0, "Seed of weights, data order and noise.")
    log_every: int = _field(50, "Steps between rows of metrics.csv.")
    validate_every: int = _field(1000, "Steps between validations; 0 for none.")
    checkpoint_every: int = _field(500, "Steps between checkpoints.")
    early_stopping: int = _field(
        0, "Stop after so many validations without improvement, and keep the best; 0 for never."
    )
    init_from: str = _field("", "Folder of a run of the same model, whose weights training starts from.")
    mutation_rate: float = _field(
        0.0,
        "Probability that a value of a training image is replaced by a random grey level: a background "
        "model for likelihood ratios.",
    )
    outlier_dataset: str = _field(
        "", "Images to be made less likely than the training images (outlier exposure); several joined by +."
    )
    outlier_kinds: str = _field(
        "",
        "Outliers that are made from the training images at every step, one kind an image, several joined "
        f"by +: {', '.join(OUTLIER_KINDS)}.",
    )
    outlier_margin: float = _field(
        1.0, "How much less likely, in bits per dimension, an outlier must be before it costs nothing."
    )
    outlier_weight: float = _field(1.0, "Weight of that cost beside the bits per dimension.")
    mixed_precision: str = _field(
        "none",
        "Type of the networks' products in a training step; weights, log-determinants and losses keep "
        "--dtype, and so does every evaluation.",
        choices=MIXED_PRECISION,
    )

    def __post_init__(self):
        """Raises `UserError`, naming the argument, where a value makes no sense."""
        counts.keep_whole(self, LEAST)
        if not 0 < self.learning_rate < math.inf:
            raise UserError(f"`learning_rate` must be positive and finite, got {self.learning_rate}.")
        for field in ("clip_norm", "weight_decay", "inverse_penalty", "outlier_margin", "outlier_weight"):
            if not 0 <= getattr(self, field) < math.inf:
                raise UserError(f"`{field}` must be finite and not negative, got {getattr(self, field)}.")
        if self.seed >= 2**63:
            raise UserError(f"`seed` must be below 2**63, got {self.seed}.")
        for field in ("warmup", "decay", "mutation_rate"):
            if not 0 <= getattr(self, field) <= 1:
                raise UserError(f"`{field}` is a fraction 0..1, got {getattr(self, field)}.")
        if not 0 <= self.ema_decay < 1:
            raise UserError(f"`ema_decay` must be in [0, 1), got {self.ema_decay}.")
        if self.warmup + self.decay > 1:
            raise UserError(
                f"`warmup={self.warmup}` and `decay={self.decay}` take more than the whole training."
            )
        if self.optimizer not in OPTIMIZERS:
            raise UserError(f"`optimizer` must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}.")
        if self.decay_form not in DECAY_FORMS:
            raise UserError(
                f"`decay_form` must be one of {', '.join(DECAY_FORMS)}, got {self.decay_form!r}."
            )
        for kind in filter(None, self.outlier_kinds.split("+")):
            if kind not in OUTLIER_KINDS:
                raise UserError(f"`outlier_kinds` are {', '.join(OUTLIER_KINDS)}, got {kind!r}.")
        if self.mixed_precision not in MIXED_PRECISION:
            raise UserError(
                f"`mixed_precision` must be one of {', '.join(MIXED_PRECISION)}, "
                f"got {self.mixed_precision!r}."
            )
        if self.early_stopping and not self.validate_every:
            raise UserError("`early_stopping` needs `validate_every`.")


def check_parts(batch_size: int, num_replicas: int, parts_per_replica: int) -> None:
    """Raises `UserError` where a batch cannot be cut into equal parts, so many for each replica."""
    if parts_per_replica > 1 and batch_size % (num_replicas * parts_per_replica):
        shared = f" of {num_replicas} devices" if num_replicas > 1 else ""
        raise UserError(
            f"`batch_size={batch_size}` cannot be cut into `parts={parts_per_replica}` equal parts{shared}."
        )
