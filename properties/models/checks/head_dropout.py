"""A check of dropout in the heads of classifiers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from trueband.properties.models.case import HEADS, ModelCase
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.checks.dropout import NEEDS, RATES, judge_count
from trueband.properties.models.checks.heads import with_head
from trueband.properties.models.dropout_sites import embeddings, stacks
from trueband.properties.models.head_inputs import head_inputs, labels
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.training import Expected, Regime, judge_gradients, judge_loss, rates, with_rates
from trueband.properties.results.verdict import Verdict, judge, no_evidence
from trueband.reference.led_heads import last_end

ROWS = 6  # of the batch, whose elements are counted together


@model_check(
    "the head of a classifier drops what it reads, and what is inside it, at its own rate, in training only; "
    "gradients are those of what was kept",
    dtypes=("float32",),
    needs=NEEDS,
)
def check_head_dropout(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: logits tell what was kept, as few elements give few results, and the reference keeps the same. Where two
    patterns are within the bound, no gradient is judged. The number kept is binomial, but for a probability of 2^-60.
    Where a configuration has no rate for its classifier, it is that of the hidden states; a rate of 0 is one."""
    case = _small(probe)
    inputs = {**head_inputs(case), **labels(case)}
    model, rate, unjudged = _with_rate(case, RATES[case.seed % 2], probe.random)
    suffix = f", dropout {rate:g} in the head {case.head}"
    evaluated = probe.train(model, [(inputs, 1.0)], Regime(training=False, backward=False)).outputs[0]
    expected = Expected.of(case, inputs, model)
    logits = expected.step.logits
    yield judge(
        evaluated["logits"], expected.value(logits), expected.bound_of(logits), f"logits{suffix}, in evaluation"
    )
    trained = probe.train(model, [(inputs, 1.0)], Regime(seed=case.seed))
    output = trained.outputs[0]
    keep, next_best = _kept(case, model.state, inputs, output, rate)
    masks = list(keep.values())
    if rates(model)["hidden"]:
        keep |= {place: (output[tap][0] != 0) / (1 - rates(model)["hidden"]) for place, tap in embeddings(case).items()}
    expected = Expected.of(case, inputs, model, lambda place, kind, shape: keep.get(place, 1.0))
    bound = expected.bound_of(expected.step.logits)
    yield judge(
        output["logits"], expected.value(expected.step.logits), bound, f"logits{suffix}, nearest possible value"
    )
    if rate:
        counted = sum(int((mask != 0).sum()) for mask in masks), sum(mask.size for mask in masks)
        yield judge_count(*counted, 1 - rate, f"head {case.head}")
    if not (next_best > 2 * bound.total.max()).all():
        yield no_evidence(f"gradients{suffix}")
        return
    yield judge_loss(expected, output, suffix)
    yield from judge_gradients(case, expected, trained, what=suffix, unjudged=unjudged)


def _small(probe: ModelProbe) -> ModelCase:
    """Return a case with a classifier of three classes, few channels and many rows."""
    case = probe.case
    dropping = [head for head in HEADS[case.architecture][1:] if head != "qa"]
    led = {"target_masked": (), "target_tokens": 3} if case.architecture == "led" else {}
    small = case.replace(
        tokens=min(max(case.tokens, 6), 8),
        batch=ROWS,
        layers=1,
        heads=1,
        windows=case.windows[:1],
        masked=((),) * ROWS,
        global_=((),) * ROWS,
        pruned=(),
        causal=False,
        encoder_tokens=0,
        seed=case.seed - case.seed % 3 + 2,
        **led,
    )
    small = getattr(probe.candidate, "fit", lambda case: case)(small)
    return with_head(small, dropping[case.seed // 3 % len(dropping)])


def _with_rate(case: ModelCase, p: float, random: np.random.Generator) -> tuple[Model, float, frozenset[str]]:
    """Return the model, the rate of its head, and the weights that cannot be judged: those of parts whose dropout is
    not seen, which are silenced."""
    own, unset = case.architecture != "longformer", case.architecture == "xlm-roberta"
    # The Hub's model for choices has the rate of the hidden states whatever its configuration says of classifiers.
    kind = int(random.integers(3 if unset else 2)) if own and case.head != "choice" else 2
    if kind == 0:  # of its own, and nothing else drops
        return with_rates(case.model).with_config(classifier_dropout=p), p, frozenset()
    state, silenced = dict(case.state), []
    for stack in stacks(case):
        for i, (dense, _) in itertools.product(range(case.layers), stack.added):
            silenced += [f"{stack.layers.format(i)}{dense}.{part}" for part in ("weight", "bias")]
    state |= {name: np.zeros_like(state[name]) for name in silenced}
    model = with_rates(case.model, hidden=p).with_state(state)
    if own:  # 0 beside hidden states that drop, or none of its own
        model = model.with_config(classifier_dropout=0.0 if kind == 1 else None)
    return model, rates(model)["head"], frozenset(silenced)


def _kept(
    case: ModelCase, state: Arrays, inputs: Arrays, output: dict[str, Any], rate: float
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return what a head kept, by place, and the distance of its logits from the second nearest possible ones."""
    if not rate:
        return {}, np.array(np.inf)
    last, size = output["hidden_states"][-1], case.size
    bits = np.array(list(itertools.product((0.0, 1.0), repeat=size))) / (1 - rate)  # (P, D)

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        return np.asarray(x @ state[f"{name}.weight"].T + state[f"{name}.bias"])

    if case.head == "token":
        masks, results = [bits], dense("classifier", last[..., None, :] * bits)
        places = ["classifier"]
    elif case.head == "choice":
        pooled = np.tanh(dense(f"{case.prefix}pooler.dense", last[:, 0]))
        masks, results, places = [bits], dense("classifier", pooled[:, None] * bits), ["classifier"]
    else:
        led = case.architecture == "led"
        at = last_end(case.model.settings, inputs["input_ids"]) if led else [0] * len(last)
        name = "classification_head" if led else "classifier"
        first, second = np.repeat(bits, len(bits), axis=0), np.tile(bits, (len(bits), 1))
        inner = np.tanh(dense(f"{name}.dense", last[np.arange(len(last)), at][:, None] * first))
        masks, results = [first, second], dense(f"{name}.out_proj", inner * second)
        places = ["classifier", "classifier.dense"]
    logits = output["logits"].reshape(*results.shape[:-2], -1)
    distance = np.abs(results - logits[..., None, :]).max(axis=-1)
    order = np.argsort(distance, axis=-1)
    kept = {place: mask[order[..., 0]] for place, mask in zip(places, masks, strict=True)}
    return kept, np.take_along_axis(distance, order[..., 1:2], axis=-1)
