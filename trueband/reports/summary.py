"""The parts that all reports share: the verdict in a line, and the order of failures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trueband.properties.results.record import Record, without_answer


def smallest_first(records: Iterable[Record]) -> list[Record]:
    """Failures, a cheat before others, then those of the fewest tokens."""
    return sorted(records, key=lambda record: (record.status != "cheating", (record.case or {}).get("tokens", 0)))


def headline(records: Sequence[Record], planned: int = 0) -> str:
    """The verdict in one line.

    Args:
        planned: how many checks should have run, where that is known.
    """
    if not records:
        return "nothing ran"
    failed = sum(not record.passed for record in records)
    expected, left = (sum(record.status == status for record in records) for status in ("expected", "not asked"))
    cases, seconds = sum(record.cases for record in records), sum(record.seconds for record in records)
    unrun = max(planned - len(records), 0)
    passed = f"{'' if expected or left or unrun else 'all '}{len(records) - expected - left} checks passed"
    verdict = f"{failed} of {len(records)} checks FAILED{without_answer(records)}" if failed else passed
    verdict += f", {expected} failed as expected" if expected and not failed else ""
    verdict += (
        f", {left} not asked (no case within what the target declares to take, or all took too much)" if left else ""
    )
    verdict += f", {unrun} of {planned} did not run" if unrun else ""
    return f"{verdict}: {cases:,} cases in {seconds:.0f} s"
