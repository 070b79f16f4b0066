"""How pictures become what a model takes: the operations of its data set's name, image by image."""

import dataclasses
import math
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tfp_flows.checks import sizes
from tfp_flows.data.decoding import PLAIN, Picture, Unfit, decode, why_not_plain
from tfp_flows.data.errors import DataError
from tfp_flows.data.operations import Operation, apply_all, parse_operation

AnyPicture = Picture | np.ndarray


@dataclasses.dataclass(frozen=True)
class Preparation:
    """How pictures become what a model takes.

    The operations are applied from left to right, as `tfp_flows.data.operations` has them. An array is a
    picture as any other: what was prepared before is prepared once more.

    #### Example

    ```python
    preparation = tfp_flows.runs.Run("runs/mine").spec().preparation
    preparation.text                     # "@resize=32@rgb"
    preparation.prepared("photo.jpg")    # uint8 [32, 32, 3]
    ```

    Attributes:
      operations: From left to right.
      image_shape: (H, W, C) that they must make.
      means: For each `@contrast` among them the means of the channels over the training images, in grey
        levels; () where they are not known.
    """

    operations: tuple[Operation, ...]
    image_shape: tuple[int, int, int]
    means: tuple[tuple[float, ...], ...] = ()

    @property
    def text(self) -> str:
        """The operations as a name has them, such as "@resize=32@rgb"; "" for none."""
        return "".join(f"@{operation.text}" for operation in self.operations)

    @property
    def over(self) -> tuple[int, int, int] | None:
        """The colour that transparent pictures are laid over, or None."""
        return over(self.operations)

    def prepared(self, picture: AnyPicture) -> np.ndarray:
        """What the model takes for a picture.

        Args:
          picture: A path, a PIL image, the bytes of a file, or an array uint8 `[H, W]` or `[H, W, C]`.

        Returns:
          uint8 `[H, W, C]` of `image_shape`.

        Raises:
          DataError: If it cannot be had, or does not become of that shape.
        """
        try:
            image = decoded(picture, self.operations)
            return self.finished(image)
        except DataError as error:
            raise DataError(f"{_called(picture)}: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        means = [list(of_one) for of_one in self.means]
        return {"operations": self.text, "image_shape": list(self.image_shape), "means": means}

    @classmethod
    def from_json(cls, values: Any) -> "Preparation":
        """The reverse of `to_json`.

        Raises:
          DataError: If it is none.
        """
        try:
            text, shape, means = (values[key] for key in ("operations", "image_shape", "means"))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{str(values)[:80]!r} is no preparation") from error
        if not (isinstance(shape, list) and len(shape) == 3 and all(type(n) is int for n in shape)):
            raise DataError(f"the image_shape of a preparation must be three sizes, got {str(shape)[:80]}")
        sizes.check_image_size(shape, "a preparation", DataError)
        if not isinstance(text, str) or (text and not text.startswith("@")):
            raise DataError(f"the operations of a preparation must be like '@resize=32', got {text!r:.80}")
        operations = tuple(parse_operation(piece, text) for piece in text.split("@")[1:])
        numbers = means_from_json(means)
        contrasts = sum(operation.kind == "contrast" for operation in operations)
        if numbers and len(numbers) != contrasts:
            raise DataError(f"a preparation with {contrasts} @contrast has means of {len(numbers)}")
        height, width, channels = shape
        return cls(operations, (height, width, channels), numbers)

    def finished(self, image: np.ndarray) -> np.ndarray:
        """As `prepared`, of an image uint8 `[H, W, C]` that was decoded before.

        Raises:
          DataError: If it does not become of that shape; the message is the reason alone.
        """
        self.check_means()
        try:
            return self._checked(apply_all(self.operations, image[np.newaxis], "", self.means)[0])
        except DataError as error:
            raise DataError(str(error).removeprefix(": ")) from error

    def check_means(self) -> None:
        """Raises `DataError` where there is a `@contrast` whose means are not known."""
        if not self.means and any(operation.kind == "contrast" for operation in self.operations):
            raise DataError("the means that @contrast needs are not kept with this model: train it anew")

    def _checked(self, image: np.ndarray) -> np.ndarray:
        if image.shape != self.image_shape:
            had, wanted = ("x".join(map(str, shape)) for shape in (image.shape, self.image_shape))
            raise DataError(f"is {had}, but {wanted} is wanted")
        return image


def read_pictures(pictures: AnyPicture | Sequence[AnyPicture], preparation: Preparation) -> np.ndarray:
    """Reads pictures as a model takes them.

    Args:
      pictures: One picture or a sequence of them, each as for `Preparation.prepared`; or an array uint8
        `[N, H, W, C]`.
      preparation: The model's.

    Returns:
      uint8 `[N, H, W, C]`.

    Raises:
      DataError: If one cannot be had, or there is none.
    """
    several = _several(pictures)
    if not len(several):
        raise DataError("there is no picture")
    if isinstance(several, np.ndarray):
        return np.stack([preparation.finished(_checked_array(image)) for image in several])
    sizes.check_held(len(several) * math.prod(preparation.image_shape), "the pictures", DataError)
    return np.stack([preparation.prepared(picture) for picture in several])


def over(operations: Iterable[Operation]) -> tuple[int, int, int] | None:
    """The colour that transparent pictures are laid over, or None."""
    return next((operation.colour for operation in operations if operation.colour), None)


def takes_any_mode(operations: Iterable[Operation]) -> bool:
    """Whether pictures of any mode are wanted."""
    return any(operation.kind in ("rgb", "luminance") for operation in operations)


def decoded(picture: AnyPicture, operations: Sequence[Operation]) -> np.ndarray:
    """A picture before its operations, uint8 `[H, W, C]`.

    Raises:
      DataError: If it cannot be had, or its mode takes an operation that is not there; the message is the
        reason alone.
    """
    if isinstance(picture, np.ndarray):
        return _checked_array(picture)
    found = decode(picture, over(operations))
    if found.fact.mode not in PLAIN and not takes_any_mode(operations):
        raise Unfit(why_not_plain(found.fact.mode))
    return found.image


def _several(pictures: AnyPicture | Sequence[AnyPicture]) -> Sequence[AnyPicture] | np.ndarray:
    if isinstance(pictures, np.ndarray):
        return pictures if pictures.ndim == 4 else [pictures]
    if isinstance(pictures, Sequence) and not isinstance(pictures, str | bytes):
        return pictures
    return [pictures]


def _checked_array(picture: np.ndarray) -> np.ndarray:
    image = picture[..., np.newaxis] if picture.ndim == 2 else picture
    if image.dtype != np.uint8 or image.ndim != 3 or 0 in image.shape:
        raise DataError(f"must be uint8 [H, W] or [H, W, C], got {picture.dtype} {list(picture.shape)}")
    return image


def _called(picture: AnyPicture) -> str:
    if isinstance(picture, str | os.PathLike):
        return os.fspath(picture)
    name = getattr(picture, "filename", "")
    return str(name) if name else "a picture"


def means_from_json(means: Any) -> tuple[tuple[float, ...], ...]:
    """`Preparation.means` of JSON.

    Raises:
      DataError: If they are none.
    """
    try:
        if all(_is_mean(mean) for of_one in means for mean in of_one):
            return tuple(tuple(map(float, of_one)) for of_one in means)
    except TypeError:
        pass
    raise DataError(f"the means of a preparation must be lists of grey levels, got {str(means)[:80]}")


def _is_mean(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 255
