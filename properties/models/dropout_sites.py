"""Makes visible where a model drops: with these weights a hidden state shows which elements were kept.

Everything that a layer adds to its residual stream is silenced (dense layers of 0), but for one place:

  hidden       the dense layer there gives its bias b: what is added is m_c b_c / (1 - p) for every channel c
  activation   the first dense layer gives its bias a: gelu(a_f) m_f / (1 - p) for every feature f
  attention    queries and keys are 0, every value is v: a row adds k / (n (1 - p)) v in each head, k of its n keys kept

What leaves the layer is what entered it and this, under LayerNorms that are known. So there are finitely many results,
one for each pattern of kept elements (or number of kept keys), and the computed one shows the pattern.
Shapes: b batch, n tokens, D hidden size, P patterns.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from trueband.properties.bounds.bound import Bound
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.stochastic import stochastic
from trueband.properties.models.case import ModelCase
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.training import with_rates
from trueband.properties.results.verdict import Verdict, judge
from trueband.reference.dropout import keep_all
from trueband.reference.encoder_vjp import embed
from trueband.reference.full_attention import visible_keys
from trueband.reference.layers import gelu
from trueband.reference.layers_vjp import layer_norm
from trueband.reference.led_encoder import EPS
from trueband.reference.led_vjp import led_embed
from trueband.reference.masks import visible_to_global_rows, visible_to_local_rows


@dataclass(frozen=True)
class Stack:
    """A stack of equal layers.

    Attributes:
        taps: the name of its hidden states among the outputs.
        layers: the prefix of the names of a layer, with a place for its number.
        added: for each part, in order, the names inside a layer of its dense layer and of its LayerNorm.
        attentions: for the first parts, their projections and what a row sees: "band", "full", "causal" or "across".
        inner: the name inside a layer of the first dense layer of the feed-forward.
    """

    taps: str
    layers: str
    added: tuple[tuple[str, str], ...]
    attentions: tuple[tuple[str, str], ...]
    inner: str


@dataclass(frozen=True)
class Site:
    """One place of dropout in each layer of a stack: a part of the layer, and a kind of `Dropout`."""

    stack: Stack
    part: int
    kind: str

    def dense(self, i: int) -> str:
        """Return the name of the dense layer that ends its part of layer i."""
        return f"{self.stack.layers.format(i)}{self.stack.added[self.part][0]}"

    def place(self, i: int) -> str:
        """Return the place behind that layer, as `reference.dropout` names it."""
        return self.dense(i).removesuffix(".dense")

    @property
    def words(self) -> str:
        dense = self.stack.added[self.part][0]
        what = {"hidden": f"behind {dense}", "activation": f"behind {self.stack.inner}"}
        name = "" if self.part >= len(self.stack.attentions) else self.stack.attentions[self.part][0]
        return what.get(self.kind, f"on the probabilities of {name}").replace(".{}_proj", "").replace(".{}", "")


def stacks(case: ModelCase) -> list[Stack]:
    """Return the stacks of a model."""
    if case.architecture == "led":
        feed, part = ("fc2", "final_layer_norm"), "self_attn.longformer_self_attn.{}"
        own, cross = "self_attn.{}_proj", "encoder_attn.{}_proj"
        return [
            Stack(
                "encoder_hidden_states",
                f"{case.prefix}encoder.layers.{{}}.",
                (("self_attn.output", "self_attn_layer_norm"), feed),
                ((part, "band"),),
                "fc1",
            ),
            Stack(
                "hidden_states",
                f"{case.prefix}decoder.layers.{{}}.",
                (
                    ("self_attn.out_proj", "self_attn_layer_norm"),
                    ("encoder_attn.out_proj", "encoder_attn_layer_norm"),
                    feed,
                ),
                ((own, "causal"), (cross, "across")),
                "fc1",
            ),
        ]
    added = [("attention.output.dense", "attention.output.LayerNorm"), ("output.dense", "output.LayerNorm")]
    attentions = [("attention.self.{}", "band" if case.architecture == "longformer" else "full")]
    if case.causal:
        attentions = [("attention.self.{}", "causal")]
    if case.encoder_tokens:
        added.insert(1, ("crossattention.output.dense", "crossattention.output.LayerNorm"))
        attentions.append(("crossattention.self.{}", "across"))
    layers = f"{case.prefix}encoder.layer.{{}}."
    return [Stack("hidden_states", layers, tuple(added), tuple(attentions), "intermediate.dense")]


def sites(case: ModelCase) -> list[Site]:
    """Return all sites but that of the embeddings."""
    places = []
    for stack in stacks(case):
        places += [Site(stack, part, "hidden") for part in range(len(stack.added))]
        places += [Site(stack, part, "attention") for part in range(len(stack.attentions))]
        if case.architecture == "led":
            places.append(Site(stack, len(stack.added) - 1, "activation"))
    return places


def embeddings(case: ModelCase) -> dict[str, str]:
    """Return the places of dropout in the embeddings, as `reference.dropout` names them, and taps that show them."""
    if case.architecture != "led":
        return {f"{case.prefix}embeddings": "hidden_states"}
    return {f"{case.prefix}encoder": "encoder_hidden_states", f"{case.prefix}decoder": "hidden_states"}


def embedded(case: ModelCase, inputs: Arrays) -> dict[str, Any]:
    """Return the `Stochastic` inputs of these places, by the taps that show them."""
    state, config = stochastic(case.state, case.seed), case.model.settings
    if case.architecture != "led":
        return {"hidden_states": embed(state, config, inputs, keep_all, case.prefix)[0]}
    return {
        tap: led_embed(state, config, case.prefix, side, {"input_ids": inputs[name]}, keep_all)[0]
        for tap, side, name in (
            ("encoder_hidden_states", "encoder", "input_ids"),
            ("hidden_states", "decoder", "decoder_input_ids"),
        )
    }


@dataclass(frozen=True)
class Kept:
    """The elements that were kept at a site in one layer.

    Attributes:
        verdict: the verdict that the layer gave one of the possible results.
        counts: how many elements of each distinguishable group were kept.
        totals: how many elements the groups have, broadcast to the counts.
    """

    verdict: Verdict
    counts: np.ndarray
    totals: np.ndarray


def model_showing(case: ModelCase, site: Site, p: float) -> Model:
    """Return a model of the case that drops at this place alone, and shows what it drops."""
    state = dict(case.state)
    for i in range(case.layers):
        layer = site.stack.layers.format(i)
        for dense, _ in site.stack.added:
            _fill(state, f"{layer}{dense}", None, 0.0)
        dense = f"{layer}{site.stack.added[site.part][0]}"
        if site.kind == "hidden":
            state[f"{dense}.bias"] = case.state[f"{dense}.bias"]
        elif site.kind == "activation":
            state[f"{dense}.weight"] = case.state[f"{dense}.weight"]
            _fill(state, f"{layer}{site.stack.inner}", None, case.state[f"{layer}{site.stack.inner}.bias"])
        else:
            state[f"{dense}.weight"] = np.eye(*state[f"{dense}.weight"].shape)
            part = f"{layer}{site.stack.attentions[site.part][0]}"
            for name in _projections(state, part):
                values = name.rsplit(".", 1)[-1].startswith("v")
                _fill(state, name, None, _value(case, part) if values else 0.0)
    model = with_rates(case.model, **{site.kind: p})
    return model.with_state(state)


def kept_at(case: ModelCase, site: Site, model: Model, inputs: Arrays, output: dict[str, Any], p: float) -> list[Kept]:
    """Read off the outputs of `model_showing` what was kept at the site in each layer."""
    kept_in_layers = []
    for i, (entering, leaving) in enumerate(pairwise(output[site.stack.taps])):
        layer = site.stack.layers.format(i)
        signals, counts, totals = _patterns(case, site, model.state, layer, inputs, entering.shape, p)
        rows = _leaving(case, site, model.state, layer, entering, signals)  # (b, n, P, D)
        distance = np.abs(rows - leaving[:, :, None]).max(axis=-1)
        best = np.argmin(np.where(_possible(counts, totals), distance, np.inf), axis=-1)  # (b, n)
        chosen = np.take_along_axis(np.broadcast_to(signals, rows.shape), best[..., None, None], axis=2)
        carried = stochastic({"x": entering, **model.state}, case.seed)
        right = _leaving(case, site, carried, layer, carried["x"], chosen)[:, :, 0]
        bound: Bound = right.bound(Precision.of(case.dtype))
        verdict = judge(leaving, right.value, bound, f"layer {i} that drops {site.words}: nearest possible result")
        groups = counts.shape[-1]
        of_rows = np.broadcast_to(counts, (*rows.shape[:3], groups))
        picked = np.take_along_axis(of_rows, best[..., None, None], axis=2)[:, :, 0]
        kept_in_layers.append(Kept(verdict, picked, np.broadcast_to(totals[:, :, 0], picked.shape)))
    return kept_in_layers


def _patterns(
    case: ModelCase, site: Site, state: Arrays, layer: str, inputs: Arrays, shape: tuple[int, ...], p: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the possible additions, (b or 1, n or 1, P, D), the kept elements of each group, and how many it has."""
    dense = f"{layer}{site.stack.added[site.part][0]}"
    size = shape[-1]
    if site.kind == "attention":
        keys = _keys(case, site, layer, inputs, shape)[:, :, None, None]  # (b, n, 1, 1)
        counts = np.array(list(itertools.product(range(int(keys.max()) + 1), repeat=case.heads)))[None, None]
        shares = np.repeat(counts / (keys * (1 - p)), size // case.heads, axis=-1)
        values = _value(case, f"{layer}{site.stack.attentions[site.part][0]}")
        return shares * values, counts, np.broadcast_to(keys, (*keys.shape[:3], case.heads))
    if site.kind == "hidden":
        bits = np.array(list(itertools.product((0, 1), repeat=size)))
        return (bits * state[f"{dense}.bias"] / (1 - p))[None, None], bits[None, None], np.ones((1, 1, 1, size))
    inner = gelu(state[f"{layer}{site.stack.inner}.bias"].astype(np.float64))
    bits = np.array(list(itertools.product((0, 1), repeat=len(inner))))
    added = (bits * inner / (1 - p)) @ state[f"{dense}.weight"].T
    return added[None, None], bits[None, None], np.ones((1, 1, 1, len(inner)))


def _possible(counts: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return (b, n, P): whether no group keeps more elements than it has."""
    return np.asarray((counts <= totals).all(axis=-1))


def _leaving(case: ModelCase, site: Site, state: Any, layer: str, x: Any, signals: np.ndarray) -> Any:
    """Return (b, n, P, D): what leaves the layer where the site adds these signals and everything else adds 0."""
    eps = EPS if case.architecture == "led" else case.config["layer_norm_eps"]
    x = x[:, :, None]
    for part, (_, norm) in enumerate(site.stack.added):
        x, _ = layer_norm(state, f"{layer}{norm}", x + signals if part == site.part else x, eps)
    return x


def _keys(case: ModelCase, site: Site, layer: str, inputs: Arrays, shape: tuple[int, ...]) -> np.ndarray:
    """Return (b, n): how many keys each row sees. There is no padding."""
    kind, (batch, tokens, _) = site.stack.attentions[site.part][1], shape
    real = np.ones((batch, tokens), dtype=bool)
    if kind == "band":
        i = int(layer.rstrip(".").rsplit(".", 1)[-1])
        flagged = inputs["global_attention_mask"].astype(bool)
        seen = visible_to_local_rows(real, flagged, case.windows[i], (1,), causal=False)
        return (seen | visible_to_global_rows(real, flagged, 1)).sum(axis=-1)[:, 0]
    if kind == "across":
        encoded = inputs["input_ids"] if case.architecture == "led" else inputs["encoder_hidden_states"]
        return np.full((batch, tokens), encoded.shape[1])
    return visible_keys(real, tokens, causal=kind == "causal").sum(axis=-1)


def _projections(state: Arrays, part: str) -> list[str]:
    """Return the names of the projections of an attention, including those of global tokens."""
    start = part.split("{}")[0]
    names = {name.rsplit(".", 1)[0] for name in state if name.startswith(start) and name.endswith(".bias")}
    return [
        name for name in sorted(names) if name[len(start) :].split("_")[0] in ("q", "k", "v", "query", "key", "value")
    ]


def _value(case: ModelCase, part: str) -> np.ndarray:
    """Return the value of every token: the case's bias for local tokens."""
    value = part.format("v" if part.endswith("_proj") else "value")
    return case.state[f"{value}.bias"]


def _fill(state: Arrays, name: str, weight: np.ndarray | None, bias: Any) -> None:
    """Set a dense layer to this bias and a weight of 0."""
    state[f"{name}.weight"] = np.zeros_like(state[f"{name}.weight"]) if weight is None else weight
    state[f"{name}.bias"] = np.broadcast_to(bias, state[f"{name}.bias"].shape).astype(np.float64)
