"""The commands by their names: `tfp-flows train ...` is `python -m tfp_flows.train ...`, word for word."""

import pathlib
import runpy
import sys

import tfp_flows

COMMANDS = {  # name: (module, what it does)
    "train": ("tfp_flows.train", "trains a model; with --evaluate_on, judges it"),
    "evaluate": ("tfp_flows.evaluate", "compares the likelihoods that a model gives to data sets"),
    "detect": ("tfp_flows.detect", "fits and calibrates a detector of foreign images"),
    "export": ("tfp_flows.export", "writes a model for TensorFlow or JAX alone"),
    "score": ("tfp_flows.score", "scores images into a table"),
    "monitor": ("tfp_flows.monitor", "watches tables of scores, and raises an alarm when images drift"),
    "report": ("analysis.report", "explains likelihoods as a page; in a checkout only"),
}
CHECKOUT = pathlib.Path(__file__).resolve().parents[1]


def main() -> None:
    """Runs the command that the first argument names; without one, lists them."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h"):
        print(_listed())
    elif name == "--version":
        print(tfp_flows.__version__)
    elif name in COMMANDS:
        del sys.argv[1]
        _run(COMMANDS[name][0])
    else:
        sys.exit(f"error: there is no command {name!r}; there are {', '.join(COMMANDS)}.")


def _run(module: str) -> None:
    package = module.split(".")[0]
    if package != __package__:
        if not (CHECKOUT / package).is_dir():
            sys.exit(f"error: {module} needs a checkout of the project; {CHECKOUT} has no folder {package}.")
        sys.path.insert(0, str(CHECKOUT))
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _listed() -> str:
    lines = [f"  {name:10}{what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(["tfp-flows COMMAND --flag=value ...; COMMAND --help has its flags", *lines])


if __name__ == "__main__":
    main()
