"""Versions of what results depend on."""

import importlib.metadata
import platform
from collections.abc import Iterable

__all__ = ["versions_of"]


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Versions of Python and of packages by name; ``not installed`` where one is not."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
