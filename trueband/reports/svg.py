"""Drawings as inline SVG. Colors are classes, so that the page's style knows dark mode and paper; color is
never the only sign: each kind of cell has a letter or a pattern, and each drawing a title and a description."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

MARGIN = 26
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Cell:
    """One cell of a grid: its class of the style sheet, and the text in it."""

    kind: str
    text: str = ""


def drawing(width: float, height: float, title: str, description: str, body: str) -> str:
    """An SVG element that shrinks with the page and describes what it shows."""
    number = next(_numbers)
    return (
        f'<svg role="img" aria-labelledby="t{number} d{number}" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}">'
        f'<title id="t{number}">{escape(title)}</title><desc id="d{number}">{escape(description)}</desc>{body}</svg>'
    )


def grid(
    rows: Sequence[Sequence[Cell]],
    row_names: Sequence[str],
    column_names: Sequence[str],
    axes: tuple[str, str],
    title: str,
    description: str,
) -> str:
    """Cells in rows and columns, with the names of the axes (rows, columns)."""
    columns = len(column_names)
    size = _cell_size(max(len(rows), columns))
    left, top = MARGIN + 20, MARGIN + 12
    shapes: dict[str, list[str]] = {}
    texts = []
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            x, y = left + j * size, top + i * size
            shapes.setdefault(cell.kind, []).append(f"M{x} {y}h{size}v{size}h-{size}z")
            if cell.text and size >= 14:
                fit = min(11.0, 1.5 * size / max(len(cell.text), 1))
                texts.append(_text(x + size / 2, y + size / 2, cell.text, f"on-{cell.kind}", size=fit))
    body = [f'<path class="{kind}" d="{"".join(parts)}"/>' for kind, parts in sorted(shapes.items(), key=_over)]
    body += texts
    step = 1 if size >= 14 else 4 if size >= 7 else 8
    body += [
        _text(left - 4, top + (i + 0.5) * size, name, "axis", "end")
        for i, name in enumerate(row_names)
        if i % step == 0
    ]
    body += [
        _text(left + (j + 0.5) * size, top - 7, name, "axis") for j, name in enumerate(column_names) if j % step == 0
    ]
    width, height = left + columns * size + 4, top + len(rows) * size + 4
    width = max(width, left + 7 * len(axes[1]))
    body.append(_text(left, 9, f"{axes[1]} →", "axis name", "start"))
    body.append(
        f'<text class="axis name" transform="translate(9 {top}) rotate(-90)" text-anchor="end">'
        f"← {escape(axes[0])}</text>"
    )
    return drawing(width, max(height, top + 6.5 * len(axes[0])), title, description, "".join(body))


def bars(
    counts: Mapping[str, int], alarms: Sequence[str], marks: Mapping[str, str], title: str, description: str
) -> str:
    """Counts on a logarithmic axis, a bar each; `marks` are the names written below the left edge of bars."""
    width, height, left, bottom = 8 * len(counts) + 50, 150, 40, 26
    top_exponent = max(1, len(str(max(counts.values(), default=1))))
    unit = (height - bottom - 12) / (top_exponent + 0.3)
    body = []
    for exponent in range(top_exponent + 1):
        y = height - bottom - (exponent + 0.3) * unit
        body.append(f'<path class="rule" d="M{left} {y:.1f}H{width - 8}"/>')
        body.append(_text(left - 4, y, f"{10**exponent:,}", "axis", "end"))
    shapes: dict[str, list[str]] = {"bar": [], "bar alarm": []}
    for i, (name, count) in enumerate(counts.items()):
        x = left + 2 + 8 * i
        if count:
            tall = (math.log10(count) + 0.3) * unit
            kind = "bar alarm" if name in alarms else "bar"
            shapes[kind].append(f"M{x} {height - bottom:g}h7v{-tall:.1f}h-7z")
        if name in marks:
            body.append(f'<path class="tick" d="M{x - 0.5} {height - bottom}v4"/>')
            body.append(_text(x, height - bottom + 11, marks[name], "axis", "start"))
    body += [f'<path class="{kind}" d="{"".join(parts)}"/>' for kind, parts in shapes.items() if parts]
    body.append(f'<path class="tick" d="M{left} {height - bottom}H{width - 8}"/>')
    return drawing(width, height, title, description, "".join(body))


def _text(x: float, y: float, text: str, kind: str, anchor: str = "middle", size: float | None = None) -> str:
    style = "" if size is None else f' style="font-size:{size:.1f}px"'
    return (
        f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}" dominant-baseline="central"{style}>'
        f"{escape(text)}</text>"
    )


def _over(shape: tuple[str, list[str]]) -> bool:
    """Cells with a strong outline lie over the others."""
    return shape[0] == "missing"


def _cell_size(cells: int) -> int:
    return 26 if cells <= 8 else 18 if cells <= 16 else 9 if cells <= 32 else 5


def swatch(cell: Cell) -> str:
    """One cell, for a legend beside its meaning."""
    text = _text(8, 8, cell.text, f"on-{cell.kind}", size=9 if len(cell.text) < 2 else 6.5)
    return f'<svg viewBox="0 0 16 16" aria-hidden="true"><path class="{cell.kind}" d="M1 1h14v14h-14z"/>{text}</svg>'
