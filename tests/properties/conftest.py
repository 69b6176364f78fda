"""What tests of the checks share."""

from __future__ import annotations

from typing import Any

import pytest

from trueband.properties.cases import combinations
from trueband.properties.cases.covering import Row
from trueband.properties.cases.limits import Limits
from trueband.properties.cases.production import shapes as every
from trueband.properties.cases.shapes import Shape
from trueband.properties.running import plan, production

MODEST, MODEST_TOKENS = 30_000, 600  # pairs of a row and a key
MODEST_WORK = 2 * 340 * 340  # of a combination: such pairs, times heads and sequences


@pytest.fixture
def modest_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes and combinations of production that cost a dense kernel little; what is large has tests of its own."""

    def shapes(tier: str, limits: Limits) -> list[Shape]:
        return [shape for shape in every(tier, limits) if shape.pairs <= MODEST and shape.tokens <= MODEST_TOKENS]

    def design(*args: Any, **kwargs: Any) -> tuple[Row, ...]:
        rows = combinations.design(*args, **kwargs)
        return tuple(row for row in rows if row["tokens"] ** 2 * row["heads"] * row["batch"] <= MODEST_WORK)

    monkeypatch.setattr(plan, "shapes", shapes)
    for module in (plan, production):
        monkeypatch.setattr(module, "design", design)
