"""Reads off its hidden states what a model has dropped, so that the reference can drop the same and give gradients.

One kind of dropout is on at a time, and one part of each layer of a stack is shown: it keeps the weights of the case.
Parts that drop of the same kind are silenced (their last dense layer is 0), so that a layer has a single unknown. What
a layer may give is then a list, one result for each pattern of kept elements, and the one nearest to its output shows
the pattern. All gradients follow, except those of the silenced dense layers, which depend on what was dropped there.

A result is linear in what is kept: those of all patterns are sums of those of single elements, which the reference's
own functions give. Shapes: b batch, n tokens, D hidden size, E elements of a pattern, P = 2^E patterns.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from trueband.properties.models.case import ModelCase
from trueband.properties.models.dropout_sites import Site, Stack, embeddings, stacks
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.training import with_rates
from trueband.reference.dropout import Keep, keep_all
from trueband.reference.encoder_vjp import attentions, band_attention
from trueband.reference.full_attention import visible_keys
from trueband.reference.layers import gelu
from trueband.reference.layers_vjp import layer_norm
from trueband.reference.led_encoder import EPS
from trueband.reference.led_vjp import led_attention

DAMPED = 0.25  # queries and features, so that no probability and no feature is too small to be seen
FEATURES = 8  # inside a feed-forward that are not 0, where they are dropped
SOMETHING, NOTHING = (
    1.5,
    -40.0,
)  # biases of features: of those that show, and of those that are 0 exactly


@dataclass(frozen=True)
class ShowingModel:
    """A model that shows what it drops at one site of each stack.

    Attributes:
        case: the case of the model.
        sites: its sites, all of one kind.
        p: the rate.
        model: the model with this rate, and with weights that show what it drops.
        unjudged: the names of the weights whose gradients depend on what is not shown.
    """

    case: ModelCase
    sites: list[Site]
    p: float
    model: Model
    unjudged: frozenset[str]

    @property
    def kind(self) -> str:
        return self.sites[0].kind

    @property
    def words(self) -> str:
        return " and ".join(site.words for site in self.sites)


@dataclass
class Masks:
    """The elements that were kept.

    Attributes:
        keep: the factors by place, as `reference.dropout` names it: 0, or 1 / (1 - p).
        next_best: the distance (b, n) of each hidden state of a stack but the first from the second nearest of its
            possible values.
    """

    keep: dict[str, np.ndarray] = field(default_factory=dict)
    next_best: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def __call__(self, place: str, kind: str, shape: tuple[int, ...]) -> Any:
        return self.keep.get(place, 1.0)

    def same(self, other: Masks) -> bool:
        return all(np.array_equal(mask, other.keep[place]) for place, mask in self.keep.items())


def showing_model(case: ModelCase, kind: str, p: float, random: np.random.Generator) -> ShowingModel:
    """Return a model with dropout of one kind at the rate p. The part of each stack that shows it is drawn."""
    state, unjudged, sites = dict(case.state), [], []
    for stack in stacks(case):
        parts = {"attention": len(stack.attentions), "hidden": len(stack.added)}.get(kind, 1)
        part = len(stack.added) - 1 if kind == "activation" else int(random.integers(parts))
        sites.append(Site(stack, part, kind))
        for i in range(case.layers):
            layer = stack.layers.format(i)
            for other in range(parts):
                name = f"{layer}{stack.added[other][0]}"
                if kind != "activation" and other != part:
                    state[f"{name}.weight"] = np.zeros_like(state[f"{name}.weight"])
                    state[f"{name}.bias"] = np.zeros_like(state[f"{name}.bias"])
                    unjudged += [f"{name}.weight", f"{name}.bias"]
            if kind == "attention":
                start = f"{layer}{stack.attentions[part][0]}".split("{}")[0]
                for name in [name for name in state if name.startswith(f"{start}q")]:
                    state[name] = DAMPED * state[name]
            elif kind == "activation":
                _silence_features(state, f"{layer}{stack.inner}")
    model = with_rates(case.model, **{kind: p}).with_state(state)
    return ShowingModel(case, sites, p, model, frozenset(unjudged))


def masks_of(showing: ShowingModel, inputs: Arrays, output: dict[str, Any]) -> Masks:
    """Return what a step with this output dropped; the output has the taps of all stacks."""
    masks = Masks()
    if showing.kind == "hidden":
        for place, tap in embeddings(showing.case).items():
            masks.keep[place] = (output[tap][0] != 0) / (1 - showing.p)
    for site in showing.sites:
        masks.next_best[site.stack.taps] = []
        for i, (entering, leaving) in enumerate(pairwise(output[site.stack.taps])):
            bits, rows, possible = _results(showing, site, i, entering, inputs, output)
            distance = np.where(possible, np.abs(rows - leaving[:, :, None]).max(axis=-1), np.inf)  # (b, n, P)
            order = np.argsort(distance, axis=-1)[..., :2]
            kept = bits[order[..., 0]] / (1 - showing.p)  # (b, n, E)
            if site.kind == "activation":
                kept = np.pad(kept, ((0, 0), (0, 0), (0, 2 * entering.shape[-1] - FEATURES)))
            masks.next_best[site.stack.taps].append(np.take_along_axis(distance, order[..., 1:], axis=-1)[..., 0])
            if site.kind == "attention":
                part = f"{site.stack.layers.format(i)}{site.stack.attentions[site.part][0]}"
                name = part.removesuffix(".{}").removesuffix(".{}_proj")
                batch, tokens, _ = kept.shape
                by_head = kept.reshape(batch, tokens, showing.case.heads, -1).swapaxes(1, 2)
                masks.keep |= {name: by_head, f"{name}_global": by_head}
            else:
                inner = f"{site.stack.layers.format(i)}{site.stack.inner}"
                masks.keep[site.place(i) if site.kind == "hidden" else inner] = kept
    return masks


def _results(
    showing: ShowingModel, site: Site, i: int, x: np.ndarray, inputs: Arrays, output: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return patterns (P, E) of 0 and 1, what leaves layer i under each, (b, n, P, D), and which may be, (b, n, P)."""
    stack, state = site.stack, showing.model.state
    layer = stack.layers.format(i)
    eps = EPS if showing.case.architecture == "led" else showing.case.config["layer_norm_eps"]

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        return np.asarray(x @ state[f"{layer}{name}.weight"].T + state[f"{layer}{name}.bias"])

    def inner(part: int, x: np.ndarray, keep: Keep = keep_all) -> np.ndarray:
        """Return what the last dense layer of a part reads."""
        if part < len(stack.attentions):
            return _context(showing, stack, i, part, x, inputs, output, keep)
        return np.asarray(gelu(dense(stack.inner, x)))

    bits = possible = np.empty(0)
    for part, (last, norm) in enumerate(stack.added):
        if part != site.part:
            silent = not state[f"{layer}{last}.weight"].any()
            x, _ = layer_norm(state, f"{layer}{norm}", x if silent else x + dense(last, inner(part, x)), eps)
            continue
        if site.kind == "hidden":
            every = dense(last, inner(part, x))
            bits = _patterns(every.shape[-1])
            added, seen = bits * every[:, :, None] / (1 - showing.p), np.ones(every.shape, dtype=bool)
        else:
            if site.kind == "attention":
                single = np.stack(
                    [inner(part, x, keep) for keep in _single(showing.case.heads, _keys(showing, site, x, inputs))],
                    axis=2,
                )  # (b, n, E, D)
            else:
                active = inner(part, x)
                single = active[:, :, None] * np.eye(active.shape[-1])[:FEATURES]
            bits, seen = _patterns(single.shape[2]), np.asarray(single.any(axis=-1))
            added = dense(last, np.einsum("pe,bned->bnpd", bits, single) / (1 - showing.p))
        possible = np.asarray((bits <= seen[:, :, None]).all(axis=-1))
        x, _ = layer_norm(state, f"{layer}{norm}", x[:, :, None] + added, eps)
    return bits, x, possible


