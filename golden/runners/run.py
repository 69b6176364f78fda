"""Runs one golden on one implementation."""

from __future__ import annotations

from trueband.golden.at_hand import AT_HAND
from trueband.golden.judged import refuted
from trueband.golden.records import CannotRun, GoldenRecord, Outcome, record_of
from trueband.golden.registry import RUNNERS, Context
from trueband.golden.store import Golden


def run_golden(golden: Golden, context: Context) -> GoldenRecord:
    """Compute and judge; a golden that cannot run says why, and a witness that raises has failed."""
    metadata = golden.metadata
    return record_of(golden.id, metadata.claim, metadata.kind, context.name, lambda: _outcome(golden, context))


def obstacle(golden: Golden, with_directory: bool = False) -> str | None:
    """Why a golden cannot run from what is in the package and in wheels; None: it can.

    Args:
        with_directory: its checkpoint is in a folder that the user named.
    """
    metadata = golden.metadata
    if metadata.cannot_run is not None:
        return metadata.cannot_run
    if metadata.checkpoint is not None and metadata.checkpoint not in AT_HAND and not with_directory:
        return f"needs the checkpoint {metadata.checkpoint}: trueband golden verify --checkpoint DIR"
    if metadata.run not in RUNNERS:
        return f"no runner of the name {metadata.run!r} is here; known: {', '.join(sorted(RUNNERS))}"
    return None


def _outcome(golden: Golden, context: Context) -> Outcome:
    reason = obstacle(golden, "directory" in context.options)
    if reason is not None:
        raise CannotRun(reason)
    outcome = RUNNERS[golden.metadata.run](golden, context)
    return refuted(golden, outcome) if golden.metadata.kind == "superseded" else outcome
