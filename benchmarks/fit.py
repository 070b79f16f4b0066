"""Which ingredient fits best in the same minutes: a table of variants, trained and judged alike.

    python -m benchmarks.fit --data_dir=DIR                          # FashionMNIST, 10 minutes a variant
    python -m benchmarks.fit --data_dir=DIR --dataset=cifar10 --minutes=20 --variants=tanh,wide --seeds=0,1,2
    python -m benchmarks.fit --data_dir=DIR --variants=mine="--scale=tanh --flip"
    python -m benchmarks.fit --data_dir=DIR --plan                   # only how long a step takes

The variants are those of benchmarks/fit_variants.py, or NAME=FLAGS. First the time of a training step of
each is measured, in turns in one run (A B C, A B C, ...): its median decides how many steps fit into the
minutes, so that each has the schedule of learning rates for its own number of them, and what else the
machine does in the meantime changes nothing. Then each is trained as `tfp_flows.train` trains, without
validations, and judged as `tfp_flows.evaluate` judges.

Everything is kept in --out: a second call goes on where the first was interrupted, variants that are done
stay, and those that are new are timed beside one that the others were timed with.
"""

import argparse
import dataclasses
import pathlib
import sys

from benchmarks import environment

environment.prepare()

from benchmarks import fit_flags, fit_table, fit_variants  # noqa: E402
from tfp_flows import data, evaluation, numerics, runs, training  # noqa: E402
from tfp_flows.checks.errors import UserError  # noqa: E402


def main(arguments=None):
    """Times, trains, judges, and writes the table after each variant."""
    options = _parser().parse_args(arguments)
    from benchmarks import fit_timing  # here, as it imports TensorFlow

    base = fit_variants.BASES[options.dataset]
    variants = fit_flags.chosen(options.variants, base.flags, options.flags)
    folder = pathlib.Path(options.out or f"runs/fit_{options.dataset}")
    num_parts = numerics.parts.choose(0, min(v.training.batch_size for v in variants.values()))
    source = dict(data_dir=options.data_dir, download=options.download)
    train_set = data.load(options.dataset, "train", **source)
    seconds = fit_timing.of_variants(
        folder / "seconds.json", variants, train_set.images, options.rounds, num_parts
    )
    steps = {name: max(1, round(60 * options.minutes / of_step.median)) for name, of_step in seconds.items()}
    for name, of_step in seconds.items():
        spread = f"{1000 * of_step.low:.1f} to {1000 * of_step.high:.1f}"
        print(f"{name:20}{1000 * of_step.median:8.1f} ms a step ({spread}){steps[name]:10,} steps")
    if options.plan:
        return
    for seed in options.seeds:
        for name, variant in variants.items():
            place = folder / f"{options.minutes:g}_minutes" / name / f"seed{seed}"
            told, kept = f"--dataset={options.dataset}\n{variant.flag_file}", fit_table.result(place)
            if kept is not None and kept.get("all_flags", told) != told:
                raise UserError(f"`out`: {place} was trained with other flags; take another folder.")
            if kept is None:
                print(f"{name}, seed {seed}", flush=True)
                found = _trained(place, variant.of(steps[name], seed), train_set, base, options, num_parts)
                found |= {"variant": name, "seed": seed, "flags": variant.flags, "steps": steps[name]}
                found["all_flags"] = told
                found |= {"minutes": options.minutes, "seconds_a_step": seconds[name].median}
                fit_table.keep(place, found)
            fit_table.write(folder, options.dataset, base.foreign)
    print((folder / fit_table.PAGE).read_text(encoding="utf-8"))


def _trained(place, variant, train_set, base, options, num_parts):
    """What came out of one training: bits per dimension of the test images, AUROC of the foreign ones."""
    source = dict(data_dir=options.data_dir, download=options.download)
    spec = runs.RunSpec(
        family="glow",
        model=variant.model,
        training=dataclasses.asdict(variant.training),
        dataset=options.dataset,
        image_shape=train_set.image_shape,
        division=data.DIVISION,
    )
    validation = data.load(options.dataset, "validation", max_images=256, **source)
    run = runs.Run(place / "run")
    try:
        outcome = training.train(
            run,
            spec,
            f"--dataset={options.dataset}\n{variant.flag_file}",
            train_set.images,
            validation.images,
            progress=options.progress,
            parts_per_replica=num_parts if variant.training.batch_size % num_parts == 0 else 1,
        )
    except training.TrainingDiverged as error:
        return {"note": str(error).splitlines()[0]}
    if outcome.interrupted:
        print(f"Interrupted at step {outcome.step:,}; the same command goes on.")
        sys.exit(128 + outcome.interrupted)
    sets = evaluation.load_sets(spec, [base.foreign], max_images=options.max_images, **source)
    own, trained_on, foreign = evaluation.evaluate(run, sets, num_samples=0, progress=options.progress)
    return {
        "bits_per_dim": own.bits_per_dim,
        "bits_per_dim_se": own.bits_per_dim_se,
        "train_bits_per_dim": trained_on.bits_per_dim,
        "foreign_bits_per_dim": foreign.bits_per_dim,
        "auroc": foreign.auroc,
        "images": own.n,
    }


def _parser():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="fashion_mnist", choices=sorted(fit_variants.BASES))
    parser.add_argument("--variants", default="", help="names, or NAME=FLAGS, by commas; all by default")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training, for each")
    parser.add_argument("--seeds", type=_numbers, default=[0], help="by commas")
    parser.add_argument("--max_images", type=int, help="images of each set that are scored; all by default")
    parser.add_argument("--rounds", type=int, default=7, help="of timing")
    parser.add_argument("--flags", default="", help="flags after those of every variant")
    parser.add_argument("--plan", action="store_true", help="only time the variants")
    parser.add_argument("--data_dir", help="folder of data sets in TFDS layout")
    parser.add_argument("--download", action="store_true", help="let TFDS download what is missing")
    parser.add_argument("--progress", action="store_true", help="show progress bars")
    parser.add_argument("--out", help="folder; runs/fit_DATASET by default")
    return parser


def _numbers(text):
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    main()