def _context(
    showing: ShowingModel,
    stack: Stack,
    i: int,
    part: int,
    x: np.ndarray,
    inputs: Arrays,
    output: dict[str, Any],
    keep: Keep,
) -> np.ndarray:
    """Return the context, (b, n, D), of an attention of layer i that reads x."""
    case, state, config = showing.case, showing.model.state, showing.model.settings
    real = np.ones(x.shape[:2], dtype=bool)
    name = stack.layers.format(i).removesuffix(".")
    context: np.ndarray
    if case.architecture != "led":
        context, _ = attentions(state, config, i, name, inputs, real, keep)[part][1](x)
    elif stack.taps == "encoder_hidden_states":
        flagged = inputs["global_attention_mask"].astype(bool)
        inside = f"{name}.self_attn.longformer_self_attn"
        context, _ = band_attention(state, inside, case.heads, x, config.window(i), real, flagged, keep)
    else:
        keys = x if part == 0 else output["encoder_hidden_states"][-1]
        visible = visible_keys(np.ones(keys.shape[:2], dtype=bool), x.shape[1], causal=part == 0)
        context, _ = led_attention(
            state, f"{name}.{('self', 'encoder')[part]}_attn", case.heads, x, keys, visible, keep
        )
    return context


def _keys(showing: ShowingModel, site: Site, x: np.ndarray, inputs: Arrays) -> int:
    """Return how many keys an attention has, including those that a row does not see."""
    if site.stack.attentions[site.part][1] != "across":
        return x.shape[1]
    return inputs["input_ids" if showing.case.architecture == "led" else "encoder_hidden_states"].shape[1]


def _single(heads: int, keys: int) -> list[Keep]:
    """Return, for each key of each head, the mask that keeps it alone."""

    def only(head: int, key: int) -> Keep:
        def keep(place: str, kind: str, shape: tuple[int, ...]) -> Any:
            kept = np.zeros(shape)
            kept[:, head, :, key] = 1.0
            return kept

        return keep

    return [only(head, key) for head in range(heads) for key in range(keys)]


def _silence_features(state: Arrays, name: str) -> None:
    """Silence all but some features of a first dense layer, and move those away from 0."""
    weight, bias = DAMPED * state[f"{name}.weight"], np.abs(state[f"{name}.bias"]) + SOMETHING
    weight[FEATURES:], bias[FEATURES:] = 0.0, NOTHING
    state[f"{name}.weight"], state[f"{name}.bias"] = weight, bias


def _patterns(elements: int) -> np.ndarray:
    """Return all patterns of 0 and 1, (P, E)."""
    return np.array(list(itertools.product((0.0, 1.0), repeat=elements)))
