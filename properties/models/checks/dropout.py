"""Checks of dropout. A model that is right fails one of them with a probability of 2^-60: they are exact tails."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from trueband.properties.bounds.bound import Bound
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.stochastic import MISSED
from trueband.properties.checks.check import claim
from trueband.properties.models.case import ModelCase
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.checks.training import step_inputs
from trueband.properties.models.dropout_masks import Masks, masks_of, showing_model
from trueband.properties.models.dropout_sites import Kept, embedded, kept_at, model_showing, sites
from trueband.properties.models.model import Arrays
from trueband.properties.models.taps import judge_all
from trueband.properties.models.training import (
    Expected,
    Regime,
    Trained,
    judge_gradients,
    judge_loss,
    with_rates,
)
from trueband.properties.results.verdict import Verdict, judge, judge_exact, no_evidence

RATES = (0.25, 0.5, 0.375)  # of dropout
STEPS = 4  # whose elements are counted together
SITES = 4  # of a case
SHOWN = ("counts", "totals")
NEEDS = ("gradients", "dropout")


@model_check(
    "dropout changes nothing in evaluation, and with a seed nothing from call to call",
    dtypes=("float32",),
    needs=[*NEEDS, "deterministic"],
)
def check_dropout_seeds(probe: ModelProbe) -> Iterator[Verdict]:
    """Exact with deterministic: the same draws, the same bits. Bounded: evaluation, by the reference. Another seed, and
    the next batch under the same one, drop other elements but for a probability that is less than 2^-60."""
    case, p = whole(probe.case), RATES[probe.case.seed % len(RATES)]
    inputs, model = step_inputs(case), with_rates(case.model, p, p, p)
    batch = [(inputs, 1.0)]
    yield from judge_all(case, inputs, probe.train(model, batch, Regime(training=False, backward=False)).outputs[0])
    first, again = (probe.train(model, batch * n, Regime(seed=1, backward=False)) for n in (2, 1))
    other = probe.train(model, batch, Regime(seed=2, backward=False))
    yield judge_exact(again.outputs[0]["logits"], first.outputs[0]["logits"], "logits with the same seed")
    kept = [output["hidden_states"][0] != 0 for output in (*first.outputs, other.outputs[0])]
    for which, another in (("of the next batch", kept[1]), ("of another seed", kept[2])):
        both = np.stack([kept[0], another])
        yield _pairs_differ(both, np.ones(both.shape), 0, 1 - p, f"embeddings {which}")


@model_check(
    "the embeddings are dropped behind their LayerNorm, at the rate asked for, and scaled to keep their mean",
    dtypes=("float32",),
    needs=NEEDS,
)
def check_embedding_dropout(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: what is kept is 1 / (1 - p) times the reference's. The number kept is binomial, and the mean over steps
    within Hoeffding's bound, each but for a probability of 2^-60."""
    case, p = whole(probe.case), RATES[probe.case.seed % len(RATES)]
    inputs, precision = step_inputs(case), Precision.of(case.dtype)
    model, regime = with_rates(case.model, hidden=p), Regime(seed=case.seed, backward=False)
    outputs = probe.train(model, [(inputs, 1.0)] * STEPS, regime).outputs
    for tap, right in embedded(case, inputs).items():
        states = np.stack([output[tap][0] for output in outputs])
        kept = states != 0
        bound = (right.bound(precision).total + precision.accumulator * np.abs(right.value)) / (1 - p)
        scaled, place = right.value / (1 - p), f"{tap}[0]"
        yield judge(
            states,
            np.where(kept, scaled, 0.0),
            Bound({"scaled": np.broadcast_to(bound, states.shape)}),
            f"{place}, kept elements",
        )
        yield judge_count(int(kept.sum()), kept.size, 1 - p, place)
        mean = float((states / right.value).mean())  # of numbers from 0 to 1 / (1 - p)
        away = math.sqrt(math.log(2 / MISSED) / (2 * states.size)) / (1 - p)
        yield judge(mean, 1.0, Bound({"Hoeffding": np.asarray(away)}), f"{place}, mean of kept / not dropped")
        for axis, what in enumerate(("steps", "rows of the batch", "tokens", "channels")):
            yield _pairs_differ(kept, np.ones(kept.shape), axis, 1 - p, f"{place} of two {what}")


