"""How a command starts TensorFlow: when it is first needed, quietly, with oneDNN, and without Keras 3.

TensorFlow 2.21 prints a page of notices to stderr while it is imported, and takes no notice of
TF_CPP_MIN_LOG_LEVEL until it has been. On x86 it uses oneDNN by itself only where there are instructions
made for neural networks (AVX-512 VNNI and later); with AVX2 alone, training takes 1.4 times as long without
it, and half as much memory again (benchmarks/PROFILES.md). It imports Keras 3, and with that Matplotlib and
scikit-learn, a quarter of its start, where nothing says that Keras 2 is wanted; which TFP and this package
need, and import anyhow.
"""

import contextlib
import importlib.machinery
import os
import platform
import sys
import tempfile
import types
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from typing import IO

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"  # TensorFlow reads it once, while it is imported
KERAS_2 = "TF_USE_LEGACY_KERAS"  # likewise
NAME = "tensorflow"


def when_needed() -> None:
    """Has whatever imports TensorFlow first do it as `import_tensorflow` does."""
    if NAME not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def import_tensorflow() -> None:
    """Imports TensorFlow with its notices held back; they are printed if the import fails."""
    when_needed()
    import tensorflow  # noqa: F401


class _Finder(MetaPathFinder):
    """Finds TensorFlow where the others do."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The specification of TensorFlow, with a loader that is quiet; None for any other module."""
        if name != NAME:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Quietly(spec.loader)
        return spec


class _Quietly(Loader):
    """Loads a module as another loader does, with what is said meanwhile held back."""

    def __init__(self, loader: Loader):
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        """As the other does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        """Says what the environment does not, and runs the module; what was said is printed if it fails."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault(KERAS_2, "1")
        if platform.machine() in ("x86_64", "AMD64"):
            os.environ.setdefault(ONEDNN, "1")
        with tempfile.TemporaryFile() as notices:
            try:
                with stderr_to(notices):
                    self._loader.exec_module(module)
            except BaseException:
                notices.seek(0)
                sys.stderr.buffer.write(notices.read())
                raise


@contextlib.contextmanager
def stderr_to(file: IO[bytes]) -> Iterator[None]:
    """Sends what this process and its children write to stderr to an open file."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
