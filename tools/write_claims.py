"""Writes docs/claims.md: what every check claims, how it is judged, and why that holds on every machine.

`python tools/write_claims.py` from the checkout. The texts are those of the checks and of the seeded faults.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from trueband.golden.runners import RUNNERS
from trueband.golden.runners.checks import CHECKS as GOLDEN_CHECKS
from trueband.properties.candidate.target import FEATURES
from trueband.properties.checks import CHECKS
from trueband.properties.faults.catalog import catalog
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.running.plan import SMALL_WORLD, SMALL_WORLD_CLAIM

PAGE = Path(__file__).resolve().parents[1] / "docs" / "claims.md"
DECLARED = ("deterministic", "deterministic_gradients", "batch_invariant")
HEAD = """\
# What the checks claim, and why it holds on every machine

This page is written by `python tools/write_claims.py` from the checks themselves.

A check may say only what is true of every correct kernel on every machine. Three kinds of claims are:

- **Exact**: a theorem. What is compared is stored and not computed, or is the same in any order of summation: a product
  with 0, a sum of NaN, a count that is read off only where the bound tells one from the next, an error that is raised.
- **Bounded**: two numbers that are equal in exact arithmetic, or one and the reference's. They are judged by the bound
  computed for the case, for two results by the sum of both bounds.
- **Exact with a feature**: two results of one kernel that are equal in exact arithmetic, and whose bits are the same
  if the kernel is what it declares to be. Without the feature they are judged by the bounds of both.

Whether two calls give the same bits is a property of the machine as much as of the kernel. A matrix product may be
summed in another order at another address (MKL does so on processors that are not Intel's), for another shape, at
another place in its tile, or by another thread; all of these are right. So nobody is held to bits without having
declared:

"""


def page() -> str:
    """The whole page."""
    features = "".join(f"- `{name}`: {FEATURES[name]}.\n" for name in DECLARED)
    said = (
        "\nA plain callable declares the first two; a `trueband.Target` with features of its own declares what it"
        "\nnames. A failure bit for bit says what was compared, and what to declare if the difference is meant.\n"
    )
    operator = [
        (SMALL_WORLD, SMALL_WORLD_CLAIM, CHECKS["mask_decoding"].argument),
        *((name, one.claim, one.argument) for name, one in CHECKS.items()),
    ]
    models = [(name, one.claim, one.argument) for name, one in MODEL_CHECKS.items()]
    golden = [(one.name, one.claim, _argument(one.run)) for one in GOLDEN_CHECKS]
    runners = [(name, "what was published is met", _argument(function)) for name, function in RUNNERS.items()]
    return "".join(
        [
            HEAD,
            features,
            said,
            "\n## Checks of kernels\n\n",
            *_table(operator, "operator"),
            "\n## Checks of models\n\n",
            *_table(models, "model"),
            "\n## Checks on published weights\n\n",
            *_table(golden),
            "\n## Published outputs, by how they are computed\n\n",
            *_table(runners),
        ]
    )


def _argument(function: Callable[..., Any]) -> str:
    return inspect.getdoc(function) or ""


def _table(rows: Iterable[tuple[str, str, str]], faults_of: str = "") -> Iterator[str]:
    """Args:
    faults_of: "operator" or "model": a column names a seeded fault that each check must reject.
    """
    proofs = _proofs(faults_of) if faults_of else {}
    heads = ["check", "claims", "why it holds", *(["a fault that it must reject"] if faults_of else [])]
    yield f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}\n"
    for row in rows:
        cells = [*row, *([proofs.get(row[0], "")] if faults_of else [])]
        yield "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |\n"


def _proofs(faults_of: str) -> dict[str, str]:
    """A seeded fault of each check, those first that are seeded for it above all."""
    found: dict[str, str] = {}
    entries = [entry for entry in catalog().values() if entry.name.startswith("model:") == (faults_of == "model")]
    for entry in sorted(entries, key=lambda entry: len(entry.killed_by)):
        for check in entry.killed_by:
            found.setdefault(check, f"`{entry.name}`: {entry.story}")
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
