"""Which models a reproduction trains: flag files, what each scale changes in them, how long each takes."""

import dataclasses
import pathlib
from collections.abc import Sequence

from analysis import reproduce_sets
from analysis.errors import AnalysisError
from analysis.published_bits import IMAGENET32
from analysis.reproduce_sets import Named

FLAG_FILES = pathlib.Path(__file__).resolve().parents[1] / "flagfiles"
JUDGED, MEMBER, BACKGROUND, EXPOSED = "judged", "member", "background", "exposed"  # roles
ENSEMBLE = 3  # members


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
      name: Of the model, and of its run's folder.
      role: What it is for: `JUDGED`, `MEMBER` (of the ensemble), `BACKGROUND` or `EXPOSED`.
      family: "glow", "vae" or "pixelcnn".
      flag_file: Name of a file in flagfiles.
      changes: Arguments after those of the flag file.
      dataset: What it learns.
      others: What it is judged on besides.
      minutes: Of training on two quiet cores (smoke, cpu) or a GPU (paper); see docs/reproduce.md.
      seed: Of weights, order and noise.
      needs: Name of the recipe that it starts from, or "".
      headline: Whether `seeds` trains it several times.
    """

    name: str
    role: str
    family: str
    flag_file: str
    changes: tuple[str, ...]
    dataset: Named
    others: tuple[Named, ...]
    minutes: float
    seed: int = 0
    needs: str = ""
    headline: bool = False


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One data set of the paper, and what it is held against.

    Attributes:
      own: TFDS name of the set that most models learn.
      foreign: That of the set that fools them.
      extra: Others that only models of their own learn: (name of the recipe, data, judged on).
    """

    own: str
    foreign: str
    extra: tuple[tuple[str, str, tuple[str, ...]], ...] = ()


EXPERIMENTS = {
    "fashion_mnist": Experiment("fashion_mnist", "mnist"),
    "cifar10": Experiment(
        "cifar10",
        "svhn_cropped",
        (
            ("glow_celeb_a", "celeb_a", ("svhn_cropped",)),
            ("glow_imagenet32", IMAGENET32, ("cifar10", "cifar100", "svhn_cropped")),
        ),
    ),
}
SYNTHETIC = ("constant", "noise")

# Minutes on two quiet cores: measured where docs/results.md has them, else from steps per second.
CPU_MINUTES = {
    "fashion_mnist": dict(glow=20, cv_glow=20, vae=12, pixelcnn=20, background=6, exposed=6, small=5),
    "cifar10": dict(glow=20, cv_glow=20, vae=13, pixelcnn=16, background=8, exposed=7, small=5),
}
PAPER_MINUTES = dict(glow=70, cv_glow=70, vae=60, pixelcnn=60, background=70, exposed=10, small=70)
TINY_FLOW = ("--steps_per_level=2", "--hidden_channels=16", "--steps=60", "--validate_every=30")
SMOKE = {
    "glow": TINY_FLOW,
    "cv_glow": TINY_FLOW,
    "background": TINY_FLOW,
    "small": TINY_FLOW,
    "exposed": (*TINY_FLOW, "--steps=10", "--validate_every=10"),
    "vae": ("--architecture=small", "--latent_size=8", "--steps=40", "--validate_every=40"),
    "pixelcnn": (
        *("--num_resnet=1", "--num_filters=8", "--num_logistic_mix=2"),
        *("--steps=20", "--validate_every=20"),
    ),
}
CPU = {"fashion_mnist": {"pixelcnn": ("--steps=4000", "--validate_every=1000")}, "cifar10": {}}
# What of this is read somewhere and what is from memory, docs/reproduce.md says.
LONG = (
    "--steps=200000",
    "--batch_size=32",
    "--validate_every=10000",
    "--checkpoint_every=2000",
    "--clip_norm=0",
)
PAPER_FLOW = (
    *("--network=highway", "--scale=sigmoid", "--input_limit=0", "--checkerboard_steps=0"),
    *("--optimizer=rmsprop", "--warmup=0.02"),
    *("--weight_decay=5e-5", *LONG),
)
PAPER_SIZES = {
    "fashion_mnist": ("--steps_per_level=16", "--hidden_channels=200", "--learning_rate=5e-5"),
    "cifar10": ("--steps_per_level=8", "--hidden_channels=400", "--learning_rate=1e-5", "--flip"),
}
PAPER_VAE = ("--likelihood=categorical", "--optimizer=rmsprop", "--learning_rate=1e-4", *LONG)
PAPER_PIXELCNN = {
    "fashion_mnist": ("--num_resnet=5", "--num_filters=32"),
    "cifar10": ("--num_resnet=15", "--num_filters=128"),
}


