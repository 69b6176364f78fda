"""Measurements from the files that `--json` wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from trueband.bench.measure import Measurement


def read_measurements(paths: Iterable[Path]) -> list[Measurement]:
    """Read all measurements, in the order of the files. Of one that was made twice, the last is kept.

    Raises:
        OSError: a file cannot be read.
        ValueError: it has no measurements, or a line that is none.
    """
    latest: dict[object, Measurement] = {}
    for path in paths:
        own = [_measurement(path, number, line) for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)]
        some = [measurement for measurement in own if measurement is not None]
        if not some:
            raise ValueError(f"--from: expected a file of measurements, got none in {path}")
        latest |= {(measurement.contender, measurement.shape): measurement for measurement in some}
    return list(latest.values())


def _measurement(path: Path, number: int, line: str) -> Measurement | None:
    """Read a line. Returns None for the head of a file."""
    try:
        values = json.loads(line)
        return None if values["record"] == "run" else Measurement.from_dict(values)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"--from: expected a line of trueband bench --json, got {path}, line {number}: {error!r}"
        ) from error
