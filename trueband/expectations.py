"""Which failures a run expects: those of a file that the user gives, or those of a shipped target."""

from __future__ import annotations

from pathlib import Path

from trueband.adapters import Named
from trueband.golden_run import golden_names
from trueband.properties.engine import select
from trueband.properties.expected_failures import ExpectedFailures
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.remote import RemoteRunner


def expected_failures(given: Path | None, named: Named) -> ExpectedFailures:
    """Of the file given, else of the named target, else none."""
    path = given or named.expected_failures
    return ExpectedFailures({}) if path is None else ExpectedFailures.from_file(path)


def known_names(suite: str, candidate: RemoteRunner | None) -> list[str]:
    """Names of the checks that a run of a suite may have."""
    names = list(select(None, candidate.features)) if candidate is not None else []
    if suite in ("models", "all"):
        names += MODEL_CHECKS
    return names + list(golden_names(None) if suite in ("golden", "all") else ())
