"""Every golden of encoder-decoders passes on every witness, and rejects named wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trueband.golden import GoldenRecord, open_store
from trueband.golden.runners import FORMS
from trueband.golden.seq2seq_witness import reference_seq2seq

Masked = Callable[..., dict[str, Any]]
Run = Callable[..., GoldenRecord]
STORE = open_store()
SEQ2SEQ = [
    name
    for name in STORE
    if STORE.index[name]["file"].startswith("published/") and FORMS.get(STORE.golden(name).metadata.run) == "seq2seq"
]


@pytest.mark.evidence
@pytest.mark.parametrize("who", ["reference", "optimized"])
@pytest.mark.parametrize("name", SEQ2SEQ)
def test_both_witnesses_pass(outcome_of: Run, name: str, who: str) -> None:
    record = outcome_of(name, who)
    assert record.passed, record.detail


@pytest.mark.parametrize("name", [name for name in SEQ2SEQ if "first_logits" in name or "encoder_row0" in name])
def test_the_peer_passes(outcome_of: Run, name: str) -> None:
    record = outcome_of(name, "peer")
    assert record.passed, record.detail


# Wrong encoder-decoders: the reference's LED, with one thing wrong.


def narrow(config: dict[str, Any], *rest: Any) -> dict[str, Any]:
    """One token on each side."""
    return reference_seq2seq(config | {"attention_window": 2}, *rest)


def swapped_seq2seq(config: dict[str, Any], state: dict[str, Any], *rest: Any) -> dict[str, Any]:
    """Keys and values of the global rows exchanged."""
    swap = {".key_global.": ".value_global.", ".value_global.": ".key_global."}
    named = {}
    for name, array in state.items():
        part = next((part for part in swap if part in name), None)
        named[name if part is None else name.replace(part, swap[part])] = array
    return reference_seq2seq(config, named, *rest)


def offset_kept(config: dict[str, Any], state: dict[str, Any], *rest: Any) -> dict[str, Any]:
    """BART's two rows left in front of the tables of positions."""
    moved = {k: np.roll(v, 2, axis=0) if "embed_positions" in k else v for k, v in state.items()}
    return reference_seq2seq(config, moved, *rest)


WRONG: dict[str, Masked] = {
    "window of one token": narrow,
    "key_global and value_global swapped": swapped_seq2seq,
    "offset kept": offset_kept,
}
REJECTED_BY = {
    **{name: ["offset kept"] for name in SEQ2SEQ if name.startswith("bart_")},
    "bart_g2p_encoder_row0": ["offset kept", "window of one token"],
    "bart_g2p_first_logits": ["offset kept", "window of one token"],
    **{name: ["offset kept", "key_global and value_global swapped"] for name in SEQ2SEQ if "all_global" in name},
    **{name: ["offset kept", "key_global and value_global swapped"] for name in SEQ2SEQ if "first_global" in name},
    "sapiens_led_window_256_no_globals": ["offset kept", "window of one token"],
    "sapiens_led_window_256_two_globals": ["offset kept", "window of one token"],
}


CASES = [(name, fault) for name, faults in REJECTED_BY.items() for fault in faults]


@pytest.mark.parametrize(("name", "fault"), CASES)
def test_wrong_encoder_decoders_are_rejected(outcome_of: Run, name: str, fault: str) -> None:
    record = outcome_of(name, {"seq2seq": WRONG[fault]}, fault)
    assert not record.passed
    assert not record.cannot_run
    assert "raised" not in record.detail  # rejected for its numbers, not for a crash


def test_every_golden_has_a_wrong_witness() -> None:
    assert set(REJECTED_BY) == set(SEQ2SEQ)
    assert {fault for faults in REJECTED_BY.values() for fault in faults} == set(WRONG)
