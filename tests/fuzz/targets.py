"""What is tried: names, pictures, archives, records, runs, detectors, exports, settings."""

import contextlib
import dataclasses
import io
import itertools
import json
import pathlib

import numpy as np
import safetensors.numpy
import tensorflow as tf
from hypothesis import strategies as st
from PIL import Image

from tests.detectors.models import gaussian, random_images
from tests.fuzz import archives, damage, graph_edits
from tests.fuzz.running import Target
from tests.serving import hostile
from tfp_flows import data, detectors, serving, training
from tfp_flows.data import decoding, streams
from tfp_flows.models import registry
from tfp_flows.runs import Run, weights_file
from tfp_flows.serving import signature_file

SHAPE = (8, 8, 1)
GREY = random_images(3, (6, 5, 1))
COLOUR = random_images(3, (6, 5, 3))
MOST_ROWS = 10_000  # of a stream, in one case


def targets(work):
    """Every `Target`; `work` is a folder for their files."""
    work = pathlib.Path(work)
    return [
        names(),
        names_of_streams(work),
        pictures(),
        archive(work),
        archive_stream(work),
        records(work),
        run_file(work),
        detector_description(work),
        detector_arrays(work),
        signature(work),
        graph(work),
        variables(work),
        statistics(work),
        *stablehlo(work),
        weights_alone(work),
        *settings(),
    ]


_PATHS = st.one_of(damage.TEXTS, st.sampled_from(["a@b", "~nobody/x", "a/b.npz", "x@rgb/"]))
_OPERATIONS = st.one_of(
    st.builds(
        "{}={}".format,
        st.sampled_from(["resize", "pad", "crop", "contrast", "binarize", "rgb", "luminance", "over"]),
        st.one_of(
            damage.NUMBERS,
            damage.FLOATS,
            st.sampled_from(["white", "#ff8000", "#f"]),
            st.builds("{}x{}".format, damage.NUMBERS, damage.NUMBERS),
        ),
    ),
    st.sampled_from(["rgb", "luminance", "binarize", "resize", "contrast=nan", "pad=9999", "resize=1x1"]),
    damage.TEXTS,
)
_SOURCES = st.one_of(
    st.sampled_from(["digits", "noise", "constant", "constant=300", "constant=-1", "photos", "mnist"]),
    st.builds("{}:{}".format, st.sampled_from(["folder", "npz", "tfds", "tfrecord", "x", ""]), _PATHS),
    damage.TEXTS,
)
_NAMES = st.builds(lambda s, o: "@".join([s, *o]), _SOURCES, st.lists(_OPERATIONS, max_size=3))


def names():
    def use(name):
        source, _ = data.names.parse_name(name)
        if source.kind in ("digits", "noise", "constant", "folder", "npz"):
            data.load(
                name, max_images=2, image_shape=SHAPE if source.kind in ("noise", "constant") else None
            )

    return Target("names of data", _NAMES, use)


def names_of_streams(work):
    np.savez(work / "grey.npz", test=GREY)
    np.savez(work / "colour.npz", images=COLOUR)
    sound = st.sampled_from([f"npz:{work / 'grey.npz'}", f"npz:{work / 'colour.npz'}"])
    none = st.builds("{}:{}".format, st.sampled_from(["folder", "npz", "tfrecord", "x"]), _PATHS)
    sources = st.one_of(sound, none)
    cases = st.builds(lambda s, o: "@".join([s, *o]), sources, st.lists(_OPERATIONS, max_size=3))

    def use(name):
        list(itertools.islice(streams.stream(name, SHAPE), 9))

    return Target("names of streams", cases, use)


def encoded():
    """Small pictures of many kinds."""
    grey, colour = Image.fromarray(GREY[0, ..., 0]), Image.fromarray(COLOUR[0])
    pictures = [
        *((grey, "PNG", {}), (colour, "PNG", {}), (colour.convert("RGBA"), "PNG", {})),
        *(
            (colour.convert("P"), "PNG", {}),
            (grey.convert("1"), "PNG", {}),
            (grey.convert("I;16"), "PNG", {}),
        ),
        *((grey, "JPEG", {}), (colour, "JPEG", {"progressive": True}), (colour.convert("CMYK"), "JPEG", {})),
        (grey, "PNG", {"transparency": 3}),
        *((colour, kind, {}) for kind in ("WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")),
        *((colour.convert("RGBA"), kind, {}) for kind in ("WEBP", "TIFF", "JPEG2000")),
    ]
    found = []
    for picture, kind, options in pictures:
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        found.append(buffer.getvalue())
    return found


def pictures():
    cases = st.builds(archives.with_checksums, damage.damaged(encoded()), st.booleans())
    return Target("pictures", cases, lambda content: decoding.decode(content, (255, 255, 255)))


