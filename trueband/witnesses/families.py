"""Implementations that goldens are verified on, by name: the reference, the optimized one, or anybody's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trueband.golden.runners import Context
from trueband.golden.witness import REFERENCE, resolve

OPTIMIZED = {
    "masked_lm": "trueband.witnesses.golden_forms:optimized_masked_lm",
    "seq2seq": "trueband.witnesses.golden_forms:optimized_seq2seq",
    "attention": "trueband.witnesses.golden_forms:optimized_attention",
    "position_ids": "trueband.witnesses.golden_forms:optimized_position_ids",
    "peer": "trueband.witnesses.golden_forms:optimized_peer",
    "taps": "trueband.witnesses.taps:optimized_taps",
}
FAMILIES: dict[str, dict[str, Any]] = {"reference": REFERENCE, "optimized": OPTIMIZED}


def context_of(text: str, dtype: str | None = None) -> Context:
    """The implementation that a text names.

    Args:
        text: "reference", "optimized", "FORM=module:name" of one callable, or "module:name" of a mapping from forms to
            callables (`trueband.golden.witness` describes the forms).
        dtype: the dtype of the weights, see `Context`.

    Raises:
        ValueError: nothing of that name; an unknown form.
    """
    if text in FAMILIES:
        return Context(text, FAMILIES[text], dtype)
    form, equals, rest = text.partition("=")
    witnesses: Any = {form: resolve(rest)[1]} if equals else resolve(text)[1]
    if not isinstance(witnesses, Mapping):
        raise ValueError(
            f"--witness: expected a mapping from forms to callables at {text!r}, got {type(witnesses).__name__}; "
            f"a single callable is given as FORM={text}"
        )
    unknown = sorted(set(witnesses) - set(REFERENCE))
    if unknown:
        raise ValueError(f"--witness: expected the forms {', '.join(REFERENCE)}, got {', '.join(map(str, unknown))}")
    useless = [form for form, witness in witnesses.items() if not callable(witness) and not isinstance(witness, str)]
    if useless:
        raise ValueError(f"--witness: expected a callable for {useless[0]}, got {type(witnesses[useless[0]]).__name__}")
    return Context(text, witnesses, dtype)
