"""What a plan asks for, held against what has run: nothing is skipped, by whomever."""

from __future__ import annotations

from collections.abc import Sequence

from trueband.properties.results.record import Record
from trueband.properties.running.plan import Plan, steps


def unrun(plan: Plan, records: Sequence[Record]) -> list[Record]:
    """A failure for everything that a plan asks for and that has not run, or has passed without a case."""
    ran = {(record.check, record.dtype) for record in records if record.cases or record.status != "passed"}
    return [
        Record(
            suite="operator",
            check=check,
            claim="every check of the plan runs",
            target=plan.target,
            dtype=dtype,
            device=plan.device,
            status="failed",
            cases=0,
            seconds=0.0,
            message="expected at least one case, got none",
        )
        for check, dtype in dict.fromkeys((step.check, step.dtype) for step in steps(plan))
        if (check, dtype) not in ran
    ]
