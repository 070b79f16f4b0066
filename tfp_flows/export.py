r"""Writes a trained model so that it runs without this package.

    python -m tfp_flows.export --run=runs/glow_fashion_mnist --out=exported --detector=runs/detector
    python -m tfp_flows.export --run=runs/glow_fashion_mnist --out=exported --format=stablehlo

With --format=savedmodel, OUT holds a SavedModel, which needs TensorFlow alone; with --format=stablehlo,
StableHLO programs, their weights and run_stablehlo.py, which needs JAX and no TensorFlow. Beside them,
signature.json (functions, seed, detector) and model_card.md.

Scores are the same in both but for rounding, and so are the samples of Glow and PixelCNN. What TFP draws
itself, the VAE's categories, XLA draws with another generator: other images from the same seed.
"""

import json
import os
import pathlib
import tempfile

from absl import flags

from tfp_flows import cli, detectors, model_card, runs, serving, stablehlo
from tfp_flows.models import registry

FLAGS = flags.FLAGS
SIGNATURE_FILE = "signature.json"
CARD_FILE = "model_card.md"
FORMAT = 1  # of signature.json
SAVED_MODEL, STABLEHLO = FORMATS = ("savedmodel", "stablehlo")
BATCH_SIZES = (1, 64)


def define_flags():
    """Defines the flags of the command."""
    flags.DEFINE_string("run", None, "Folder of the run.")
    flags.DEFINE_string("out", None, "Folder to write to; an earlier export there is replaced.")
    flags.DEFINE_string("detector", None, "Folder of a detector of this run, from tfp_flows.detect.")
    flags.DEFINE_bool(
        "jit_compile", False, "Compile with XLA, for batches padded to multiples of 1, 16 or 128."
    )
    flags.DEFINE_enum("format", SAVED_MODEL, FORMATS, "For TensorFlow, or for JAX.")
    flags.DEFINE_list(
        "batch_sizes",
        list(map(str, BATCH_SIZES)),
        "With --format=stablehlo: images in a batch, one or several.",
    )
    flags.mark_flags_as_required(["run", "out"])


def main():
    """Exports and says what the export offers."""
    other = {SAVED_MODEL: "batch_sizes", STABLEHLO: "jit_compile"}[FLAGS.format]
    if FLAGS[other].present:
        raise ValueError(f"--{other} has no meaning with --format={FLAGS.format}.")
    run = runs.Run(FLAGS.run)
    if FLAGS.format == STABLEHLO:
        sizes = _batch_sizes(FLAGS.batch_sizes)
        described = export(run, FLAGS.out, FLAGS.detector, export_format=STABLEHLO, batch_sizes=sizes)
    else:
        described = export(run, FLAGS.out, FLAGS.detector, FLAGS.jit_compile)
    for name, method in described["methods"].items():
        print(f"{name}({', '.join(method['inputs'])}) -> {', '.join(method['outputs'])}")
    for name, reason in described.get("left_out", {}).items():
        print(f"left out: {name}: {reason}")
    print(f"Written to {FLAGS.out}")


def _batch_sizes(texts):
    """Ascending integers.

    Raises:
      ValueError: If one is not positive, or there is none.
    """
    if not texts or not all(text.strip().isdecimal() and int(text) > 0 for text in texts):
        raise ValueError(f"--batch_sizes must be positive integers, got {','.join(texts)!r}.")
    return sorted({int(text) for text in texts})


def export(
    run,
    out,
    detector_path=None,
    jit_compile=False,
    export_format=SAVED_MODEL,
    batch_sizes=BATCH_SIZES,
):
    """Exports a run's model, and with `detector_path` a detector of it.

    Args:
      run: `runs.Run`.
      out: Folder to write to.
      detector_path: Folder of a saved detector, or None.
      jit_compile: As for `serving.Servable`; of a SavedModel.
      export_format: "savedmodel" or "stablehlo".
      batch_sizes: Of the StableHLO programs.

    Returns:
      The contents of signature.json.

    Raises:
      RunError: If there is no model, or `out` holds something else.
      DetectorError: If the detector cannot be exported (in this format), or is that of another run.
      LoweringError: If XLA cannot compile the model.
    """
    out = pathlib.Path(out)
    if out.exists() and not (out / SIGNATURE_FILE).exists() and (not out.is_dir() or any(out.iterdir())):
        raise runs.RunError(f"--out: {out} is there already and is no export.")
    model, step = runs.load_model(run)
    family = registry.family(run.spec().family)
    detector = None if detector_path is None else _load_detector(detector_path, model)
    servable = serving.Servable(model, family, detector, jit_compile)
    described = {
        "format": FORMAT,
        "export_format": export_format,
        "family": family.name,
        "dataset": run.spec().dataset,
        "image_shape": list(run.spec().image_shape),
        "seed": serving.SEED,
        "jit_compile": jit_compile,
        "detector": detector and _describe_detector(detector),
        "methods": serving.signature(servable),
        "versions": runs.versions(),
    }
    save = servable.save
    if export_format == STABLEHLO:
        bundle, left_out = _lowered(servable, batch_sizes, detector)
        methods = {name: m for name, m in described["methods"].items() if name not in left_out}
        described.update(methods=methods, left_out=left_out, programs=bundle.describe())
        save = bundle.save
    card = model_card.model_card(run, step, family, detector, serving.SEED, described["versions"])
    _write(out, save, described, card)
    return described


def _load_detector(path, model):
    """The detector, with `model` in the place of its own copy of the same run."""
    detector = detectors.load(path)
    detector.check_exportable()
    if not detector.models and detector.name != detectors.Critics.name:
        raise detectors.DetectorError(f"--detector: {path} is not of a run, but of a stored model.")
    own = model.run_reference
    same = [m.run_reference.digest == own.digest for m in detector.models]
    if detector.models and not any(same):
        raise detectors.DetectorError(
            f"--detector: {path} is of {detector.models[0].run_reference.folder}, not of {own.folder}."
        )
    detector.models = [model if s else m for m, s in zip(detector.models, same, strict=True)]
    return detector


def _describe_detector(detector):
    calibration = detector.calibration_scores
    return {
        "name": detector.name,
        "settings": detector.settings,
        "num_calibration": None if calibration is None else len(calibration),
    }


def _lowered(servable, batch_sizes, detector):
    """(`stablehlo.Bundle` of every method that XLA can compile, {method: reason} of the others)."""
    bundle, left_out = stablehlo.Bundle(), {}
    for name in servable.methods:
        try:
            programs = [_lower(servable, name, size) for size in batch_sizes]
        except stablehlo.LoweringError as error:
            if name != "serving_default":
                left_out[name] = str(error)
                continue
            if detector is None:
                raise stablehlo.LoweringError(f"XLA cannot compile this model: {error}") from error
            raise detectors.DetectorError(
                f"{detector.name}: XLA cannot compile this score ({error}); use --format={SAVED_MODEL}."
            ) from error
        for size, program in zip(batch_sizes, programs, strict=True):
            bundle.add(name, size, program)
    return bundle, left_out


def _lower(servable, name, size):
    function, specs = servable.of_size(name, size)
    return stablehlo.lower(function, *specs)


def _write(out, save, described, card):
    """Writes the folder as a whole or not at all; `save(folder)` makes it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        new = pathlib.Path(temporary) / "new"
        save(new)
        (new / SIGNATURE_FILE).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
        (new / CARD_FILE).write_text(card, encoding="utf-8")
        if out.exists():
            os.replace(out, pathlib.Path(temporary) / "old")
        os.replace(new, out)


if __name__ == "__main__":
    define_flags()
    cli.run(main, errors=[ValueError])
