"""The parts that all reports share: the verdict in a line, and the order of failures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trueband.properties.results.record import Record, without_answer


def smallest_first(records: Iterable[Record]) -> list[Record]:
    """Failures, a cheat before others, then those of the fewest tokens."""
    return sorted(records, key=lambda record: (record.status != "cheating", (record.case or {}).get("tokens", 0)))


def by_error(records: Iterable[Record]) -> list[list[Record]]:
    """Failures in their order; those that one error of the kernel ended stand together, where the first of them is."""
    groups: dict[object, list[Record]] = {}
    for record in records:
        groups.setdefault(record.raised_at or id(record), []).append(record)
    return list(groups.values())


def _hidden(records: Iterable[Record]) -> str:
    """ ", 44 of them by an error that another shows": errors count once."""
    again = sum(len(group) - 1 for group in by_error(record for record in records if not record.passed))
    return f", {again} of them by an error that another shows" if again else ""


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
    verdict = (
        f"{failed} of {len(records)} checks FAILED{without_answer(records)}{_hidden(records)}" if failed else passed
    )
    verdict += f", {expected} failed as expected" if expected and not failed else ""
    verdict += (
        f", {left} not asked (no case within what the target declares to take, or all took too much)" if left else ""
    )
    verdict += f", {unrun} of {planned} did not run" if unrun else ""
    return f"{verdict}: {cases:,} cases in {seconds:.0f} s"
