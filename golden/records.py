"""The claim of a golden check, and its result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

from trueband.properties.results.verdict import Verdict


class CannotRun(Exception):
    """A golden that cannot be computed here; the text says why, and what to do about it."""


@dataclass(frozen=True)
class Outcome:
    """The result of one comparison, described by its worst value.

    Attributes:
        detail: one line for a reader.
        value, expected: at the worst place; texts where whole texts are compared.
        error, tolerance: those of numbers; None for texts.
    """

    passed: bool
    detail: str
    value: float | str | None = None
    expected: float | str | None = None
    error: float | None = None
    tolerance: float | None = None

    @classmethod
    def of(cls, verdict: Verdict) -> Self:
        return cls(verdict.passed, str(verdict), verdict.value, verdict.expected, verdict.error, verdict.bound)

    @classmethod
    def same_text(cls, value: str, expected: str, what: str) -> Self:
        """Texts must agree in every letter."""
        if value == expected:
            return cls(True, f"{what}: all {len(expected)} letters agree", value, expected)
        places = [i for i, (a, b) in enumerate(zip(value, expected, strict=False)) if a != b]
        lengths = "" if len(value) == len(expected) else f", {len(value)} letters instead of {len(expected)}"
        return cls(False, f"{what}: {len(places)} letters differ, at {places[:5]}{lengths}", value, expected)

    @classmethod
    def worst(cls, verdicts: list[Verdict]) -> Self:
        """The verdict with the largest share of its bound, standing for all of them."""
        worst = max(verdicts, key=lambda verdict: (not verdict.passed, verdict.ratio))
        return cls.of(worst)


@dataclass(frozen=True)
class GoldenCheck:
    """A named claim about a witness.

    Attributes:
        name: stable, for reports and for choosing.
        claim: one line, what passing says.
        run: the comparison; gets the witness.
        form: the form of the witness, see `trueband.golden.witness`.
    """

    name: str
    claim: str
    run: Callable[[Callable[..., Any]], Outcome]
    form: str = "masked_lm"


@dataclass(frozen=True)
class GoldenRecord:
    """The result of a check, or of a golden, on one witness.

    Attributes:
        seconds: wall-clock time.
        kind: the kind of the golden (`trueband.golden.store.KINDS`), or "check".
        cannot_run: whether it could not be computed; `detail` then says why, and `passed` is False.
    """

    name: str
    claim: str
    witness: str
    passed: bool
    detail: str
    value: float | str | None
    expected: float | str | None
    error: float | None
    tolerance: float | None
    seconds: float
    kind: str = "check"
    cannot_run: bool = False

    @classmethod
    def of(
        cls,
        outcome: Outcome,
        name: str,
        claim: str,
        witness: str,
        seconds: float,
        kind: str = "check",
        cannot_run: bool = False,
    ) -> Self:
        """The record of an outcome."""
        return cls(name, claim, witness, **vars(outcome), seconds=seconds, kind=kind, cannot_run=cannot_run)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def record_of(name: str, claim: str, kind: str, witness: str, compute: Callable[[], Outcome]) -> GoldenRecord:
    """Computes an outcome; whatever happens becomes a record, and the run goes on.

    A witness that raises has failed; `CannotRun` is neither passed nor failed.
    """
    start = time.perf_counter()
    cannot_run = False
    try:
        outcome = compute()
    except CannotRun as reason:
        outcome, cannot_run = Outcome(False, f"cannot run: {reason}"), True
    except Exception as error:
        outcome = Outcome(False, f"raised {type(error).__name__}: {error}")
    seconds = time.perf_counter() - start
    return GoldenRecord.of(outcome, name, claim, witness, seconds, kind, cannot_run)