def experiment_of(name: str) -> Experiment:
    """The experiment of this name.

    Raises:
      AnalysisError: If there is none.
    """
    if name not in EXPERIMENTS:
        raise AnalysisError(f"`experiment` must be one of {', '.join(EXPERIMENTS)}, got {name!r}.")
    return EXPERIMENTS[name]


def recipes(name: str, scale: str, seeds: int = 1, seed: int = 0) -> list[Recipe]:
    """The models of an experiment, in the order in which they are trained.

    Args:
      name: Of the experiment.
      scale: Of `reproduce_scales.SCALES`.
      seeds: How often the headline model is trained: with `seed`, `seed` + 1, ...
      seed: Of all others.

    Returns:
      List of `Recipe`.
    """
    experiment, smoke = experiment_of(name), scale == "smoke"
    own = reproduce_sets.to_train_on(experiment.own, smoke)
    judge = [reproduce_sets.to_judge_on(key, smoke) for key in (experiment.foreign, *SYNTHETIC)]

    def make(title: str, kind: str, role: str = JUDGED, number: int = 0, **more: object) -> Recipe:
        family = kind if kind in ("vae", "pixelcnn") else "glow"
        values = dict(
            name=title,
            role=role,
            family=family,
            flag_file=_flag_file(name, kind),
            changes=_changes(name, kind, scale),
            dataset=own,
            others=tuple(judge) if role == JUDGED else (),
            minutes=_minutes(name, kind, scale),
            seed=seed + number,
        )
        return Recipe(**{**values, **more})  # type: ignore[arg-type]

    found = [make("glow", "glow", headline=True)]
    found += [make(f"glow_seed_{seed + i}", "glow", number=i, headline=True) for i in range(1, seeds)]
    found += [make(kind, kind) for kind in ("cv_glow", "vae", "pixelcnn")]
    others = [
        (f"glow_{_short(experiment.foreign)}", experiment.foreign, (experiment.own,)),
        *experiment.extra,
    ]
    for title, key, judged in others:
        learned = reproduce_sets.to_train_on(key, smoke)
        sets = tuple(reproduce_sets.to_judge_on(other, smoke) for other in judged)
        changes = _changes(name, "small", scale)
        if scale == "paper" and key == "svhn_cropped":
            changes += ("--noflip",)  # they are digits
        found.append(make(title, "small", changes=changes, dataset=learned, others=sets))
    found.append(make("background", "background", BACKGROUND))
    found.append(make("outlier_exposure", "exposed", EXPOSED, needs="glow"))
    members = 2 if smoke else ENSEMBLE
    found += [make(f"member_{i}", "small", MEMBER, number=i) for i in range(members)]
    return found


def _short(key: str) -> str:
    return {"svhn_cropped": "svhn"}.get(key, key)


def _flag_file(name: str, kind: str) -> str:
    return {
        "glow": f"glow_{name}.flags",
        "cv_glow": f"cv_glow_{name}.flags",
        "vae": f"vae_{name}.flags",
        "pixelcnn": f"pixelcnn_{name}.flags",
        "background": f"glow_{name}_background.flags",
        "exposed": f"glow_{name}_outlier_exposure.flags",
        "small": f"glow_{name}_small.flags",
    }[kind]


def _changes(name: str, kind: str, scale: str) -> tuple[str, ...]:
    if scale == "smoke":
        return SMOKE[kind]
    if scale == "cpu":
        return CPU[name].get(kind, ())
    return _paper(name, kind)


def _paper(name: str, kind: str) -> tuple[str, ...]:
    if kind == "vae":
        return PAPER_VAE
    if kind == "pixelcnn":
        return (*PAPER_PIXELCNN[name], "--optimizer=adam", "--learning_rate=1e-4", *LONG, "--steps=100000")
    if kind == "exposed":  # starts from the paper's Glow: the same model, exposed as at the other scales
        return (*PAPER_FLOW, *PAPER_SIZES[name], "--steps=10000", "--validate_every=2000")
    return (*PAPER_FLOW, *PAPER_SIZES[name])


def _minutes(name: str, kind: str, scale: str) -> float:
    if scale == "smoke":
        return 0.15
    return PAPER_MINUTES[kind] if scale == "paper" else CPU_MINUTES[name][kind]


def named(chosen: Sequence[Recipe], name: str) -> Recipe:
    """The recipe of a name.

    Raises:
      AnalysisError: If there is none.
    """
    for recipe in chosen:
        if recipe.name == name:
            return recipe
    raise AnalysisError(
        f"`run_of`: no model is called {name!r}; choose from {', '.join(r.name for r in chosen)}."
    )
