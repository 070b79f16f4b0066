"""What a run was trained on: a hash of each image, by which a later command sees what has changed since.

    hash of an image    the first 64 bits of SHA-256 of its pixels, as they were trained on
    digest of a run     SHA-256 of all of them in their order; likewise of the conditions, if there are any

So a file that was renamed, or copied to another folder, is still known to have been trained on; and a set
without files, such as an array, is known as well as a folder. `RUN/run.json` holds the digest, the hashes
are in `RUN/trained_on.npz`, 8 bytes an image. An image is not told apart from its exact duplicates.
"""

import dataclasses
import hashlib
import io
import pathlib
import zipfile
import zlib

import numpy as np

from tfp_flows import data
from tfp_flows.runs.atomic import write_atomically
from tfp_flows.runs.errors import RunError


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedOn:
    """What a run was trained on.

    Attributes:
      digest: Of all of it, in its order; that of the conditions, if there are any, behind a "+".
      images: uint64 `[N]`, the hash of each image, ascending; None where the run's file of them is gone.
      earlier: uint64 `[M]`, likewise of further images that it was trained on before it went on with others.
    """

    digest: str
    images: np.ndarray | None
    earlier: np.ndarray

    @classmethod
    def of(cls, values: data.Array, condition: data.Array | None = None) -> "TrainedOn":
        """What `values` `[N, ...]` and `condition` `[N, ...]` are."""
        hashes = hashes_of(values)
        digest = _digest(values, hashes)
        if condition is not None:
            digest += f"+{_digest(condition, hashes_of(condition))}"
        return cls(digest, np.sort(hashes), np.zeros([0], np.uint64))

    @classmethod
    def read(cls, file: pathlib.Path, digest: str) -> "TrainedOn | None":
        """That of a run whose digest is known; None for "", that of a run which does not say.

        Raises:
          RunError: If the file is damaged.
        """
        if not digest:
            return None
        if not file.is_file():
            return cls(digest, None, np.zeros([0], np.uint64))
        try:
            with np.load(file, allow_pickle=False) as arrays:
                images, earlier = arrays["images"], arrays["earlier"]
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise RunError(f"`run`: {file} is damaged: {error}.") from error
        if any(array.dtype != np.uint64 or array.ndim != 1 for array in (images, earlier)):
            raise RunError(f"`run`: {file} is damaged: it holds no hashes.")
        return cls(digest, images, earlier)

    def write(self, file: pathlib.Path) -> None:
        """Writes the hashes, at once or not at all."""
        content = io.BytesIO()
        images = np.zeros([0], np.uint64) if self.images is None else self.images
        np.savez(content, images=images, earlier=self.earlier)
        write_atomically(file, content.getvalue())

    def holds(self, images: data.Array) -> np.ndarray:
        """Which of `images` `[N, ...]` were trained on, bool `[N]`."""
        hashes = hashes_of(images)
        known = np.zeros([0], np.uint64) if self.images is None else self.images
        return np.isin(hashes, known) | np.isin(hashes, self.earlier)

    def difference(self, now: "TrainedOn", in_order: bool = True) -> str:
        """What has changed since, in words without a full stop; "" for nothing.

        Args:
          now: What is there.
          in_order: Whether their order, and their conditions, matter.
        """
        if self.digest == now.digest or (not in_order and self._images_digest == now._images_digest):
            return ""
        if self.images is None or now.images is None:
            return "they are not what they were"
        new = int(np.count_nonzero(~np.isin(now.images, self.images)))
        gone = int(np.count_nonzero(~np.isin(self.images, now.images)))
        if not (new or gone or in_order):
            return ""
        if not (new or gone) and self._images_digest == now._images_digest:
            return "their conditions are not what they were"
        if not (new or gone):
            return (
                f"{len(self.images):,} were trained on and {len(now.images):,} are there, in another order"
            )
        return (
            f"{new:,} of {len(now.images):,} are new, and {gone:,} of the {len(self.images):,} that were "
            f"trained on are gone"
        )

    @property
    def _images_digest(self) -> str:
        return self.digest.partition("+")[0]

    def then(self, now: "TrainedOn") -> "TrainedOn":
        """That of a run which goes on with other images."""
        known = [array for array in (self.images, self.earlier, now.earlier) if array is not None]
        earlier = np.setdiff1d(np.concatenate(known), [] if now.images is None else now.images)
        return TrainedOn(now.digest, now.images, earlier.astype(np.uint64))


def hashes_of(values: data.Array) -> np.ndarray:
    """The hash of each of `[N, ...]`, uint64 `[N]`: 3 microseconds an image of 32x32x3."""
    digests = b"".join([_digests(chunk) for chunk in data.chunks(values)])
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def _digests(values: np.ndarray) -> bytes:
    """The first 8 bytes of SHA-256 of each of `[N, ...]`."""
    rows = np.ascontiguousarray(values).reshape(len(values), -1)
    return b"".join([hashlib.sha256(row.data).digest()[:8] for row in rows])


def _digest(values: data.Array, hashes: np.ndarray) -> str:
    digest = hashlib.sha256(f"{values.dtype.str} {list(values.shape)}\0".encode())
    digest.update(hashes.astype("<u8").tobytes())
    return digest.hexdigest()
