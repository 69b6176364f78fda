"""The file of results: JSON lines, each on disk as soon as it is known, and what they sum up to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

NAME = "results.jsonl"
DONE, FAILED, ERROR, CRASHED, LATE = "done", "failed", "error", "crashed", "out of time"
Line = dict[str, Any]


class Results:
    """A file that lines are added to.

    Each has the key `record`: "run" (what runs where, at the start of every run), "unit" (one unit that has ended),
    "part" (a part of a unit), "left" (units of a stage that were not begun).
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path

    def write(self, record: str, **values: Any) -> None:
        """Add a line."""
        line = json.dumps(plain({"record": record, **values}), separators=(",", ":"), allow_nan=False)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def plain(value: Any) -> Any:
    """What JSON knows: numbers that it does not know (inf, nan), and all else, become strings."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value if value is None or isinstance(value, str | int | float) else str(value)


def read(path: Path) -> list[Line]:
    """All lines that were written to their end."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]


def recorded(lines: Iterable[Line], rehearsed: bool) -> set[tuple[str, str]]:
    """(stage, unit) of all that have ended, in rehearsals or on devices."""
    kept, found = False, set()
    for line in lines:
        if line["record"] == "run":
            kept = line["rehearsed"] == rehearsed
        elif line["record"] == "unit" and kept:
            found.add((line["stage"], line["unit"]))
    return found


def table(lines: Iterable[Line]) -> list[str]:
    """One line for each unit, then what is left."""
    lines = list(lines)
    rows = [
        (line["stage"], line["unit"], line["status"], f"{line['seconds']:.1f} s", summary(line))
        for line in lines
        if line["record"] == "unit"
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    shown = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    ]
    left = [f"{line['stage']}: left {', '.join(line['units'])}" for line in lines if line["record"] == "left"]
    return shown + left


def summary(line: Line) -> str:
    """What a unit says of itself in a few words."""
    text = str(line.get("message") or line.get("summary") or "").strip()
    last = text.splitlines()[-1] if text else ""
    return last if len(last) <= 160 else last[:157] + "..."
