r"""Writes a trained model as a SavedModel that runs with TensorFlow alone.

    python -m tfp_flows.export --run=runs/glow_fashion_mnist --out=exported --detector=runs/detector

OUT holds the SavedModel, signature.json (functions, seed, detector) and model_card.md.
"""

import json
import os
import pathlib
import tempfile

from absl import flags

from tfp_flows import checkpoint, cli, detectors, families, model_card, serving

FLAGS = flags.FLAGS
SIGNATURE_FILE = "signature.json"
CARD_FILE = "model_card.md"
FORMAT = 1


def define_flags():
    """Defines the flags of the command."""
    flags.DEFINE_string("run", None, "Folder of the run.")
    flags.DEFINE_string("out", None, "Folder to write to; an earlier export there is replaced.")
    flags.DEFINE_string("detector", None, "Folder of a detector of this run, from tfp_flows.detect.")
    flags.DEFINE_bool(
        "jit_compile", False, "Compile with XLA, for batches padded to multiples of 1, 16 or 128."
    )
    flags.mark_flags_as_required(["run", "out"])


def main():
    """Exports and says what the export offers."""
    described = export(checkpoint.Run(FLAGS.run), FLAGS.out, FLAGS.detector, FLAGS.jit_compile)
    for name, method in described["methods"].items():
        print(f"{name}({', '.join(method['inputs'])}) -> {', '.join(method['outputs'])}")
    print(f"Written to {FLAGS.out}")


def export(run, out, detector_path=None, jit_compile=False):
    """Exports a run's model, and with `detector_path` a detector of it.

    Args:
      run: `checkpoint.Run`.
      out: Folder to write to.
      detector_path: Folder of a saved detector, or None.
      jit_compile: As for `serving.Servable`.

    Returns:
      The contents of signature.json.

    Raises:
      RunError: If there is no model, or `out` holds something else.
      DetectorError: If the detector cannot be exported, or is that of another run.
    """
    out = pathlib.Path(out)
    if out.exists() and not (out / SIGNATURE_FILE).exists() and (not out.is_dir() or any(out.iterdir())):
        raise checkpoint.RunError(f"--out: {out} is there already and is no export.")
    model, step = checkpoint.load_model(run)
    family = families.family(run.spec().family)
    detector = None if detector_path is None else _load_detector(detector_path, model)
    servable = serving.Servable(model, family, detector, jit_compile)
    described = {
        "format": FORMAT,
        "family": family.name,
        "dataset": run.spec().dataset,
        "image_shape": list(run.spec().image_shape),
        "seed": serving.SEED,
        "jit_compile": jit_compile,
        "detector": detector and _describe_detector(detector),
        "methods": serving.signature(servable),
        "versions": checkpoint.versions(),
    }
    card = model_card.model_card(run, step, family, detector, serving.SEED, described["versions"])
    _write(out, servable, described, card)
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


def _write(out, servable, described, card):
    """Writes the folder as a whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        new = pathlib.Path(temporary) / "new"
        servable.save(new)
        (new / SIGNATURE_FILE).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
        (new / CARD_FILE).write_text(card, encoding="utf-8")
        if out.exists():
            os.replace(out, pathlib.Path(temporary) / "old")
        os.replace(new, out)


if __name__ == "__main__":
    define_flags()
    cli.run(main, errors=[ValueError])
