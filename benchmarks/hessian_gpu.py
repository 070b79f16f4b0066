"""The compiled Hessian trace through JAX's PJRT client: a GPU needs JAX there, and no TensorFlow.

    python benchmarks/hessian_gpu.py                    # lower here, run here
    python benchmarks/hessian_gpu.py --lower=FOLDER     # with TensorFlow: write the programs
    python benchmarks/hessian_gpu.py --run=FOLDER       # with JAX: run them, --json=FILE for the numbers
    python benchmarks/hessian_gpu.py --smoke            # tiny sizes

Each program is checked against the result that TensorFlow gave when it was lowered.
"""

import argparse
import functools
import json
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import stablehlo  # noqa: E402

TOLERANCE = 1e-3  # float32, another compiler's order of sums


def lower(folder, smoke):
    """Writes one program for each kind of trace and batch size."""
    import numpy as np
    import tensorflow as tf

    from benchmarks import hessian as sizes
    from tfp_flows.numerics import hessian
    from tfp_flows.serving import stablehlo as lowering

    size = sizes.TINY if smoke else sizes.Size()
    flow = sizes.make_flow(size)
    bundle, arrays = lowering.Bundle(), {}
    for batch in size.batches:
        x = tf.constant(np.random.default_rng(0).uniform(size=[batch, *size.image]).astype("float32"))
        probes = {"hutchinson": size.num_probes}
        if batch in size.exact_batches:
            probes["exact"] = None
        for name, num_probes in probes.items():
            trace = functools.partial(hessian.hessian_trace, flow.log_prob, num_probes=num_probes)
            bundle.add(name, batch, lowering.lower(trace, tf.TensorSpec(x.shape, x.dtype, "x")))
            expected = tf.function(trace, jit_compile=True)(x)
            arrays |= {f"{name}_B{batch}_x": x.numpy(), f"{name}_B{batch}": expected.numpy()}
    stablehlo.write(folder, bundle, arrays)


def run(folder, rounds):
    """Runs every program of the folder; a list of JSON entries.

    Raises:
      SystemExit: If a result is not that of TensorFlow.
    """
    model, arrays = stablehlo.read(folder)
    return [_run(model, arrays, program, rounds) for program in model.signature["programs"]]


def _run(model, arrays, program, rounds):
    function, batch = program["function"], program["batch_size"]
    name = f"{function}_B{batch}"
    x = {"x": model.put(arrays[f"{name}_x"])}
    start = time.perf_counter()
    model.program(function, batch)
    compile_seconds = time.perf_counter() - start
    found = stablehlo.on_host(model.run(function, batch, x))["output_0"]
    error = float(abs(found - arrays[name]).max() / max(abs(arrays[name]).max(), 1e-30))
    if not error < TOLERANCE:
        sys.exit(f"error: {name}: differs from TensorFlow's result by {error:.2g}.")
    seconds = stablehlo.seconds(lambda: model.run(function, batch, x), rounds)
    print(
        f"{name:<16} {statistics.median(seconds):9.4f} s ({min(seconds):.4f}-{max(seconds):.4f})  "
        f"compiled in {compile_seconds:.1f} s  error {error:.1e}  {model.device}",
        flush=True,
    )
    return {
        "name": f"hessian_{name}",
        "value": statistics.median(seconds),
        "unit": "s",
        "against": None,
        "ratio": None,
        "seconds_ours": statistics.median(seconds),
        "seconds_against": None,
        "config": {"batch": batch, **stablehlo.described(model)},
        "compile_seconds": compile_seconds,
        "error": error,
    }


def main(arguments=None):
    """Lowers, runs, or both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lower", metavar="FOLDER", help="only write the programs")
    parser.add_argument("--run", metavar="FOLDER", help="only run those programs")
    parser.add_argument("--json", help="file for the numbers")
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 20")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.lower or options.run or pathlib.Path(temporary) / "programs"
        if not options.run:
            lower(folder, options.smoke)
        if options.lower:
            return
        found = run(folder, 1 if options.smoke else 3 if options.quick else 20)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
