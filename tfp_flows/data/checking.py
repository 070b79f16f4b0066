"""Whether what a name stands for is there: looked at before anything that takes long is begun."""

import os
from collections.abc import Iterable

from tfp_flows.data import folder, npz, records, streams, tfds
from tfp_flows.data.archive_rows import open_rows
from tfp_flows.data.embedded import OWN_SPLITS
from tfp_flows.data.errors import DataError
from tfp_flows.data.image_set import ALL, SPLITS
from tfp_flows.data.meant import meant
from tfp_flows.data.names import SYNTHETIC_KINDS, Source, take_apart


def check_there(
    names: Iterable[str],
    *,
    data_dir: str | os.PathLike | None = None,
    download: bool = False,
    split: str = "test",
) -> None:
    """Refuses names that mean nothing, or whose files are not there; no image is read, nor TensorFlow used.

    What is there may still be unfit: `load` says so.

    Args:
      names: Each as for `load`.
      data_dir: Likewise.
      download: Likewise.
      split: That is wanted; not every set that needs no files has each.

    Raises:
      DataError: As `load`.
    """
    options = tfds.TfdsOptions("" if data_dir is None else os.fspath(data_dir), download)
    for name in names:
        source = take_apart(name).source
        with meant(source, name):
            if source.kind == "folder":
                folder.list_images(source.argument)
            elif source.kind == "npz":
                npz.npz_splits(source.argument)
            elif source.kind == "tfrecord":
                records.files_of(source.argument)
            elif source.kind == "tfds":
                tfds.check_there(source.argument, options)
            elif split not in _splits(source):
                raise DataError(f"{source.text}: has only a test split, no {split} split")


def check_stream(name: str, data_dir: str | os.PathLike | None = None, split: str = "test") -> None:
    """Refuses a name whose files are not there; what of them cannot be read is the stream's to say.

    Args:
      name: As for `streams.stream`.
      data_dir: Likewise.
      split: Likewise; those of a set in TFDS layout are not looked at.

    Raises:
      DataError: As `streams.stream`; no image is read, nor TensorFlow used.
    """
    source = take_apart(name).source
    with meant(source, name):
        if source.kind == "folder":
            streams.pictures_of(source.argument)
        elif source.kind == "npz":
            with open_rows(source.argument):
                pass
        elif source.kind in ("tfrecord", "tfds"):
            check_there([name], data_dir=data_dir)
        else:
            streams.check_split(source, split)


def _splits(source: Source) -> tuple[str, ...]:
    """Those of a set that needs no files."""
    return ("test", ALL) if source.kind in SYNTHETIC_KINDS else OWN_SPLITS.get(source.kind, SPLITS)
