r"""Writes a trained model so that it runs without this package.

    python -m tfp_flows.export --run=runs/glow_fashion_mnist --out=exported --detector=runs/detector
    python -m tfp_flows.export --run=runs/glow_fashion_mnist --out=exported --format=stablehlo

With --format=savedmodel, OUT holds a SavedModel, which needs TensorFlow alone; with --format=stablehlo,
StableHLO programs, their weights and run_stablehlo.py, which needs JAX and no TensorFlow; with --format=onnx
or tflite, one file for onnxruntime or LiteRT: log_prob, score and p_value of images. Beside them,
signature.json (functions, seed, detector) and model_card.md. Of a run of a table it is a SavedModel that
takes vectors, by whose columns `tfp_flows.score` reads other tables.

Scores are the same in both but for rounding, and so are the samples of Glow and PixelCNN. What TFP draws
itself, the VAE's categories, XLA draws with another generator: other images from the same seed.
"""

from absl import flags

from tfp_flows import commands, detectors, runs, serving, tables
from tfp_flows.checks.errors import UserError
from tfp_flows.serving.formats import BATCH_SIZES, FORMATS, SAVED_MODEL, STABLEHLO

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the flags of the command."""
    flags.DEFINE_string("run", None, "Folder of the run.")
    flags.DEFINE_string("out", None, "Folder to write to; an earlier export there is replaced.")
    flags.DEFINE_string("detector", None, "Folder of a detector of this run, from tfp_flows.detect.")
    flags.DEFINE_bool(
        "jit_compile", False, "Compile with XLA, for batches padded to multiples of 1, 16 or 128."
    )
    flags.DEFINE_enum("format", SAVED_MODEL, FORMATS, "For TensorFlow, JAX, onnxruntime or LiteRT.")
    flags.DEFINE_list(
        "batch_sizes",
        list(map(str, BATCH_SIZES)),
        "With --format=stablehlo: images in a batch, one or several.",
    )
    flags.mark_flags_as_required(["run", "out"])


def main() -> None:
    """Exports and says what the export offers."""
    for other, wanted in (("batch_sizes", STABLEHLO), ("jit_compile", SAVED_MODEL)):
        if FLAGS[other].present and FLAGS.format != wanted:
            raise UserError(f"--{other} has no meaning with --format={FLAGS.format}.")
    run, sizes = runs.Run(FLAGS.run), _batch_sizes(FLAGS.batch_sizes)
    run.spec()  # what cannot be is refused before TensorFlow is imported
    serving.signature_file.check_out(FLAGS.out)
    if FLAGS.detector:
        detectors.description.read(FLAGS.detector)
    if run.spec().is_of_tables:
        commands.refuse_flags(tables.OF_IMAGES["export"], f"is for images, and {FLAGS.run} is of a table")
        described = serving.export_run_of_vectors(run, FLAGS.out, FLAGS.detector)
    else:
        described = serving.export(run, FLAGS.out, FLAGS.detector, FLAGS.jit_compile, FLAGS.format, sizes)
    for name, method in described["methods"].items():
        print(f"{name}({', '.join(method['inputs'])}) -> {', '.join(method['outputs'])}")
    for name, reason in described.get("left_out", {}).items():
        print(f"left out: {name}: {reason}")
    print(f"Written to {FLAGS.out}")


def _batch_sizes(texts: list[str]) -> list[int]:
    """Ascending integers.

    Raises:
      ValueError: If one is not positive, or there is none.
    """
    if not texts or not all(text.strip().isdecimal() and int(text) > 0 for text in texts):
        raise UserError(f"--batch_sizes must be positive integers, got {','.join(texts)!r}.")
    return sorted({int(text) for text in texts})


if __name__ == "__main__":
    define_flags()
    commands.run(main)
