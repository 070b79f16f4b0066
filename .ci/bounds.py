"""The requirements of pyproject.toml, for pip.

python .ci/bounds.py                  constraints: the lowest version of each dependency that is allowed
python .ci/bounds.py --extra docs     what an extra asks for
"""

import argparse
import pathlib
import re
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]


def lowest(requirements):
    """`name[extra]>=1.2,<3; marker` -> `name==1.2; marker`; what has no lower bound is left out."""
    found = []
    for requirement in requirements:
        text, _, marker = requirement.partition(";")
        name, bounds = re.fullmatch(r"([\w.-]+)(?:\[.*\])?\s*(.*)", text.strip()).groups()
        lower = re.search(r">=\s*([\w.]+)", bounds)
        if lower:
            found.append(f"{name}=={lower[1]}" + (f"; {marker.strip()}" if marker else ""))
    return found


def main():
    """Prints them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--extra")
    options = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    if options.extra:
        print("\n".join(extras[options.extra]))
    else:
        (everything,) = extras["all"]  # "tfp-flows[codecs,...]": the extras that a user has
        names = everything.partition("[")[2].rstrip("]").split(",")
        used = [requirement for name in names for requirement in extras[name]]
        print("\n".join(lowest(project["dependencies"] + used)))


if __name__ == "__main__":
    main()
