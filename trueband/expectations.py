"""Which failures a run expects: those of a file that the user gives, or those of a shipped target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trueband.adapters import Named
from trueband.golden_run import golden_names
from trueband.properties.engine import select
from trueband.properties.expected_failures import ExpectedFailures
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.remote import RemoteRunner

Expected = Mapping[str, Any] | str | Path | None


def expected_failures(given: Expected, named: Named) -> ExpectedFailures:
    """Of {check: reason} or the file given, else of the named target, else none."""
    if isinstance(given, Mapping):
        return ExpectedFailures(given, "expected_failures")
    path = named.expected_failures if given is None else Path(given)
    return ExpectedFailures({}) if path is None else ExpectedFailures.from_file(path)


def known_names(suite: str, candidate: RemoteRunner | None) -> list[str]:
    """Names of the checks that a run of a suite may have."""
    names = list(select(None, candidate.features)) if candidate is not None else []
    if suite in ("models", "all"):
        names += MODEL_CHECKS
    return names + list(golden_names(None) if suite in ("golden", "all") else ())
