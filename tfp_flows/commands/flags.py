"""Flags that several commands share, and flags made from the fields of a config dataclass."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from absl import flags

from tfp_flows.checks.errors import UserError
from tfp_flows.commands import flag_files

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")
FLAGS = flags.FLAGS
MEMORY = ("memory_limit_mib", "cache_dir")
DATASET_HELP = (
    "a TFDS name (mnist, cifar10, ...), folder:PATH, npz:PATH, tfrecord:GLOB, fashion_mnist_small, "
    "mnist_small, photos, digits, constant or noise. Operations on any of them, left to right: "
    "@resize=32 @pad=32 @crop=28 @rgb @luminance @over=white @contrast=0.5 @binarize. "
    "ALIAS=NAME: what tables and pictures call the set."
)


def define_common_flags() -> list[str]:
    """Defines `--run`, `--data_dir`, `--download` and `--progress`; returns their names."""
    flags.DEFINE_string("run", None, "Folder of the run.")
    flags.DEFINE_string("data_dir", None, "Folder of data sets in TFDS layout.")
    flags.DEFINE_bool("download", False, "Let TFDS download a data set that is not in --data_dir.")
    flags.DEFINE_bool("progress", True, "Show progress bars.")
    flags.register_validator("run", lambda value: value != "", "name a folder.")
    flags.mark_flag_as_required("run")
    return ["run", "data_dir", "download", "progress"]


def define_moved_data_flag() -> None:
    """Defines `--dataset`, for commands that read a run's own data."""
    flags.DEFINE_string(
        "dataset",
        None,
        "The run's own data, if they lie elsewhere now than when it was trained: folder:NEW/PLACE.",
    )


def define_memory_flags() -> None:
    """Defines `--memory_limit_mib` and `--cache_dir`; see `tfp_flows.data.storage`."""
    flags.DEFINE_float(
        "memory_limit_mib",
        None,
        "MiB that the decoded images of a set may take in memory; a larger one is decoded once to "
        "--cache_dir and read from there, with the same results. Default: a quarter of the memory.",
    )
    flags.DEFINE_string(
        "cache_dir",
        None,
        "Folder for decoded copies of sets that are larger than --memory_limit_mib; default: "
        "$XDG_CACHE_HOME/tfp_flows, or ~/.cache/tfp_flows.",
    )


def define_skip_unreadable_flag() -> str:
    """Defines `--skip_unreadable`, as `data.load` has it; returns its name."""
    flags.DEFINE_bool(
        "skip_unreadable",
        False,
        "Leave out, and list, pictures that cannot be read or taken as they are.",
    )
    return "skip_unreadable"


def define_temperature_flag() -> str:
    """Defines `--temperature`, as a model's `sample` has it; returns its name."""
    flags.DEFINE_float(
        "temperature",
        1.0,
        "Of the images drawn for samples.png: below 1 nearer to the most usual, of less variety.",
        lower_bound=0.0,
    )
    return "temperature"


def define_parts_flag() -> None:
    """Defines `--parts`; see `tfp_flows.numerics.parts`."""
    flags.DEFINE_integer(
        "parts",
        0,
        "Parts of a batch that are computed side by side, each in one thread; 0: one for each core, or 1 "
        "where there is a GPU or a training batch cannot be cut so; 1: TensorFlow's own threads.",
        lower_bound=0,
    )


def define_unattainable_flag() -> None:
    """Defines `--allow_unattainable`; see `tfp_flows.detectors.calibration.need_level`."""
    flags.DEFINE_bool(
        "allow_unattainable",
        False,
        "Go on where calibration images are too few for any alarm at the level.",
    )


def define_config_flags(*config_classes: "type[DataclassInstance]") -> list[str]:
    """Defines a flag for each field of the dataclasses; returns their names.

    A field's metadata hold its `help` and, where there are only some, its `choices`; one without help is no
    flag. A field that several of them share is one flag, whose choices are those of all.
    """
    shared: dict[str, list[dataclasses.Field[Any]]] = {}
    for config_class in config_classes:
        for field in flag_fields(config_class):
            shared.setdefault(field.name, []).append(field)
    for fields in shared.values():
        choices = [choice for field in fields for choice in field.metadata.get("choices", ())]
        _define_field(fields[0], list(dict.fromkeys(choices)))
    return list(shared)


def flag_fields(config_class: "type[DataclassInstance]") -> "list[dataclasses.Field[Any]]":
    """The fields of a dataclass that are flags."""
    return [field for field in dataclasses.fields(config_class) if "help" in field.metadata]


def config_from_flags(config_class: type[Config]) -> Config:
    """An instance of the dataclass with the flags' values.

    Raises:
      ValueError: From the dataclass itself, where a value makes no sense.
    """
    return config_class(**{f.name: FLAGS[f.name].value for f in flag_fields(config_class)})


def refuse_flags_of_others(chosen: str, classes: "dict[str, type[DataclassInstance]]") -> None:
    """Refuses flags that were given but belong to the dataclasses of other families alone.

    Args:
      chosen: Name of the family.
      classes: Dict from every family's name to its dataclass.

    Raises:
      ValueError: Naming the flag and whose it is.
    """
    names = {key: {field.name for field in flag_fields(c)} for key, c in classes.items()}
    for name in sorted(set().union(*names.values()) - names[chosen]):
        if FLAGS[name].present:
            owners = [key for key, own in names.items() if name in own]
            raise UserError(f"--{name} is a flag of {', '.join(owners)}; the family here is {chosen}.")


def refuse_flags(names: Iterable[str], why: str) -> None:
    """Refuses flags that have another value than their default.

    Args:
      names: Of the flags.
      why: What follows the flag in the message.

    Raises:
      UserError: Naming the first of them.
    """
    for name in names:
        if FLAGS[name].present and FLAGS[name].value != FLAGS[name].default:
            raise UserError(f"--{name} {why}.")


def default_flags(values: Mapping[str, object]) -> None:
    """Gives flags that were not given other defaults than their own."""
    for name, value in values.items():
        if not FLAGS[name].present:
            FLAGS[name].value = value


def flags_text(names: Iterable[str]) -> str:
    """The flags of these names as the lines of a flag file; flags that are None are left out."""
    given = [FLAGS[name].serialize() for name in names if FLAGS[name].value is not None]
    return flag_files.text_of(argument for argument in given if argument)


def in_flags(message: str) -> str:
    """A library's message with the arguments that are flags here as flags: `steps=3` as --steps=3."""

    def flag(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        return f"--{name}{value or ''}" if name in FLAGS or name == "flagfile" else match[0]

    return re.sub(r"`(\w+)(=[^`]*)?`", flag, message)


def _define_field(field: dataclasses.Field[Any], choices: list[str]) -> None:
    text = field.metadata["help"]
    required = field.default is dataclasses.MISSING
    default: Any = None if required else field.default
    if choices:
        flags.DEFINE_enum(field.name, default, choices, text)
    elif field.type is str:
        flags.DEFINE_string(field.name, default, text)
    elif field.type is bool:
        flags.DEFINE_bool(field.name, default, text)
    elif field.type is int:
        flags.DEFINE_integer(field.name, default, text)
    else:
        flags.DEFINE_float(field.name, default, text)
    if required:
        flags.mark_flag_as_required(field.name)
