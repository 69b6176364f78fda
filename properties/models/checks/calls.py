"""A check of calling a model twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.results.verdict import Verdict, judge_exact


@model_check("the same call of the same model gives the same, bit for bit", needs=["deterministic"])
def check_deterministic(probe: ModelProbe) -> Iterator[Verdict]:
    """Exact with deterministic, which is declared; no other model is held to it."""
    first, again = probe.forward(), probe.forward()
    for name in ("encoder_hidden_states", "hidden_states"):
        for i, (tap, same) in enumerate(zip(first.get(name, []), again.get(name, []), strict=True)):
            yield _same(tap, same, f"{name}[{i}]")
    yield _same(first["logits"], again["logits"], "logits")


def _same(first: np.ndarray, again: np.ndarray, what: str) -> Verdict:
    verdict = judge_exact(again, first, what)
    note = "the same call again gave other bits; declare deterministic=False if that is intended"
    return verdict if verdict.passed else replace(verdict, note=note)
