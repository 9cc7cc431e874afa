"""Which Herald this is."""

from importlib.metadata import PackageNotFoundError, version


def herald_version() -> str:
    """The installed version; of a checkout that was never installed nobody knows."""
    try:
        return version("herald")
    except PackageNotFoundError:
        return "unknown"