@model_check(
    "every layer drops where the published models do, at the rate that was asked for, and each on its own",
    dtypes=("float32",),
    needs=NEEDS,
)
def check_dropout_sites(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: with weights that show what is dropped, a layer gives one of the results that there may be, by the
    reference. The number kept is binomial, and two layers, rows or heads that are independent do not keep the same,
    each but for a probability of 2^-60."""
    whole_case, p = whole(probe.case), RATES[probe.case.seed % len(RATES)]
    places = sites(whole_case)
    for i in probe.random.permutation(len(places))[:SITES]:
        site = places[i]
        # 2^8 patterns inside a feed-forward, not 2^16
        case = whole_case.replace(heads=1) if site.kind == "activation" else whole_case
        inputs, model = _whole_inputs(case), model_showing(case, site, p)
        trained = probe.train(model, [(inputs, 1.0)], Regime(seed=case.seed, backward=False))
        layers = kept_at(case, site, model, inputs, trained.outputs[0], p)
        yield from (kept.verdict for kept in layers)
        total, counts = sum(kept.totals.sum() for kept in layers), sum(kept.counts.sum() for kept in layers)
        yield judge_count(int(counts), int(total), 1 - p, site.words)
        yield from _independent(layers, site.words, 1 - p)


@model_check(
    "gradients are those of the elements that were kept, at every place of dropout, with checkpointing too",
    dtypes=("float32",),
    needs=NEEDS,
)
def check_dropout_gradients(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: with weights under which the hidden states tell what was kept at one place of each layer, and no other
    dropout of its kind in the way, the reference keeps the same: hidden states, the loss and the gradients follow.
    Where two patterns of what was kept may have given the same within the bound, nothing is judged. Not seen: places of
    two kinds that drop in the same step."""
    case, p = readable(probe), RATES[probe.case.seed % len(RATES)]
    inputs = _whole_inputs(case)
    kinds = ("hidden", "attention", "activation")[: 3 if case.architecture == "led" else 2]
    again = kinds[int(probe.random.integers(len(kinds)))] if probe.has("checkpointing") else ""
    for kind in kinds:
        showing = showing_model(case, kind, p, probe.random)
        before: tuple[Masks, Expected] | None = None
        for checkpointing in (False, True) if kind == again else (False,):
            suffix = f", dropout {showing.words}{' and checkpointing' if checkpointing else ''}"
            trained = probe.train(showing.model, [(inputs, 1.0)], Regime(seed=case.seed, checkpointing=checkpointing))
            masks = masks_of(showing, inputs, trained.outputs[0])
            if before is not None and before[0].same(masks):
                expected = before[1]
            else:
                expected = Expected.of(case, inputs, showing.model, masks)
            before = masks, expected
            yield from judge_dropped(case, expected, masks, trained, suffix, showing.unjudged)


def judge_dropped(
    case: ModelCase, expected: Expected, masks: Masks, trained: Trained, suffix: str, unjudged: Collection[str]
) -> Iterator[Verdict]:
    """Judge a step against the reference's with the same masks, which were read off the step's own output."""
    output, clear = trained.outputs[0], True
    for tap, states in (
        ("encoder_hidden_states", expected.step.encoder_hidden_states),
        ("hidden_states", expected.step.hidden_states),
    ):
        for i, state in enumerate(states or ()):
            bound = expected.bound_of(state)
            yield judge(output[tap][i], expected.value(state), bound, f"{tap}[{i}]{suffix}, nearest possible value")
            if i and tap in masks.next_best:
                clear &= bool((masks.next_best[tap][i - 1] > 2 * bound.total.max(axis=-1)).all())
    if not clear:
        yield no_evidence(f"gradients{suffix}")
        return
    yield judge_loss(expected, output, suffix)
    yield from judge_gradients(case, expected, trained, what=suffix, unjudged=unjudged)


def readable(probe: ModelProbe) -> ModelCase:
    """Return the case with few keys, channels and layers, so that few patterns are possible, and without padding."""
    case = probe.case
    led = case.architecture == "led"
    windows = tuple(1 + (window + i) % 3 for i, window in enumerate((*case.windows, *case.windows)[:2]))
    small = case.replace(
        tokens=min(max(case.tokens, 4), 7),
        heads=1,
        head_dim=8,
        batch=2,
        layers=2,
        masked=((), ()),
        pruned=(),
        windows=(1,) if case.architecture == "xlm-roberta" else windows,
        **({"target_tokens": 5, "target_masked": ()} if led else {}),
    )
    fit = getattr(probe.candidate, "fit", None)
    small = small if fit is None else fit(small)
    flagged = (*case.global_, *case.global_)[:2]
    return small.replace(global_=tuple(tuple(j for j in row if j < small.tokens) for row in flagged))


def whole(case: ModelCase) -> ModelCase:
    """Return the case with enough to count: no padding, at least two rows and layers, no pruned heads."""
    batch, layers = max(case.batch, 2), max(case.layers, 2)
    spread: dict[str, Any] = {"windows": tuple(case.windows[i % len(case.windows)] for i in range(layers))}
    if case.architecture == "led":
        spread |= {"target_tokens": 5, "target_masked": ()}
    elif case.architecture == "xlm-roberta":
        spread = {"pruned": ()}
    tokens = min(max(case.tokens, 6), 8) if case.architecture != "longformer" else max(case.tokens, 6)
    flagged = tuple(case.global_[i % len(case.global_)] for i in range(batch))
    flagged = tuple(tuple(j for j in row if j < tokens) for row in flagged)
    return case.replace(
        batch=batch, layers=layers, tokens=tokens, masked=((),) * batch, global_=flagged, heads=2, **spread
    )


def _whole_inputs(case: ModelCase) -> Arrays:
    """Return the inputs with no token of an encoder masked."""
    inputs = step_inputs(case)
    if "encoder_attention_mask" in inputs:
        inputs["encoder_attention_mask"] = np.ones_like(inputs["encoder_attention_mask"])
    return inputs


def judge_count(kept: int, total: int, rate: float, what: str) -> Verdict:
    """Judge how many of `total` elements are kept, each independently with the probability `rate`."""
    below, above = binomial_tails(kept, total, rate)
    message = f"{what}: expected about {rate * total:.0f} of {total} elements to be kept, got {kept}"
    return claim(min(below, above) >= MISSED, message)


def binomial_tails(kept: int, total: int, rate: float) -> tuple[float, float]:
    """Return P(at most `kept`) and P(at least `kept`)."""

    def term(k: int) -> float:
        choices = math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
        return math.exp(choices + k * math.log(rate) + (total - k) * math.log1p(-rate))

    return math.fsum(map(term, range(kept + 1))), math.fsum(map(term, range(kept, total + 1)))


def _independent(layers: list[Kept], what: str, rate: float) -> Iterator[Verdict]:
    """Judge that layers, rows of the batch, tokens and groups of channels drop independently."""
    counts, totals = (np.array([getattr(kept, name) for kept in layers]) for name in SHOWN)
    for axis, kind in enumerate(("layers", "rows of the batch", "tokens", "heads or channels")):
        yield _pairs_differ(counts, totals, axis, rate, f"{what} in two {kind}")


def _pairs_differ(counts: np.ndarray, totals: np.ndarray, axis: int, rate: float, what: str) -> Verdict:
    """Judge that first and second along an axis, third and fourth, and so on, do not all keep the same, where that is
    unlikely enough. Only pairs with the same number of elements are compared."""
    counts, totals = (np.moveaxis(array, axis, 0) for array in (counts, totals))
    pairs = len(counts) // 2 * 2
    first, second, of_first, of_second = counts[0:pairs:2], counts[1:pairs:2], totals[0:pairs:2], totals[1:pairs:2]
    alike = of_first == of_second
    sizes, times = np.unique(of_first[alike], return_counts=True)
    unlikely = sum(n * math.log2(_same_count(int(size), rate)) for size, n in zip(sizes, times, strict=True))
    same = bool((first == second)[alike].all())
    return claim(
        not (same and unlikely < math.log2(MISSED)), f"{what}: expected other elements to be dropped, got the same"
    )


def _same_count(total: int, rate: float) -> float:
    """Return the probability that two groups of `total` elements keep the same number."""
    pmf = [math.comb(total, k) * rate**k * (1 - rate) ** (total - k) for k in range(total + 1)]
    return math.fsum(probability**2 for probability in pmf)
