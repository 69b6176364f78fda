"""What tests of the checks share."""

from __future__ import annotations

import pytest

from trueband.properties.cases.limits import Limits
from trueband.properties.cases.production import shapes as every
from trueband.properties.cases.shapes import Shape
from trueband.properties.running import plan

MODEST = 30_000  # pairs of a row and a key


@pytest.fixture
def modest_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes of production that cost a dense kernel little; what is large has tests of its own."""

    def shapes(tier: str, limits: Limits) -> list[Shape]:
        return [shape for shape in every(tier, limits) if shape.pairs <= MODEST and shape.tokens <= 600]

    monkeypatch.setattr(plan, "shapes", shapes)
