"""Package data: files that travel in the wheel."""

from __future__ import annotations

from importlib import resources

from qanat.ground.errors import ConfigurationError


def read_text(package: str, name: str) -> str:
    """Return a text file of ``qanat.<package>``; raises ConfigurationError when there is none of that name."""
    try:
        return (resources.files("qanat") / package.replace(".", "/") / name).read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise ConfigurationError(f"no {name!r} is packaged in qanat.{package}") from None


def list_names(package: str, suffix: str) -> list[str]:
    """Return the names, without suffix, of the packaged files that end in ``suffix``, sorted."""
    folder = resources.files("qanat") / package.replace(".", "/")
    return sorted(item.name.removesuffix(suffix) for item in folder.iterdir() if item.name.endswith(suffix))
