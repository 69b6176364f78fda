"""The golden checks as records of a run: published weights, in the reference and in the optimized witness."""

from __future__ import annotations

from collections.abc import Iterator

from trueband.golden.bart_g2p import load_bart_g2p
from trueband.golden.checks import ALL_CHECKS, run_golden_checks
from trueband.golden.records import GoldenRecord
from trueband.golden.sapiens import load_sapiens
from trueband.golden.seq2seq_witness import REFERENCE_SEQ2SEQ
from trueband.golden.witness import REFERENCE_ATTENTION, REFERENCE_MASKED_LM
from trueband.properties.engine import matches
from trueband.properties.record import Record

WITNESSES = (REFERENCE_MASKED_LM, "trueband.witness:optimized_masked_lm")
SEQ2SEQ_WITNESSES = (REFERENCE_SEQ2SEQ, "trueband.witness_seq2seq:optimized_seq2seq")
ATTENTION_WITNESSES = (REFERENCE_ATTENTION, "trueband.witness:optimized_attention")


def golden_names(pattern: str | None) -> tuple[str, ...]:
    """Names of the golden checks that match; see `trueband.properties.engine.select`."""
    names = (check.name for check in ALL_CHECKS)
    return tuple(name for name in names if matches(pattern, name))


def load_weights() -> None:
    """Fetch the weights if they are not in the cache.

    Raises:
        GoldenDataError: they cannot be had, and what to do about it.
    """
    load_sapiens()
    load_bart_g2p()


def golden_records(names: tuple[str, ...]) -> Iterator[Record]:
    """Run golden checks by name on both witnesses."""
    for record in run_golden_checks(WITNESSES, ATTENTION_WITNESSES, names=names, seq2seq_witnesses=SEQ2SEQ_WITNESSES):
        yield _record(record)


def _record(record: GoldenRecord) -> Record:
    worst = record.error / record.tolerance if record.error and record.tolerance else 0.0
    reference = record.witness in (REFERENCE_MASKED_LM, REFERENCE_SEQ2SEQ, REFERENCE_ATTENTION)
    return Record(
        suite="golden",
        check=record.name,
        claim=record.claim,
        target=record.witness,
        dtype="float64" if reference else "float32",
        device="cpu",
        status="passed" if record.passed else "failed",
        cases=1,
        seconds=round(record.seconds, 3),
        worst=worst if record.passed else 0.0,
        message=record.detail,
    )
