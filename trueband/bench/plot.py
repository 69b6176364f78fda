"""Time and memory against length, both axes logarithmic, as an SVG file of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from trueband.bench.contenders import CEILING, NAMES
from trueband.bench.measure import Measurement
from trueband.bench.table import seconds, size

WIDTH, HEIGHT = 330, 230  # of one picture, without its margins
LEFT, TOP, BOTTOM, GAP, LEGEND = 62, 34, 40, 74, 130
COLORS = ("#0b6bcb", "#6b7280", "#c2410c", "#15803d", "#7e22ce", "#a16207", "#be185d", "#0f766e")
MARKERS = ("circle", "square", "triangle", "diamond")
STYLE = """<style>text{font:11px sans-serif;fill:#1f2937}.name{font-weight:bold}.rule{stroke:#d1d5db}
.line{fill:none;stroke-width:1.6}rect.paper{fill:#fff}</style>"""

Points = dict[str, list[tuple[int, float]]]


def plot(measurements: Sequence[Measurement]) -> str:
    """An SVG document: a row for each level, pass and window that was measured at two lengths or more.

    Raises:
        ValueError: no such row.
    """
    rows = [some for some in _groups(measurements) if len({measurement.shape.tokens for measurement in some}) > 1]
    if not rows:
        raise ValueError("--plot: expected at least two lengths with --tokens, got fewer that could be measured")
    width = LEFT + 2 * WIDTH + GAP + LEGEND
    high = TOP + HEIGHT + BOTTOM
    body = [_row(some, number * high) for number, some in enumerate(rows)]
    title = "Time and extra memory against length"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {high * len(rows)}" '
        f'width="{width}" height="{high * len(rows)}"><title>{title}</title>{STYLE}'
        f'<rect class="paper" width="100%" height="100%"/>{"".join(body)}</svg>\n'
    )


def _groups(measurements: Sequence[Measurement]) -> list[list[Measurement]]:
    groups: dict[object, list[Measurement]] = {}
    for measurement in measurements:
        if measurement.measured:
            groups.setdefault(measurement.shape.group, []).append(measurement)
    return list(groups.values())


def _row(measurements: Sequence[Measurement], top: float) -> str:
    """Draw two pictures beside each other, and the legend."""
    shape = measurements[0].shape
    padding = f", {shape.padding:.0%} padding" if shape.padding else ""
    where = f"{shape.level} {shape.passes}, window {shape.window}{padding}"
    times = _points(measurements, lambda measurement: measurement.median)
    memories = _points(
        [measurement for measurement in measurements if measurement.contender != CEILING],
        lambda measurement: measurement.memory,
    )
    body = [
        _picture(times, LEFT, top + TOP, f"time: {where}", seconds),
        _picture(memories, LEFT + WIDTH + GAP, top + TOP, "memory beyond the inputs", size),
    ]
    x, y = LEFT + 2 * WIDTH + GAP + 16, top + TOP + 8
    for number, name in enumerate(times):
        color, marker = _look(name)
        body.append(f'<path class="line" stroke="{color}" d="M{x} {y + 18 * number}h22"/>')
        body.append(_marker(marker, x + 11, y + 18 * number, color))
        body.append(f'<text x="{x + 28}" y="{y + 18 * number + 4}">{escape(name)}</text>')
    return "".join(body)


def _points(measurements: Sequence[Measurement], value: Callable[[Measurement], float | None]) -> Points:
    points: Points = {}
    for measurement in measurements:
        point = value(measurement)
        if point:
            points.setdefault(measurement.contender, []).append((measurement.shape.tokens, point))
    return points


def _picture(points: Points, left: float, top: float, title: str, unit: Callable[[float], str]) -> str:
    lengths = sorted({tokens for line in points.values() for tokens, _ in line})
    costs = [cost for line in points.values() for _, cost in line]
    if not costs:
        return ""
    low, high = math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs)))
    high = max(high, low + 1)
    first, last = math.log2(lengths[0]), max(math.log2(lengths[-1]), math.log2(lengths[0]) + 1)

    def place(tokens: float, cost: float) -> tuple[float, float]:
        across = (math.log2(tokens) - first) / (last - first)
        up = (math.log10(cost) - low) / (high - low)
        return left + 10 + across * (WIDTH - 20), top + HEIGHT * (1 - up)

    body = [f'<text class="name" x="{left:g}" y="{top - 12:g}">{escape(title)}</text>']
    for power in range(low, high + 1):
        y = place(lengths[0], 10.0**power)[1]
        body.append(f'<path class="rule" d="M{left:g} {y:.1f}h{WIDTH}"/>')
        body.append(f'<text x="{left - 6:g}" y="{y + 4:.1f}" text-anchor="end">{unit(10.0**power)}</text>')
    for tokens in lengths:
        x = place(tokens, 10.0**low)[0]
        body.append(f'<path class="rule" d="M{x:.1f} {top + HEIGHT:g}v5"/>')
        body.append(f'<text x="{x:.1f}" y="{top + HEIGHT + 17:g}" text-anchor="middle">{_short(tokens)}</text>')
    body.append(f'<text x="{left + WIDTH / 2:g}" y="{top + HEIGHT + 32:g}" text-anchor="middle">tokens</text>')
    for name, line in points.items():
        color, marker = _look(name)
        places = [place(tokens, cost) for tokens, cost in sorted(line)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        dashes = ' stroke-dasharray="4 3"' if name == CEILING else ""
        body.append(f'<path class="line" stroke="{color}"{dashes} d="M{path}"/>')
        body += [_marker(marker, x, y, color) for x, y in places]
    return "".join(body)


def _short(tokens: int) -> str:
    return f"{tokens // 1024}k" if tokens % 1024 == 0 else f"{tokens}"


def _look(name: str) -> tuple[str, str]:
    """Color and marker of a contender: the same in every picture. Color is never the only sign."""
    number = NAMES.index(name)
    return COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]


def _marker(kind: str, x: float, y: float, color: str) -> str:
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" fill="{color}"/>'
    outline = {
        "square": "m-3 -3h6v6h-6z",
        "triangle": "m0 -4.2l3.8 7h-7.6z",
        "diamond": "m0 -4.4l4 4.4l-4 4.4l-4 -4.4z",
    }
    return f'<path fill="{color}" d="M{x:.1f} {y:.1f}{outline[kind]}"/>'
