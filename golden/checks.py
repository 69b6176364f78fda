"""All golden checks, and the one function that runs them on witnesses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from trueband.golden import checks_bart, checks_longformer, checks_sapiens, checks_tiny
from trueband.golden.bart_g2p import load_bart_g2p
from trueband.golden.records import GoldenCheck, GoldenRecord, Outcome
from trueband.golden.sapiens import load_sapiens
from trueband.golden.seq2seq_witness import REFERENCE_SEQ2SEQ
from trueband.golden.witness import REFERENCE_ATTENTION, REFERENCE_MASKED_LM, resolve

MASKED_LM_CHECKS: tuple[GoldenCheck, ...] = checks_sapiens.CHECKS + checks_longformer.CHECKS
SEQ2SEQ_CHECKS: tuple[GoldenCheck, ...] = checks_bart.CHECKS
ATTENTION_CHECKS: tuple[GoldenCheck, ...] = checks_tiny.CHECKS
ALL_CHECKS = (*MASKED_LM_CHECKS, *SEQ2SEQ_CHECKS, *ATTENTION_CHECKS)

Witness = str | Callable[..., Any]
Progress = Callable[[GoldenRecord], None]


def run_golden_checks(
    witnesses: Sequence[Witness] = (REFERENCE_MASKED_LM,),
    attention_witnesses: Sequence[Witness] = (REFERENCE_ATTENTION,),
    progress: Progress | None = None,
    names: Iterable[str] | None = None,
    seq2seq_witnesses: Sequence[Witness] = (REFERENCE_SEQ2SEQ,),
) -> Iterator[GoldenRecord]:
    """Runs the golden checks, witness by witness.

    Args:
        witnesses: masked language models (`trueband.golden.witness`), objects or "module:name".
        attention_witnesses: operators, likewise.
        progress: called with every record as it is made.
        names: of the checks to run; None: all.
        seq2seq_witnesses: encoder-decoders (`trueband.golden.seq2seq_witness`), likewise.

    Yields:
        One record for each check and witness. A witness that raises has failed the check.

    Raises:
        ValueError: an unknown check, an import string that leads nowhere.
        GoldenDataError: the weights cannot be had.
    """
    known = {check.name for check in ALL_CHECKS}
    chosen = known if names is None else set(names)
    if chosen - known:
        raise ValueError(f"names: expected names of golden checks, got {sorted(chosen - known)}")
    groups = (
        ([resolve(witness) for witness in witnesses], MASKED_LM_CHECKS),
        ([resolve(witness) for witness in seq2seq_witnesses], SEQ2SEQ_CHECKS),
        ([resolve(witness) for witness in attention_witnesses], ATTENTION_CHECKS),
    )
    if witnesses and any(check.name in chosen for check in MASKED_LM_CHECKS):
        load_sapiens()
    if seq2seq_witnesses and any(check.name in chosen for check in SEQ2SEQ_CHECKS):
        load_sapiens()
        load_bart_g2p()
    return _records(groups, chosen, progress)


def _records(
    groups: Iterable[tuple[list[tuple[str, Callable[..., Any]]], tuple[GoldenCheck, ...]]],
    chosen: set[str],
    progress: Progress | None,
) -> Iterator[GoldenRecord]:
    for named_witnesses, checks in groups:
        for name, witness in named_witnesses:
            for check in checks:
                if check.name in chosen:
                    record = run_check(check, name, witness)
                    if progress is not None:
                        progress(record)
                    yield record


def run_check(check: GoldenCheck, name: str, witness: Callable[..., Any]) -> GoldenRecord:
    """One check on one witness, under a name for the report."""
    start = time.perf_counter()
    try:
        outcome = check.run(witness)
    except Exception as error:  # whatever a witness raises is its failure, and the run goes on
        outcome = Outcome(False, f"raised {type(error).__name__}: {error}")
    return GoldenRecord(
        name=check.name, claim=check.claim, witness=name, passed=outcome.passed, detail=outcome.detail,
        value=outcome.value, expected=outcome.expected, error=outcome.error, tolerance=outcome.tolerance,
        seconds=time.perf_counter() - start,
    )  # fmt: skip
