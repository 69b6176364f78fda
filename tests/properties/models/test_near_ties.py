"""Where two choices of decoding are as good as each other, either may be written, and neither is evidence."""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any

import numpy as np
import pytest

from trueband.properties.models.beam_margins import least_margin
from trueband.properties.models.case import ModelCase
from trueband.properties.models.check import ModelProbe
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.weights import Weights
from trueband.properties.models.witness import ReferenceModels
from trueband.properties.running.search import Found, try_case
from trueband.reference.config import GenerationConfig, XLMRobertaConfig
from trueband.reference.decoding import Generated, rules_for
from trueband.reference.decoding_beams import beam_search, beam_steps
from trueband.witnesses.models import OptimizedModels

TOKENS = ("greedy_tokens", "beam_tokens", "cached_tokens", "one_beam_is_greedy")
TWINS = [7, 8]


class ZeroWeights(ModelCase):
    """All logits are equal."""

    @cached_property
    def state(self) -> Weights:
        return {name: np.zeros_like(array) for name, array in super().state.items()}


class TwinWords(ModelCase):
    """Two words are one, and so likely that nothing else is written."""

    @cached_property
    def state(self) -> Weights:
        words, bias = super().state["led.shared.weight"].copy(), super().state["final_logits_bias"].copy()
        words[TWINS[1]], bias[:, TWINS] = words[TWINS[0]], 50.0
        return super().state | {"led.shared.weight": words, "final_logits_bias": bias}


class OtherTwin(ReferenceModels):
    """Correct, as is any that prefers the second of two equal scores."""

    def generate(self, model: Model, inputs: Arrays, options: dict[str, Any], seed: int) -> Generated:
        written = super().generate(model, inputs, options, seed)
        return written._replace(sequences=np.where(written.sequences == TWINS[0], TWINS[1], written.sequences))


def tried(check: str, candidate: Any, case: ModelCase) -> Found:
    return Found.of(case, try_case(MODEL_CHECKS[check], candidate, case, ModelProbe))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("candidate", [ReferenceModels(), OptimizedModels()], ids=["reference", "optimized"])
@pytest.mark.parametrize("architecture", ["led", "xlm-roberta"])
@pytest.mark.parametrize("check", TOKENS)
def test_a_model_of_zeros_is_no_evidence(check: str, architecture: str, candidate: Any, seed: int) -> None:
    led: dict[str, Any] = {"windows": (2,), "target_tokens": 2, "target_masked": ((),)} if architecture == "led" else {}
    found = tried(check, candidate, ZeroWeights(architecture, tokens=4, seed=seed, dtype="float64", **led))
    assert found.failure is None
    assert found.status == "failed"
    assert found.message.startswith("expected evidence, got none")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("candidate", [ReferenceModels(), OtherTwin()], ids=["first", "second"])
@pytest.mark.parametrize("check", [*TOKENS, "constrained_tokens", "encoder_outputs", "best_beams"])
def test_either_of_two_equal_tokens_may_be_written(check: str, candidate: Any, seed: int) -> None:
    case = TwinWords("led", tokens=4, windows=(2,), target_tokens=2, target_masked=((),), seed=seed, dtype="float64")
    found = tried(check, candidate, case)
    assert found.failure is None
    assert found.skipped > 0 or check not in TOKENS


def test_a_token_that_is_worse_is_an_alarm_behind_a_tie_too() -> None:
    class WorseAtLast(OtherTwin):
        def generate(self, model: Model, inputs: Arrays, options: dict[str, Any], seed: int) -> Generated:
            written = super().generate(model, inputs, options, seed)
            written.sequences[:, -1] = 9
            return written

    case = TwinWords("led", tokens=4, windows=(2,), target_tokens=2, target_masked=((),), dtype="float64")
    found = tried("greedy_tokens", WorseAtLast(), case)
    assert found.failure is not None
    assert "wrote 9 where 7 has a higher score" in found.failure.message


OPTIONS = [
    {"length_penalty": penalty, "early_stopping": stopping, "num_beams": beams}
    for penalty in (1.0, 0.0, 2.0, -1.0)
    for stopping in (True, False, "never")
    for beams in (2, 3)
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_errors_below_the_margin_change_no_search_and_larger_ones_do(options: dict[str, Any]) -> None:
    rules = rules_for(GenerationConfig(max_length=6, eos_token_id=2, **options), XLMRobertaConfig(), 1)
    changed = 0
    for seed in range(12):
        random = np.random.default_rng(seed)
        table = random.standard_normal((5, 5, 5))

        def logits(ids: Any, noise: float = 0.0, table: np.ndarray = table, seed: int = seed) -> np.ndarray:
            drawn = np.random.default_rng([seed, *ids]).choice([-1.0, 1.0], 5)
            return table[ids[-1] % 5, ids[len(ids) // 2] % 5] + noise * drawn

        steps = beam_steps(logits, [0], rules)
        margin = least_margin(steps, rules)
        right = [beam.ids for beam in beam_search(logits, [0], rules)]
        # A logit that is off by e moves its log-probability by 2 e at most.
        for share, larger in ((0.49, False), (100.0, True)):
            noisy = partial(logits, noise=share * margin)
            found = [beam.ids for beam in beam_search(noisy, [0], rules)]
            if larger:
                changed += found != right
            else:
                assert found == right
    assert changed >= 3


@pytest.mark.parametrize("candidate", [ReferenceModels(), OptimizedModels()], ids=["reference", "optimized"])
def test_the_margins_of_a_row_are_those_of_its_prompt_in_the_batch(candidate: Any) -> None:
    """Another row begins with the start token, so that none is put in front of this one."""
    case = ModelCase(
        architecture="led",
        tokens=5,
        batch=3,
        layers=1,
        heads=2,
        windows=(1,),
        masked=((0, 1, 2), (3, 4), (3, 4)),
        global_=((3, 4), (0, 4), (0,)),
        target_tokens=1,
        target_masked=((), (), ()),
        seed=36875,
        dtype="float64",
        head="lm",
        causal=False,
    )
    found = tried("constrained_tokens", candidate, case)
    assert (found.status, found.evidence > 0) == ("passed", True), found.message
