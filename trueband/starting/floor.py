"""The oldest versions of what the package needs, from its own metadata, compared with what is installed."""

from __future__ import annotations

import re
from importlib import metadata

_LOWEST = re.compile(r"([A-Za-z0-9_.-]+)\s*>=\s*([\d.]+)")


def too_old() -> str | None:
    """ "<package>: expected >= ..., got ...", each package that is too old; None: none is. Nothing is imported."""
    problems = []
    for requirement in _requirements():
        match = _LOWEST.match(requirement)
        if match is None or ";" in requirement:
            continue
        try:
            version = metadata.version(match[1])
        except metadata.PackageNotFoundError:  # its import says so
            continue
        if _numbers(version) < _numbers(match[2]):
            problems.append(f"{match[1]}: expected >= {match[2]}, got {version}")
    return "; ".join(problems) or None


def _requirements() -> list[str]:
    try:
        return metadata.requires("trueband") or []
    except metadata.PackageNotFoundError:  # imported from a folder, not installed
        return []


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a release, "2.6.0rc1+cpu" as 2.6.0, filled up so that 2.6 is 2.6.0."""
    release = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(digits) for digits in release[0].split(".")] if release else []
    return (*numbers, *[0] * (5 - len(numbers)))
