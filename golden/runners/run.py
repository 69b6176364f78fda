"""One golden on one implementation: whatever happens becomes a record, and the run goes on."""

from __future__ import annotations

import time

from trueband.golden.judged import refuted
from trueband.golden.records import CannotRun, GoldenRecord, Outcome
from trueband.golden.runners.registry import RUNNERS, Context
from trueband.golden.store import Golden


def run_golden(golden: Golden, context: Context) -> GoldenRecord:
    """Compute and judge; a golden that cannot run says why, and a witness that raises has failed."""
    start = time.perf_counter()
    cannot_run = False
    try:
        outcome = _outcome(golden, context)
    except CannotRun as reason:
        outcome, cannot_run = Outcome(False, f"cannot run: {reason}"), True
    except Exception as error:  # whatever a witness raises is its failure
        outcome = Outcome(False, f"raised {type(error).__name__}: {error}")
    return GoldenRecord(
        name=golden.id, claim=golden.metadata.claim, witness=context.name, passed=outcome.passed,
        detail=outcome.detail, value=outcome.value, expected=outcome.expected, error=outcome.error,
        tolerance=outcome.tolerance, seconds=time.perf_counter() - start, kind=golden.metadata.kind,
        cannot_run=cannot_run,
    )  # fmt: skip


def _outcome(golden: Golden, context: Context) -> Outcome:
    told = golden.metadata
    if told.cannot_run is not None:
        raise CannotRun(told.cannot_run)
    if told.run not in RUNNERS:
        raise CannotRun(f"no runner of the name {told.run!r} is here; known: {', '.join(sorted(RUNNERS))}")
    outcome = RUNNERS[told.run](golden, context)
    return refuted(golden, outcome) if told.kind == "superseded" else outcome
