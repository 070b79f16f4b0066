"""A command that fails, as `--how` says."""

from absl import flags

from tfp_flows import commands
from tfp_flows.checks import UserError

ERRORS = {
    "user": UserError("`how` is wrong."),
    "bug": ValueError("operands could not be broadcast"),
    "file": FileNotFoundError(2, "No such file", "x.png"),
}
FLAGS = flags.FLAGS


def main() -> None:
    """Fails."""
    raise ERRORS[FLAGS.how]


if __name__ == "__main__":
    flags.DEFINE_enum("how", "user", list(ERRORS), "How.")
    commands.run(main)
