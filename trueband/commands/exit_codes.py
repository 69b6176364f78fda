"""Exit codes of the command line."""

from __future__ import annotations

from collections.abc import Sequence

from trueband.properties.results.record import Record

PASSED, FAILED, USAGE, CRASHED, CHEATING, NOTHING_RAN, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

MEANINGS = {
    PASSED: "all passed, or failed as expected",
    FAILED: "a check failed",
    USAGE: "wrong usage, or the target or the published weights cannot be loaded",
    CRASHED: "the target crashed, hung or ran out of memory, and no check failed otherwise",
    CHEATING: "the target was seen to cheat",
    NOTHING_RAN: "nothing ran",
    INTERRUPTED: "interrupted; what had finished is reported",
}


def of_records(records: Sequence[Record]) -> int:
    """The exit code that sums records up."""
    statuses = {record.status for record in records}
    if not statuses:
        return NOTHING_RAN
    if "cheating" in statuses:
        return CHEATING
    if "failed" in statuses:
        return FAILED
    return PASSED if statuses <= {"passed", "expected", "not asked"} else CRASHED
