"""The tables of measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from rich.table import Table

from trueband.bench.contenders import CEILING, OURS, contender
from trueband.bench.measure import Measurement
from trueband.bench.shape import LEVELS, Shape
from trueband.reports.console import print_line, report_console

FROM_TOKENS = 4096  # exponents are of lengths from here on: shorter ones are mostly overhead


def print_tables(measurements: Sequence[Measurement]) -> None:
    """Print one table for each level and pass, with a legend, and then how the cost grows."""
    console = report_console()
    for (level, _), some in groupby(
        measurements, key=lambda measurement: (measurement.shape.level, measurement.shape.passes)
    ):
        rows = list(some)
        console.print(_table(rows))
        for name in dict.fromkeys(measurement.contender for measurement in rows):
            print_line(f"  {name}: {contender(level, name).story}")
        for line in [*_growth(rows), *_failures(rows)]:
            print_line(f"  {line}")
        print_line("")


def _table(measurements: Sequence[Measurement]) -> Table:
    shape = measurements[0].shape
    table = Table(title=_title(shape), title_justify="left", box=None, pad_edge=False)
    columns = ["window", "tokens", "contender", "time", "of ours", "spread", "memory", "of ours"]
    if shape.level == "generation":
        columns.insert(5, "tokens/s")
    for column in columns:
        table.add_column(column, no_wrap=True, justify="left" if column == "contender" else "right")
    for _, some in groupby(measurements, key=lambda measurement: measurement.shape):
        rows = list(some)
        ours = next(
            (measurement for measurement in rows if measurement.contender == OURS and measurement.measured), None
        )
        for number, measurement in enumerate(
            sorted(rows, key=lambda measurement: (measurement.contender != OURS, measurement.contender))
        ):
            place = [f"{measurement.shape.window}", _tokens(measurement.shape)] if number == 0 else ["", ""]
            cells = _cells(measurement, ours)
            if shape.level == "generation":
                cells.insert(2, f"{measurement.rate:.3g}" if measurement.measured else "")
            table.add_row(*place, measurement.contender, *cells, style="bold" if measurement.contender == OURS else "")
    return table


def _title(shape: Shape) -> str:
    sizes = f"{shape.batch} x {shape.heads} heads x {shape.head_dim}"
    return f"{shape.level}, {shape.passes}: {LEVELS[shape.level]}; {sizes}, {shape.dtype}"


def _tokens(shape: Shape) -> str:
    return f"{shape.tokens:,}" + (f" ({shape.padding:.0%} padding)" if shape.padding else "")


def _cells(measurement: Measurement, ours: Measurement | None) -> list[str]:
    """Time, its ratio to ours, its spread; memory, and its ratio."""
    if not measurement.measured:
        return [measurement.status, "", "", "", ""]
    spread = f"{seconds(min(measurement.seconds))} .. {seconds(max(measurement.seconds))}"
    time = [seconds(measurement.median), "" if ours is None else f"{measurement.median / ours.median:.3g} x", spread]
    if measurement.memory is None or measurement.contender == CEILING:
        return [*time, "", ""]
    known = ours is not None and ours.memory
    return [*time, size(measurement.memory), f"{measurement.memory / ours.memory:.3g} x" if known else ""]  # type: ignore[union-attr,operator]


def seconds(value: float) -> str:
    """Three digits and a unit."""
    if value >= 1:
        return f"{_digits(value)} s"
    return f"{_digits(value * 1e3)} ms" if value >= 1e-3 else f"{_digits(value * 1e6)} us"


def size(memory: float) -> str:
    """Three digits and a unit."""
    mebibytes = memory / 2**20
    return f"{_digits(mebibytes / 1024)} GiB" if mebibytes >= 1024 else f"{_digits(mebibytes)} MiB"


def _digits(value: float) -> str:
    """Three, without an exponent: 1000 and not 1e+03."""
    return f"{float(f'{value:.3g}'):g}"


def exponent(lengths: Sequence[int], costs: Sequence[float]) -> float:
    """Slope of log cost over log length, by least squares."""
    x, y = [math.log(length) for length in lengths], [math.log(cost) for cost in costs]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


def _growth(measurements: Sequence[Measurement]) -> list[str]:
    """Describe how our cost grows with the length, where at least two lengths were measured."""
    lines = []
    ours = [measurement for measurement in measurements if measurement.contender == OURS and measurement.measured]
    ours = [measurement for measurement in ours if measurement.shape.tokens >= FROM_TOKENS and measurement.memory]
    for _, some in groupby(ours, key=lambda measurement: measurement.shape.group):
        rows = list(some)
        if len(rows) > 1:
            lengths = [measurement.shape.tokens for measurement in rows]
            time = exponent(lengths, [measurement.median for measurement in rows])
            memory = exponent(lengths, [float(measurement.memory or 0) for measurement in rows])
            lines.append(
                f"{OURS}, window {rows[0].shape.window}: from {lengths[0]:,} to {lengths[-1]:,} tokens the time grows "
                f"as tokens^{time:.2f}, the memory as tokens^{memory:.2f}"
            )
    return lines


def _failures(measurements: Sequence[Measurement]) -> list[str]:
    return [
        f"{row.contender}, window {row.shape.window}, {row.shape.tokens:,} tokens: {row.status}: {row.message}"
        for row in measurements
        if not row.measured
    ]


def short_summary(measurements: Sequence[Measurement]) -> str:
    """One line for the progress: the medians."""
    parts = [
        f"{measurement.contender} {seconds(measurement.median) if measurement.measured else measurement.status}"
        for measurement in measurements
    ]
    return ", ".join(parts)
