"""The flags of `tfp_flows.train`: which there are, which are a family's, how `--help` groups them."""

from absl import flags

from tfp_flows import commands
from tfp_flows.detectors.names import DEFAULT, NAMES, OF_SEVERAL_MODELS
from tfp_flows.models import registry, settings
from tfp_flows.training.config import STRATEGIES, TrainingConfig

FIRST = (
    "run",
    "dataset",
    "steps",
    "family",
    "condition",
    "evaluate_on",
    "batch_size",
    "learning_rate",
    "seed",
)
WHERE = ("distribute", "parts", "max_restarts")  # a run is trained; no part of it, and may change
CODE_SIZE = 16  # where no flag says
OF_TABLES = ("columns", "ignore")
NO_DETECTOR = "none"


def define_flags(family: str = "glow") -> list[str]:
    """Defines the flags of training and of every family, `family` being the default; returns their names."""
    names = commands.define_common_flags()
    _define_data(family)
    _define_end()
    names += ["family", "dataset", "evaluate_on", "report", "detector", "pictures", *OF_TABLES]
    names.append(commands.define_skip_unreadable_flag())
    names.append(commands.define_temperature_flag())
    names += _define_condition()
    _define_devices()
    commands.define_memory_flags()
    names += commands.define_config_flags(TrainingConfig, *config_classes().values())
    return names


def _define_data(family: str) -> None:
    """What is trained, and on what."""
    flags.DEFINE_enum(
        "family", family, registry.every_name(), "Family of the model; of a table it is vector_flow."
    )
    flags.DEFINE_string(
        "dataset",
        None,
        f"A table, PATH.csv, .npy or .npz; or images to train on (not constant or noise): "
        f"{commands.DATASET_HELP}",
    )
    flags.mark_flag_as_required("dataset")
    flags.DEFINE_list(
        "columns", [], "Of a table: columns to take, by name; by number where it has no header."
    )
    flags.DEFINE_list("ignore", [], "Of a table: columns to leave out, such as labels.")
    flags.DEFINE_bool(
        "allow_changed_images",
        False,
        "Go on with a run whose training images are not those that it was trained on so far.",
    )


def _define_end() -> None:
    """What a training ends with, and what it shows meanwhile."""
    flags.DEFINE_list("evaluate_on", [], "Data sets to compare with the test images at the end.")
    flags.DEFINE_bool(
        "report",
        False,
        "At the end, calibrate a detector, in RUN/detector, and write RUN/report/index.html for people.",
    )
    flags.DEFINE_enum(
        "detector",
        DEFAULT,
        (NO_DETECTOR, *(name for name in NAMES if name not in OF_SEVERAL_MODELS)),
        "At the end, with --evaluate_on, what is calibrated to stand beside -log p, in RUN/detector.",
    )
    flags.DEFINE_bool(
        "pictures",
        True,
        "At each validation, samples, reconstructions and histograms for TensorBoard, also of the first of "
        "--evaluate_on.",
    )


def _define_condition() -> list[str]:
    """What a model is given of an image; returns their names."""
    flags.DEFINE_enum(
        "condition",
        settings.CONDITIONS[0],
        settings.CONDITIONS,
        "What the model is given of an image: its label, an encoder's code, or the image at half its "
        "resolution (lowres). Labels are those of --dataset; the encoder is trained with the model.",
    )
    flags.DEFINE_integer(
        "code_size",
        None,
        f"With --condition=autoencoder: numbers of a code; by default {CODE_SIZE}.",
        lower_bound=1,
    )
    return ["condition", "code_size"]


def _define_devices() -> None:
    """Where a run is trained."""
    flags.DEFINE_enum(
        "distribute",
        "none",
        STRATEGIES,
        "One device; all GPUs of this host (mirrored); or the hosts of TF_CONFIG (multi_worker).",
    )
    commands.define_parts_flag()
    flags.DEFINE_integer(
        "max_restarts", 10, "How often to start again where another host is lost.", lower_bound=0
    )


def groups(names: list[str]) -> dict[str, list[str]]:
    """The flags as `--help` groups them: a flag that several families share stands once."""
    groups = {commands.FIRST: list(FIRST)}
    fields = {
        name: [field.name for field in commands.flag_fields(config_class)]
        for name, config_class in {"training": TrainingConfig, **config_classes()}.items()
    }
    fields[registry.VECTORS] = [*OF_TABLES, *fields[registry.VECTORS]]
    told = {*FIRST, *(name for group in fields.values() for name in group)}
    groups["data"] = [name for name in names if name not in told]
    groups["data"] += [*commands.MEMORY, "allow_changed_images"]
    for title, group in fields.items():
        shown = {name for names in groups.values() for name in names}
        groups[title] = [name for name in group if name not in shown]
    return {**groups, "devices": list(WHERE)}


def of_family(family: str, names: list[str]) -> list[str]:
    """The names without those of other families."""
    of_all = {f.name for c in config_classes().values() for f in commands.flag_fields(c)}
    classes: tuple[type, ...] = (TrainingConfig, config_classes()[family])
    own = {f.name for c in classes for f in commands.flag_fields(c)}
    return [name for name in names if name in own or name not in of_all]


def config_classes() -> dict[str, type]:
    """{name of a family: class of its settings}."""
    return {name: registry.settings(name).config_class for name in registry.every_name()}
