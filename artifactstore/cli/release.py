"""The release of the installed distribution."""

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """The release as pip knows it, or a word that it was not installed."""
    try:
        return version("artifactstore")
    except PackageNotFoundError:
        return "(not installed)"
