"""Small sets in the layout of TFDS's own, with their names, features and splits; noise for pictures."""

import numpy as np

SMALL = {"train": 60, "validation": 24, "test": 24}


def _pictures(shape, count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def write_celeb_a(folder, counts=SMALL):
    """As TFDS prepares CelebA: 218 x 178, attributes beside, three splits."""
    from tensorflow_datasets import features

    described = features.FeaturesDict(
        {
            "image": features.Image(shape=(218, 178, 3), encoding_format="png"),
            "attributes": features.FeaturesDict({"Smiling": np.bool_}),
        }
    )
    _write(
        folder, "celeb_a", "2.1.0", None, described, counts, (218, 178, 3), {"attributes": {"Smiling": True}}
    )


def write_imagenet32(folder, counts=None):
    """As TFDS prepares downsampled_imagenet/32x32: no shape is told, and no test split."""
    from tensorflow_datasets import features

    counts = counts or {"train": 60, "validation": 24}
    described = features.FeaturesDict({"image": features.Image(encoding_format="png")})
    _write(folder, "downsampled_imagenet", "2.0.0", "32x32", described, counts, (32, 32, 3), {})


def write_of_many_shapes(folder):
    """downsampled_imagenet/64x64 with a picture of another shape."""
    from tensorflow_datasets import features

    described = features.FeaturesDict({"image": features.Image(encoding_format="png")})
    sets = {"train": [_pictures((side, side, 3), 1, 0)[0] for side in (32, 32, 16)]}
    _store(folder, "downsampled_imagenet", "2.0.0", "64x64", described, sets, {})


def _write(folder, name, version, config, described, counts, shape, beside):
    sets = {split: list(_pictures(shape, count, seed)) for seed, (split, count) in enumerate(counts.items())}
    _store(folder, name, version, config, described, sets, beside)


def _store(folder, name, version, config, described, sets, beside):
    import tensorflow_datasets as tfds

    place = folder / name / version if config is None else folder / name / config / version
    place.mkdir(parents=True)
    identity = tfds.core.dataset_info.DatasetIdentity(
        name=name,
        version=version,
        data_dir=str(place),
        module_name="made",
        config_name=config,
    )
    info = tfds.core.DatasetInfo(builder=identity, features=described)
    out = tfds.core.SequentialWriter(info, max_examples_per_shard=1000)
    out.initialize_splits(list(sets))
    for split, images in sets.items():
        out.add_examples({split: [{"image": image, **beside} for image in images]})
    out.close_all()
