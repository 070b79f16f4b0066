"""What `python -m benchmarks.fit` compares: variants, each a text of training's flags.

A variant's flags come after those of the data set, and the last of a flag counts. All but the first are
told apart from `tanh` by what they say.
"""

import dataclasses

REFERENCE = "tanh"
BOUNDED = "--scale=tanh"
TOGETHER = f"{BOUNDED} --checkerboard_steps=2 --warmup=0.1 --batch_size=16"


@dataclasses.dataclass(frozen=True)
class Base:
    """A data set, its flags, and the foreign set whose AUROC stands beside the fit."""

    foreign: str
    flags: str


_OF_ALL = "--steps_per_level=8 --hidden_channels=64 --batch_size=32 --learning_rate=0.01 --clip_norm=20"
BASES = {
    "fashion_mnist": Base("mnist", f"--levels=2 {_OF_ALL}"),
    "cifar10": Base("svhn_cropped", f"--levels=3 {_OF_ALL}"),
    "photos": Base(
        "digits@resize=32@rgb",
        "--levels=3 --steps_per_level=4 --hidden_channels=64 --batch_size=32 --learning_rate=0.002",
    ),
}

VARIANTS = {
    "sigmoid": "--scale=sigmoid",
    "tanh": BOUNDED,
    # The flow.
    "checkerboard": f"{BOUNDED} --checkerboard_steps=2",
    "spline": f"{BOUNDED} --coupling=spline",
    "mixture": f"{BOUNDED} --coupling=mixture",
    "variational": f"{BOUNDED} --dequantization=variational",
    "variational_small": f"{BOUNDED} --dequantization=variational --dequantization_steps=2 "
    "--dequantization_channels=16",
    "attention": f"{BOUNDED} --network=attention --hidden_channels=32 --steps_per_level=4",
    "transformer": f"{BOUNDED} --network=transformer --hidden_channels=32 --steps_per_level=4",
    "highway": f"{BOUNDED} --network=highway --hidden_channels=32",
    "learned_prior": f"{BOUNDED} --learned_prior",
    "transformed_leaves": f"{BOUNDED} --leaves=transformed",
    # Its size.
    "wide": f"{BOUNDED} --hidden_channels=128 --steps_per_level=6",
    "deep": f"{BOUNDED} --hidden_channels=32 --steps_per_level=16",
    "narrow": f"{BOUNDED} --hidden_channels=32",
    # The training.
    "flip": f"{BOUNDED} --flip",
    "small_batch": f"{BOUNDED} --batch_size=16",
    "large_batch": f"{BOUNDED} --batch_size=64",
    "slower": f"{BOUNDED} --learning_rate=0.005",
    "faster": f"{BOUNDED} --learning_rate=0.02",
    "long_decay": f"{BOUNDED} --decay=0.9",
    "linear_decay": f"{BOUNDED} --decay=0.9 --decay_form=linear",
    "sqrt_decay": f"{BOUNDED} --decay=0.5 --decay_form=sqrt",
    "adam": f"{BOUNDED} --optimizer=adam --learning_rate=0.002",
    "weight_decay": f"{BOUNDED} --weight_decay=0.01",
    "no_average": f"{BOUNDED} --ema_decay=0",
    # What the flag files have, and that with one thing changed.
    "together": TOGETHER,
    "together_4": f"{TOGETHER} --checkerboard_steps=4",
    "together_narrow": f"{TOGETHER} --hidden_channels=32",
    "together_shallow": f"{TOGETHER} --steps_per_level=6",
    "together_prior": f"{TOGETHER} --learned_prior",
}
