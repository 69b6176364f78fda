"""Reads what NVIDIA's compute-sanitizer prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

PREFIX = "========="
_SUMMARY = re.compile(r"(?:ERROR|RACECHECK) SUMMARY: (\d+) (?:errors?|hazards?)")
_PLACE = re.compile(r"^\s*(?:at|in) ([\w:<>$.~]+)")
_IGNORED = ("COMPUTE-SANITIZER", "ERROR SUMMARY", "RACECHECK SUMMARY", "Target application", "LEAK SUMMARY")


@dataclass(frozen=True)
class Found:
    """One thing that was found.

    Attributes:
        kind: the first line of it. kernel: where, "" if the report does not say.
    """

    kind: str
    kernel: str


@dataclass(frozen=True)
class Report:
    """A report.

    Attributes:
        errors: how many it counts; None: it did not come to its end.
        found: each that is described; of many alike the tool describes the first hundred.
    """

    errors: int | None
    found: tuple[Found, ...]


def parse(text: str) -> Report:
    """Read the text of a report, among which the program itself may have printed."""
    lines = [line.removeprefix(PREFIX) for line in text.splitlines() if line.startswith(PREFIX)]
    counted = [int(match[1]) for line in lines if (match := _SUMMARY.search(line))]
    return Report(counted[-1] if counted else None, tuple(_found(lines)))


def _found(lines: list[str]) -> Iterator[Found]:
    """A description begins with one blank behind the prefix, what belongs to it has more; a bare line ends it."""
    kind = kernel = ""
    for line in [*lines, ""]:
        text = line.strip()
        begins = line.startswith(" ") and not line.startswith("  ") and not text.startswith(_IGNORED)
        if begins or not text:
            if kind:
                yield Found(kind, kernel)
            kind, kernel = (text, _kernel_of_race(text)) if begins else ("", "")
        elif kind and not kernel and (match := _PLACE.match(line)):
            kernel = match[1]


def _kernel_of_race(text: str) -> str:
    match = re.search(r"\baccess at (\w+)", text)
    return match[1] if match else ""
