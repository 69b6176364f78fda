"""Rows that attend every token are taken a few at a time: as many scores as the caches hold."""

from __future__ import annotations

import pytest

from trueband.optimized.attention.chunked import rows as chunked_rows
from trueband.optimized.attention.chunked.plan import Row
from trueband.optimized.attention.chunked.rows import row_blocks
from trueband.optimized.attention.chunked.tensors import Unit


@pytest.mark.parametrize(("scores", "expected"), [(1000, [5, 5, 2]), (1399, [6, 6]), (199, [1] * 12), (10**6, [12])])
def test_rows_at_a_time(scores: int, expected: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_rows, "most_scores", lambda: scores)
    two_heads = Unit(Row(0, slice(7, 107), None, None, None, None), slice(3, 5))
    found = list(row_blocks(12, two_heads))
    assert [some.stop - some.start for some in found] == expected
    assert [row for some in found for row in range(some.start, some.stop)] == list(range(12))
