"""The versions of what a result depends on."""

import importlib.metadata


def versions() -> dict[str, str | None]:
    """The versions of what a result depends on, by package; None for one that is not installed."""
    packages = ("tfp-flows", "tensorflow", "tensorflow-probability", "tf-keras", "numpy")
    return {package: _version(package) for package in packages}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
