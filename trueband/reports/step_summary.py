"""The summary of a step of GitHub Actions: a table in Markdown, appended to the file that GITHUB_STEP_SUMMARY names."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from trueband.properties.results.record import Record
from trueband.reports.summary import headline, smallest_first

VARIABLE = "GITHUB_STEP_SUMMARY"
SHOWN = 20  # the platform shows no more than 1 MiB


def append_step_summary(records: Sequence[Record], target: str, planned: int = 0) -> None:
    """Append the summary where the variable is set. A file that cannot be written changes no verdict."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(step_summary(records, target, planned))
    except OSError as error:
        print(f"trueband: {VARIABLE}: expected a file to append to, got {error}", file=sys.stderr)


def step_summary(records: Sequence[Record], target: str, planned: int = 0) -> str:
    """Failures first, each with its line to reproduce; then the counts by suite and dtype."""
    failed = smallest_first(record for record in records if not record.passed)
    lines = [
        f"### {'❌' if failed or not records else '✅'} trueband: `{target}`",
        "",
        f"{headline(records, planned)}.",
        "",
    ]
    if failed:
        lines += ["| failed | what is wrong in the smallest case |", "|---|---|"]
        lines += [f"| {record.check} [{record.dtype}] | {_cell(record.message)} |" for record in failed[:SHOWN]]
        if len(failed) > SHOWN:
            lines.append(f"| … | {len(failed) - SHOWN} more |")
        again = [record.reproduce for record in failed[:SHOWN] if record.reproduce]
        lines += ["", "```sh", *again, "```", ""] if again else [""]
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.suite, record.dtype if record.suite != "golden" else record.target), []).append(
            record
        )
    lines += [
        "| suite | dtype | passed | failed | as expected | cases | largest error/bound |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for (suite, dtype), group in groups.items():
        passed, wrong = sum(r.status == "passed" for r in group), sum(not r.passed for r in group)
        lines.append(
            f"| {suite} | {dtype} | {passed} | {wrong} | {len(group) - passed - wrong} "
            f"| {sum(r.cases for r in group):,} | {max(r.worst for r in group):.2g} |"
        )
    return "\n".join(lines) + "\n\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
