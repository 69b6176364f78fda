"""Checks of decoding: the tokens that are written, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.witness import ReferenceModels
from trueband.properties.verdict import Verdict, judge_exact


@model_check("greedy decoding writes the reference's tokens", ("led",), ("float64",))
def check_greedy_tokens(probe: ModelProbe) -> Iterator[Verdict]:
    yield from _same_tokens(probe, max_length=9)


@model_check("beam search writes the reference's tokens, best first", ("led",), ("float64",))
def check_beam_tokens(probe: ModelProbe) -> Iterator[Verdict]:
    kind = probe.case.seed % 3
    yield from _same_tokens(
        probe,
        max_length=8,
        num_beams=2 + kind,
        num_return_sequences=2,
        length_penalty=(1.0, 2.0, 0.5)[kind],
        early_stopping=(False, True, "never")[kind],
    )


@model_check("lengths, repeated n-grams and repetition are constrained as in the reference", ("led",), ("float64",))
def check_constrained_tokens(probe: ModelProbe) -> Iterator[Verdict]:
    yield from _same_tokens(probe, max_length=10, min_length=5, no_repeat_ngram_size=2)
    yield from _same_tokens(probe, max_length=7, repetition_penalty=1.7, forced_bos_token_id=8, forced_eos_token_id=2)


@model_check("decoding with a cache writes the same tokens as without", ("led",), ("float64",))
def check_cached_tokens(probe: ModelProbe) -> Iterator[Verdict]:
    kinds: tuple[dict[str, Any], ...] = (
        {"max_length": 8},
        {"max_length": 6, "num_beams": 3, "num_return_sequences": 2},
    )
    for options in kinds:
        cached = probe.generate(probe.candidate, use_cache=True, **options)
        uncached = probe.generate(probe.candidate, use_cache=False, **options)
        yield _same(probe, cached, uncached, options)


def _same_tokens(probe: ModelProbe, **options: Any) -> Iterator[Verdict]:
    expected = probe.generate(ReferenceModels(), **options)
    computed = probe.generate(probe.candidate, **options)
    yield _same(probe, computed, expected, options)


def _same(probe: ModelProbe, computed: np.ndarray, expected: np.ndarray, options: dict[str, Any]) -> Verdict:
    """Token by token; the shorter is filled with padding on the right."""
    width, fill = max(computed.shape[1], expected.shape[1]), probe.case.pad_token_id
    computed, expected = (
        np.pad(ids, ((0, 0), (0, width - ids.shape[1])), constant_values=fill) for ids in (computed, expected)
    )
    return judge_exact(computed, expected, f"token written with {options}")