def archive(work):
    path = work / "a.npz"

    def use(content):
        path.write_bytes(content)
        for split in ("test", "train"):
            with contextlib.suppress(data.DataError) if split == "test" else contextlib.nullcontext():
                data.load(f"npz:{path}", split)

    return Target("archives", archives.cases(), use)


def archive_stream(work):
    path = work / "s.npz"

    def use(content):
        path.write_bytes(content)
        list(itertools.islice(streams.stream(f"npz:{path}", (6, 5, 1)), MOST_ROWS))

    return Target("archives as streams", archives.cases(), use)


def records(work):
    path, sound = work / "r.tfrecord", work / "sound.tfrecord"
    examples = []
    for number, picture in enumerate(encoded()[:3]):
        features = {"image": [picture], "key": [b"key %d" % number]}
        lists = {k: tf.train.Feature(bytes_list=tf.train.BytesList(value=v)) for k, v in features.items()}
        examples.append(tf.train.Example(features=tf.train.Features(feature=lists)).SerializeToString())
    _write_records(sound, examples)

    def use(case):
        whole, payloads = case
        if payloads:
            _write_records(path, payloads)
        else:
            path.write_bytes(whole)
        list(itertools.islice(streams.stream(f"tfrecord:{path}", (6, 5, 1)), MOST_ROWS))

    payloads = st.lists(damage.damaged(examples), max_size=2)
    return Target("TFRecords", st.tuples(damage.damaged([sound.read_bytes()]), payloads), use)


def _write_records(path, payloads):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for payload in payloads:
            writer.write(payload)


def run_file(work):
    run = Run(work / "run")
    run.folder.mkdir()
    config = registry.family("glow").config_class(levels=1)
    described = {
        "format": 1,
        "family": "glow",
        "model": vars(config),
        "training": vars(training.TrainingConfig(steps=1)),
        "dataset": "digits",
        "image_shape": list(SHAPE),
        "versions": {},
    }

    def use(content):
        run.spec_file.write_bytes(content)
        run.spec()

    return Target("run.json", damage.changed_json(described), use)


def _detector(folder):
    images = random_images(40)
    made = detectors.Typicality(gaussian()).fit(images[:20]).calibrate(images[20:])
    made.save(folder)
    return folder


def detector_description(work):
    made = _detector(work / "described")
    source = json.loads((made / "detector.json").read_text())

    def use(content):
        (made / "detector.json").write_bytes(content)
        detectors.load(made, model=gaussian()).score(random_images(2))

    return Target("detector.json", damage.changed_json(source), use)


def detector_arrays(work):
    made = _detector(work / "arrays")
    sound = (made / "arrays.npz").read_bytes()
    with np.load(io.BytesIO(sound)) as archive:
        arrays = dict(archive)

    def use(content):
        (made / "arrays.npz").write_bytes(content)
        detectors.load(made, model=gaussian()).p_value(random_images(2))

    return Target("a detector's arrays", st.one_of(damage.damaged([sound]), archives.of_arrays(arrays)), use)


def statistics(work):
    made = _detector(work / "statistics")
    file = made / "statistics" / "saved_model.pb"
    sound = file.read_bytes()

    def use(content):
        file.write_bytes(content)
        detectors.load(made).score(random_images(2))

    cases = st.one_of(damage.damaged([sound]), graph_edits.edited(sound), graph_edits.edited(sound))
    return Target("a detector's graph", cases, use)


def _export(folder):
    """A small export that does no harm."""
    hostile.export(folder, lambda: tf.constant(0.0))
    return folder


def signature(work):
    made = _export(work / "signed")
    source = json.loads((made / "signature.json").read_text())
    source["detector"] = {"name": "typicality", "settings": {}, "num_calibration": 30}

    def use(content):
        (made / "signature.json").write_bytes(content)
        signature_file.read(made)
        serving.exported_model.image_shape(made)

    return Target("signature.json", damage.changed_json(source), use)


def graph(work):
    made = _export(work / "graph")
    file = made / "saved_model.pb"
    sound = file.read_bytes()

    def use(content):
        file.write_bytes(content)
        serving.ExportedModel(made, 2)(np.zeros([2, *SHAPE], np.uint8))

    cases = st.one_of(damage.damaged([sound]), graph_edits.edited(sound), graph_edits.edited(sound))
    return Target("an export's graph", cases, use)


