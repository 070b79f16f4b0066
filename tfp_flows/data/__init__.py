"""Images by name: TFDS sets, folders, NumPy archives, embedded sets, and sets derived from them.

    train = load("fashion_mnist", "train", data_dir="datasets")
    for batch in training_batches(train, batch_size=64, seed=0):  # uint8 [64, 28, 28, 1]
        ...

An image is `uint8 [H, W, C]`, grey levels 0..255. Whatever a user can get wrong raises `DataError`
with a message of one line.
"""

from tfp_flows.data.batches import evaluation_batches, training_batches
from tfp_flows.data.errors import DataError
from tfp_flows.data.image_set import SPLITS, ImageSet
from tfp_flows.data.loading import fingerprint, load
from tfp_flows.data.sources import clear_cache

__all__ = [
    "SPLITS",
    "DataError",
    "ImageSet",
    "clear_cache",
    "evaluation_batches",
    "fingerprint",
    "load",
    "training_batches",
]
