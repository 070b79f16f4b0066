"""The names of the sets that TFDS knows, read from its files: to ask it takes as long as TensorFlow."""

import functools
import importlib.util
import os
import re

_CLASS = re.compile(r"^class (\w+)\(", re.MULTILINE)
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[^_])(?=[A-Z][a-z])")  # where one begins
_PACKAGES = "datasets"  # each is called as its set
_NO_SETS = {_PACKAGES, "core", "testing", "scripts", "__pycache__"}


@functools.cache
def names() -> frozenset[str]:
    """The names; among them are some that are no sets, and a few sets of robots are missing."""
    spec = importlib.util.find_spec("tensorflow_datasets")
    if spec is None or not spec.submodule_search_locations:
        return frozenset()
    [root] = spec.submodule_search_locations
    found = {*os.listdir(os.path.join(root, _PACKAGES))}
    for folder, folders, files in os.walk(root):
        folders[:] = [each for each in folders if each not in _NO_SETS]
        for file in files:
            if file.endswith(".py"):
                with open(os.path.join(folder, file), encoding="utf-8", errors="replace") as opened:
                    found |= {_WORDS.sub("_", each).lower() for each in _CLASS.findall(opened.read())}
    return frozenset(found)
