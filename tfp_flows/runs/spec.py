"""What makes a run what it is, as `RUN/run.json` holds it."""

import dataclasses
from typing import TYPE_CHECKING, Any

from tfp_flows import data
from tfp_flows.checks import sizes
from tfp_flows.checks.errors import UserError
from tfp_flows.data import names
from tfp_flows.models import registry
from tfp_flows.runs.errors import RunError

if TYPE_CHECKING:
    from tfp_flows.models import Family


@dataclasses.dataclass(frozen=True)
class RunSpec:
    """What makes a run what it is: two runs of equal specs give equal numbers.

    Attributes:
      family: Name of the model family; `registry.NO_FAMILY` for a stranger's model.
      model: The family's config, a frozen dataclass; of a stranger's model a dict that describes it.
      training: `training.TrainingConfig` as a dict.
      dataset: Name as in `tfp_flows.data`; "" for arrays that have none.
      image_shape: (H, W, C), or what else the shape of an example is.
      division: How the splits of `dataset` are taken from its training images, as `data.load` has it; 1 for
        runs that do not say.
      trained_on: Digest of the training images, see `trained_on`; "" for runs that do not say.
      skip_unreadable: Whether pictures that cannot be taken are left out, as `data.load` has it.
      means: Those of `preparation`; () where it needs none, or for runs that do not say.
      classes: Those whose labels the model is given; None for none.
      code_size: Numbers of an encoder's code that it is given; 0 for none.
      low_resolution: Whether the model is given an image's low resolution.
      columns: Of a flow over vectors, what the columns of its table are called; () where nothing says so.
    """

    family: str
    model: Any
    training: dict[str, Any]
    dataset: str
    image_shape: tuple[int, ...]
    division: int = data.DIVISION
    trained_on: str = ""
    skip_unreadable: bool = False
    means: tuple[tuple[float, ...], ...] = ()
    classes: data.Classes | None = None
    code_size: int = 0
    low_resolution: bool = False
    columns: tuple[str, ...] = ()

    @property
    def is_of_tables(self) -> bool:
        """Whether the model is one of vectors, whose data are tables, and not of images."""
        return self.family == registry.VECTORS

    @property
    def is_density(self) -> bool:
        """Whether the model's log p is that of the image, and not of what is left when it was told some."""
        return not (self.code_size or self.low_resolution)

    @property
    def model_family(self) -> "Family":
        """The family that builds the model, with the condition that it is given.

        Raises:
          UserError: If there is none, or it is not at hand.
        """
        return registry.family(self.family, self.classes, self.code_size, self.low_resolution)

    def check_weights(self, stored_bytes: int | None, owner: str) -> None:
        """Refuses a model that is too large, before anything of it is allocated.

        Args:
          stored_bytes: Of the files that hold its weights; None for a new model.
          owner: What says how large it is: the first words of the message.

        Raises:
          RunError: If its weights fit neither into memory nor into what is stored.
        """
        if len(self.image_shape) == 3:
            sizes.check_image_size(self.image_shape, owner, RunError)
        given = (len(self.classes) if self.classes else 0) + self.code_size
        least = self.model_family.least_weights(self.model, self.image_shape, given)
        sizes.check_weights(least, stored_bytes, owner, RunError)

    @property
    def preparation(self) -> data.Preparation:
        """How pictures become what the model takes: the operations of its data set's name.

        Raises:
          RunError: If it takes no images.
        """
        if len(self.image_shape) != 3:
            raise RunError(f"`run`: its examples are no images: {list(self.image_shape)}.")
        height, width, channels = self.image_shape
        operations = names.understood(self.dataset).operations
        return data.Preparation(operations, (height, width, channels), self.means)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        means, columns = [list(of_one) for of_one in self.means], list(self.columns)
        values = {**dataclasses.asdict(self), "image_shape": list(self.image_shape), "means": means}
        return {**values, "columns": columns, "classes": self.classes and self.classes.to_json()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "RunSpec":
        """The reverse of `to_json`.

        Raises:
          UserError: If an entry is not of its kind; KeyError or TypeError, if one is missing or too many.
        """
        for key, kind in (("family", str), ("dataset", str), ("model", dict), ("training", dict)):
            if not isinstance(values[key], kind):
                raise UserError(f"{key!r} is {values[key]!r}")
        for key in ("steps", "seed", "ema_decay"):
            if key not in values["training"]:
                raise UserError(f"'training' has no {key!r}")
        division, trained_on = values.get("division", 1), values.get("trained_on", "")
        if division not in data.DIVISIONS or not isinstance(trained_on, str):
            raise UserError(f"'division' is {division!r}, 'trained_on' {trained_on!r}")
        skip_unreadable, means = values.get("skip_unreadable", False), values.get("means", [])
        if not isinstance(skip_unreadable, bool):
            raise UserError(f"'skip_unreadable' is {skip_unreadable!r}")
        classes, code_size = values.get("classes"), values.get("code_size", 0)
        if type(code_size) is not int or code_size < 0:
            raise UserError(f"'code_size' is {code_size!r}")
        low_resolution = values.get("low_resolution", False)
        if not isinstance(low_resolution, bool):
            raise UserError(f"'low_resolution' is {low_resolution!r}")
        columns = values.get("columns", [])
        if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
            raise UserError(f"'columns' is {columns!r}")
        shape = values["image_shape"]
        if not isinstance(shape, list) or not all(type(size) is int and size > 0 for size in shape):
            raise UserError(f"'image_shape' is {shape!r}")
        if columns and [len(columns)] != shape:
            raise UserError(f"'columns' are {len(columns)}, and 'image_shape' is {shape}")
        model = values["model"]
        if values["family"] != registry.NO_FAMILY:
            config_class = registry.settings(values["family"]).config_class
            model = config_class(**{**getattr(config_class, "BEFORE", {}), **model})
        return cls(
            family=values["family"],
            model=model,
            training=values["training"],
            dataset=values["dataset"],
            image_shape=tuple(shape),
            division=division,
            trained_on=trained_on,
            skip_unreadable=skip_unreadable,
            means=data.means_from_json(means),
            classes=None if classes is None else data.Classes.from_json(classes),
            code_size=code_size,
            low_resolution=low_resolution,
            columns=tuple(columns),
        )
