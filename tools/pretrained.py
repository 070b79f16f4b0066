"""Makes a pretrained model of a run: its averaged weights, what it is, and a card.

    python -m tools.pretrained --run=RUN --out=models/NAME

The folder takes the place of a run wherever one is read, `--run=models/NAME` of each command but `train`.
Its card has the table of the run's evaluation, if there is one. No path of the machine on which it was
trained goes into it.
"""

import argparse
import csv
import json
import pathlib

from tfp_flows import runs

CARD = """\
# {name}

A {family} of {shape} images, trained on `{dataset}` to step {step:,} (seed {seed}): its averaged
weights as safetensors ({size:,} bytes).

```python
model = tfp_flows.load("models/{name}")
model.log_prob(images)  # uint8 [B, {shape_list}] -> [B], nats
```

Every command takes it as `--run=models/{name}`: `evaluate`, `detect`, `export`; a new training starts
from it with `--init_from=models/{name}`.

**A high likelihood does not mean that an image is of the kind that the model was trained on**: density
models give higher ones to simpler images (Nalisnick et al., ICLR 2019). Use a detector:
`python -m tfp_flows.detect --run=models/{name} --out=DIR`.
{table}
Settings: {settings}.
Training: {training}.
Made with {versions}. Licence: that of this repository; the model has learnt
from images whose own terms are those of `{dataset}`.
"""


def make(run: runs.Run, out: pathlib.Path) -> None:
    """Writes the folder.

    Args:
      run: A trained run.
      out: The folder, which is made.
    """
    spec, table = run.spec(), run.evaluation / "bits_per_dim.csv"
    out.mkdir(parents=True, exist_ok=True)
    step = runs.save_weights(run, out / "weights.safetensors")
    described = json.loads(run.spec_file.read_text(encoding="utf-8"))
    described |= {"places": {}, "trained_on": ""}
    runs.write_atomically(out / "run.json", json.dumps(described, indent=2) + "\n")
    height, width, channels = spec.image_shape
    card = CARD.format(
        name=out.name,
        family=spec.family,
        shape="x".join(map(str, spec.image_shape)),
        shape_list=f"{height}, {width}, {channels}",
        dataset=spec.dataset,
        step=step,
        seed=spec.training["seed"],
        size=(out / "weights.safetensors").stat().st_size,
        table=_table(table) if table.exists() else "",
        settings=", ".join(f"{k} {v}" for k, v in described["model"].items() if v is not None),
        training=", ".join(f"{k} {v}" for k, v in spec.training.items() if v not in ("", 0)),
        versions=", ".join(f"{name} {version}" for name, version in described["versions"].items()),
    )
    runs.write_atomically(out / "README.md", card)


def _table(path: pathlib.Path) -> str:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = ["", "| images | split | n | bits/dim | AUROC of -log p |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        area = f"{float(row['auroc']):.3f}" if row["auroc"] else ""
        bits = f"{float(row['bits_per_dim']):.3f}"
        cells = (row["dataset"], row["split"], f"{int(row['n']):,}", bits, area)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Makes one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", required=True)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    flags = parser.parse_args()
    make(runs.Run(flags.run), flags.out)
    print(f"{flags.out}: {sum(file.stat().st_size for file in flags.out.iterdir()):,} bytes")


if __name__ == "__main__":
    main()
