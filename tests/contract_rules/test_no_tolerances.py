"""No hand-set tolerance anywhere, in the package or in its tests: numbers are compared by a computed bound, or exactly.

Numbers that were published with few digits are the one exception; they are compared by name with the tolerance of
their printed digits, which needs none of the functions below.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

KEYWORDS = {"atol", "rtol", "abs_tol", "rel_tol"}
FUNCTIONS = {
    "allclose",
    "approx",
    "assert_allclose",
    "assert_almost_equal",
    "assert_array_almost_equal",
    "assert_close",
    "isclose",
}

OWN = {"golden.assert_close", "recording.assert_close"}  # of the fixture `golden`: judged by the golden's own bound


def tolerances(source: str) -> list[str]:
    """Comparisons within a tolerance that a source makes: "line: what"."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) not in OWN:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = [keyword.arg for keyword in node.keywords if keyword.arg in KEYWORDS]
            found += [f"{node.lineno}: {what}" for what in ([name] if name in FUNCTIONS else given)]
    return found


def test_no_source_compares_within_a_tolerance(sources: dict[str, Path]) -> None:
    tests = Path(__file__).resolve().parents[1]
    paths = [*sources.values(), *tests.rglob("*.py")]
    assert Path(__file__) in [path.resolve() for path in paths]
    assert [f"{path}:{line}" for path in paths for line in tolerances(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "source",
    [
        "np.allclose(a, b)",
        "torch.testing.assert_close(a, b)",
        "assert a == pytest.approx(b)",
        "from math import isclose\nisclose(a, b)",
        "same(a, b, atol=1e-6)",
    ],
)
def test_a_tolerance_is_seen(source: str) -> None:
    assert len(tolerances(source)) == 1
