"""Which Herald this is."""

from importlib.metadata import PackageNotFoundError, version


def herald_version(distribution: str = "herald") -> str:
    """The installed version; of a checkout that was never installed nobody knows."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
