"""Variants of `benchmarks.fit`: texts of training's flags, and the settings that they mean."""

import dataclasses
import re
import shlex

from benchmarks import fit_variants
from tfp_flows.checks.errors import UserError
from tfp_flows.models.glow.config import GlowConfig
from tfp_flows.training.config import TrainingConfig

NUMBERS = {"int": int, "float": float}


@dataclasses.dataclass(frozen=True)
class Variant:
    """A way to train.

    Attributes:
      flags: What tells it apart.
      flag_file: All its flags, as the lines of a flag file.
      model: `GlowConfig`.
      training: `TrainingConfig`, with a number of steps that means nothing yet.
    """

    flags: str
    flag_file: str
    model: GlowConfig
    training: TrainingConfig

    def of(self, steps, seed):
        """The variant with so many steps and this seed, and no validations."""
        fixed = {"validate_every": 0, "checkpoint_every": max(500, steps // 10), "log_every": 100}
        lines = "".join(
            f"--{name}={value}\n" for name, value in {"steps": steps, "seed": seed, **fixed}.items()
        )
        return dataclasses.replace(
            self,
            flag_file=self.flag_file + lines,
            model=dataclasses.replace(self.model, seed=seed),
            training=dataclasses.replace(self.training, steps=steps, seed=seed, **fixed),
        )


def chosen(names, base, more=""):
    """{name: `Variant`} of names by commas, or NAME=FLAGS; of all variants without any.

    Of all variants those whose flags this version does not know are left out, and named.

    Raises:
      UserError: If there is no such variant, or one that was named has a flag that there is not.
    """
    # A comma that begins a name: flags may hold commas too.
    named = [text for text in re.split(r",(?=\w+(?:=--|,|$))", names) if text]
    found = {}
    for text in named or fit_variants.VARIANTS:
        name, own, flags = text.partition("=")
        if not own and name not in fit_variants.VARIANTS:
            raise UserError(f"`variants`: no {name!r}; there are {', '.join(fit_variants.VARIANTS)}.")
        flags = flags.strip("\"'") if own else fit_variants.VARIANTS[name]
        try:
            found[name] = variant(flags, base, more)
        except UserError as error:
            if named:
                raise UserError(f"`variants`: {name}: {error}") from error
            print(f"{name} is left out: {error}")
    return found


def variant(flags, base, more=""):
    """The `Variant` of flags that come after those of the base."""
    given = [_pair(text) for part in (base, flags, more) for text in shlex.split(part)]
    classes = (GlowConfig, TrainingConfig)
    known = {field.name: field for config_class in classes for field in dataclasses.fields(config_class)}
    values = {}
    for name, text in given:
        negated = name.startswith("no") and name not in known and name[2:] in known
        name, text = (name[2:], "false") if negated else (name, text)
        if name not in known:
            raise UserError(f"there is no flag --{name}")
        values[name] = _value(known[name], text)
    model, training = (
        config_class(
            **{f.name: values[f.name] for f in dataclasses.fields(config_class) if f.name in values}
        )
        for config_class in classes
    )
    lines = "".join(f"--{name}={value}\n" for name, value in values.items())
    return Variant(flags, lines, model, training)


def _pair(text):
    """("levels", "2") of "--levels=2"; ("flip", "true") of "--flip"."""
    name, _, value = text.removeprefix("--").partition("=")
    if not text.startswith("--"):
        raise UserError(f"flags are --name=value, got {text!r}")
    return name, value or "true"


def _value(field, text):
    if isinstance(field.default, bool):
        if text.lower() not in ("true", "false"):
            raise UserError(f"--{field.name} is true or false, got {text!r}")
        return text.lower() == "true"
    kind = NUMBERS.get(getattr(field.type, "__name__", ""), str)
    try:
        return kind(text)
    except ValueError as error:
        raise UserError(f"--{field.name} is a number, got {text!r}") from error