def variables(work):
    made = work / "variables"
    module = tf.Module()
    module.weight = tf.Variable(tf.random.stateless_normal([64, 3], [0, 0]))

    def serve(images):
        flat = tf.reshape(tf.cast(images, tf.float32), [-1, 64])
        total = tf.reduce_sum(tf.matmul(flat, module.weight), axis=1)
        return {"log_prob": total, "bits_per_dim": total}

    spec = tf.TensorSpec([None, *SHAPE], tf.uint8, name="images")
    module.serve = tf.function(serve, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(made), signatures={"serving_default": module.serve})
    hostile.sign(made)
    sound = {file.name: file.read_bytes() for file in (made / "variables").iterdir()}

    def use(case):
        name, content = case
        for other, whole in sound.items():
            (made / "variables" / other).write_bytes(content if other == name else whole)
        serving.ExportedModel(made, 2)(np.zeros([2, *SHAPE], np.uint8))

    cases = st.one_of(*(st.tuples(st.just(n), damage.damaged([whole])) for n, whole in sound.items()))
    return Target("an export's variables", cases, use)


PROGRAM = """module {
  func.func @main(%x: tensor<2x4xf32>, %w: tensor<4xf32>) -> tensor<2x4xf32> {
    %0 = stablehlo.broadcast_in_dim %w, dims = [1] : (tensor<4xf32>) -> tensor<2x4xf32>
    %1 = stablehlo.add %x, %0 : tensor<2x4xf32>
    return %1 : tensor<2x4xf32>
  }
}
"""


def stablehlo(work):
    """The three kinds of files that a folder of programs has."""
    from tfp_flows.serving import run_stablehlo

    made = work / "programs"
    made.mkdir()
    array = {"dtype": "float32", "shape": [2, 4]}
    entry = {"function": "f", "batch_size": 2, "file": "f_2.mlir"}
    entry["arguments"] = [{"input": "x", **array}, {"weight": "w"}]
    entry["outputs"] = [{"name": "y", **array}]
    free = {"dtype": "float32", "shape": [None, 4]}
    described = {"format": 1, "methods": {"f": {"inputs": {"x": free}, "outputs": {"y": free}}}}
    described["programs"] = [entry]
    sound = {
        "f_2.mlir": PROGRAM.encode(),
        "weights.safetensors": safetensors.numpy.save({"w": np.arange(4, dtype=np.float32)}),
        "signature.json": json.dumps(described).encode(),
    }

    def use_of(name):
        def use(content):
            for other, whole in sound.items():
                (made / other).write_bytes(content if other == name else whole)
            try:
                run_stablehlo.Model(made)("f", x=np.zeros([3, 4], np.float32))
            except run_stablehlo.ModelError as error:  # the reader has no part of this package
                raise data.DataError(str(error)) from error

        return use

    cases = {
        "f_2.mlir": damage.damaged([sound["f_2.mlir"]]),
        "weights.safetensors": damage.damaged([sound["weights.safetensors"]]),
        "signature.json": damage.changed_json(described),
    }
    return [Target(f"StableHLO: {name}", case, use_of(name)) for name, case in cases.items()]


def weights_alone(work):
    """The weights of a pretrained model: damaged bytes, and headers that lie."""
    path = work / "weights.safetensors"
    weights_file.write(path, {"a": np.arange(6, dtype=np.float32), "b": np.zeros([2, 2], np.int64)}, 3)
    sound = path.read_bytes()
    end = 8 + int.from_bytes(sound[:8], "little")

    def with_header(text):
        return len(text).to_bytes(8, "little") + text + sound[end:]

    lying = damage.changed_json(json.loads(sound[8:end])).map(with_header)

    def use(content):
        path.write_bytes(content)
        weights_file.read(path)

    return Target("weights alone", st.one_of(damage.damaged([sound]), lying), use)


def settings():
    """Configurations from flags: each value of its flag's type."""
    kinds = [training.TrainingConfig]
    for name in ("glow", "vae", "pixelcnn"):
        kinds += [registry.family(name).config_class, registry.family(name).protocol_class]
    return [Target(f"settings: {kind.__name__}", _fields(kind), lambda v, k=kind: k(**v)) for kind in kinds]


def _fields(kind):
    made = {}
    for field in dataclasses.fields(kind):
        name = field.name
        choices = field.metadata.get("choices")
        default = field.default
        if choices:
            made[name] = st.one_of(st.sampled_from(list(choices)), st.none(), damage.TEXTS)
        elif isinstance(default, bool):
            made[name] = st.booleans()
        elif field.type is float or isinstance(default, float):
            made[name] = damage.FLOATS
        elif field.type is str or isinstance(default, str):
            made[name] = damage.TEXTS
        else:
            made[name] = damage.NUMBERS
    required = {n: s for n, s in made.items() if n == "steps"}
    return st.fixed_dictionaries(required, optional={n: s for n, s in made.items() if n not in required})
