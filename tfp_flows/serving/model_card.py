"""The model card of an exported model: what it is, what it was trained on, how sure its numbers are."""

import csv

import jinja2
import numpy as np

ALPHA = 0.05
TEMPLATE = """\
# {{ family }} over {{ shape }} images, trained on {{ dataset }}

A density model exported by tfp_flows {{ versions["tfp-flows"] }}. `log_prob` is in nats for a whole image
of integer grey levels 0..255{% if noisy %}: a lower bound, from noise of a fixed seed ({{ seed }}){%
endif %}; `bits_per_dim` is -log_prob / ({{ dimensions }} ln 2).

**A high likelihood does not mean that an image is of the kind that the model was trained on**: density
models give higher ones to simpler images (Nalisnick et al., ICLR 2019). {% if detector %}Use the `score`
and the `p_value`.{% else %}This export has no detector.{% endif %}


## Training

| | |
| --- | --- |
| data | {{ dataset }} |
| steps | {{ "{:,}".format(step) }} of {{ "{:,}".format(training.steps) }} |
| batch size | {{ training.batch_size }} |
| seed | {{ training.seed }} |
{% for key, value in model.items() %}
| {{ key }} | {{ value }} |
{% endfor %}
{% if validation %}| validation | {{ "%.4f"|format(validation) }} bits/dim |
{% endif %}

{% if evaluation %}
## Evaluation

| images | split | n | bits/dim | AUROC of -log_prob |
| --- | --- | --- | --- | --- |
{% for row in evaluation %}
| {{ row.dataset }} | {{ row.split }} | {{ row.n }} | {{ "%.3f"|format(row.bits_per_dim|float) }} | \
{{ "%.3f"|format(row.auroc|float) if row.auroc else "" }} |
{% endfor %}

{% endif %}
{% if detector %}
## Detector

`{{ detector.name }}`{% if detector.settings %} ({% for key, value in detector.settings.items() %}\
{{ key }} {{ value }}{{ ", " if not loop.last }}{% endfor %}){% endif %}: a higher score is more out of
distribution. {% if calibration %}Calibrated with {{ "{:,}".format(calibration) }} held-out images: an image
of the same kind has a p-value of at most alpha with a probability of at most alpha. At alpha = {{ alpha }}
the threshold is a score of about {{ "%.6g"|format(threshold) }}.{% else %}It was not calibrated: there are
no p-values.{% endif %}


{% endif %}
## Versions

{% for name, version in versions.items() %}{{ name }} {{ version }}{{ ", " if not loop.last }}{% endfor %}

"""


def model_card(run, step, family, detector, seed, versions):
    """The card as Markdown.

    Args:
      run: `runs.Run` of the model.
      step: The step it was trained to.
      family: Its `Family`.
      detector: `detectors.Detector` that is exported with it, or None.
      seed: Of the noise in `log_prob`.
      versions: dict from package to version.

    Returns:
      Text.
    """
    spec = run.spec()
    calibration = None if detector is None else detector.calibration_scores
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(TEMPLATE).render(
        family=family.name,
        noisy=family.noisy,
        shape="x".join(map(str, spec.image_shape)),
        dimensions=int(np.prod(spec.image_shape)),
        dataset=spec.dataset,
        step=step,
        training=spec.training,
        model={k: v for k, v in spec.to_json()["model"].items() if v is not None and k != "seed"},
        validation=_last_validation(run),
        evaluation=_rows(run.evaluation / "bits_per_dim.csv"),
        detector=detector,
        calibration=None if calibration is None else len(calibration),
        threshold=None if calibration is None else float(np.quantile(calibration, 1 - ALPHA)),
        alpha=ALPHA,
        seed=seed,
        versions=versions,
    )


def _last_validation(run):
    values = [row["validation_bits_per_dim"] for row in _rows(run.metrics_file)]
    return next((float(value) for value in reversed(values) if value), None)


def _rows(path):
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
