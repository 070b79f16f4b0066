"""Images by name: TFDS sets, folders, NumPy archives, embedded sets, and sets derived from them.

    train = load("fashion_mnist", "train", data_dir="datasets")
    for batch in training_batches(train, batch_size=64, seed=0):  # uint8 [64, 28, 28, 1]
        ...

An image is `uint8 [H, W, C]`, grey levels 0..255. Whatever a user can get wrong raises `DataError`
with a message of one line.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
