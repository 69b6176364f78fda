"""Checks of the models' other arguments: head masks, embeddings in place of ids, attentions, and bad input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from trueband.properties.bounds.bound import Bound
from trueband.properties.checks.check import claim
from trueband.properties.models.case import ModelCase
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.taps import judge_all
from trueband.properties.models.weights import Weights
from trueband.properties.results.verdict import Verdict, judge, judge_exact
from trueband.reference.layout import dense_to_compact
from trueband.reference.masks import visible_to_global_rows, visible_to_local_rows

# The value projections whose rows a head mask scales: keys with one of these parts.
VALUES: dict[str, dict[str, tuple[str, ...]]] = {
    "xlm-roberta": {"head_mask": ("attention.self.value.",)},
    "longformer": {"head_mask": ("attention.self.value.", "attention.self.value_global.")},
    "led": {
        "head_mask": ("longformer_self_attn.value.", "longformer_self_attn.value_global."),
        "decoder_head_mask": (".self_attn.v_proj.",),
        "cross_attn_head_mask": (".encoder_attn.v_proj.",),
    },
}


@model_check("a head mask of 0, 1/2 and 1 does what scaling the values of the heads does", dtypes=("float64",))
def check_head_masks(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: every tap is judged by the reference on scaled values, which powers of two scale without rounding."""
    case = probe.case
    for name, parts in VALUES[case.architecture].items():
        mask = np.array([0.0, 0.5, 1.0])[probe.random.integers(0, 3, (case.layers, case.heads))]
        scaled = scaled_values(case, case.state, parts, mask)
        for verdict in judge_all(case, case.inputs, probe.forward(**{name: mask}), scaled):
            yield replace(verdict, what=f"{verdict.what} with {name} {mask.tolist()}")


@model_check("embeddings of the ids in place of the ids are used as they are", dtypes=("float64",))
def check_inputs_embeds(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: every tap is judged by the reference on the same embeddings, which another run may round otherwise."""
    case = probe.case
    inputs = {name: array for name, array in case.inputs.items() if name != "input_ids"}
    inputs["inputs_embeds"] = case.words[case.inputs["input_ids"]]
    yield from judge_all(case, inputs, probe.forward_of(inputs))


@model_check(
    "attentions stand where the layout has them, and those of a row sum to 1", ("longformer", "led"), ("float64",)
)
def check_attentions(probe: ModelProbe) -> Iterator[Verdict]:
    """Exact where they stand: a probability is 0 just where nothing is attended, scores of this size never underflow.
    Bounded: their sums."""
    case = probe.case
    output = probe.forward_of({**case.inputs, "output_attentions": np.array(True)})
    is_global = case.flagged & case.real
    far = visible_to_global_rows(case.real, is_global, case.heads)
    dilations = (1,) * case.heads
    for i, (local, window) in enumerate(zip(output["attentions"], case.windows, strict=True)):
        near = visible_to_local_rows(case.real, is_global, window, dilations, causal=False)
        seen = dense_to_compact((near | far).astype(float), is_global, window, dilations)
        yield judge_exact(local > 0, seen.local > 0, f"attended in attentions of layer {i}")
        keys = seen.local.sum(axis=-1)
        rounding = Bound({"sum": (4 * keys + 8) * probe.precision.accumulator})
        yield judge(local.sum(axis=-1), (keys > 0).astype(float), rounding, f"sum of attentions of layer {i}")
        if is_global.any():
            rows = output["global_attentions"][i]
            yield judge_exact(rows > 0, seen.global_ > 0, f"attended in global_attentions of layer {i}")


@model_check("bad masks and too many tokens raise ValueError, and name the argument", dtypes=("float64",))
def check_rejects_bad_model_input(probe: ModelProbe) -> Iterator[Verdict]:
    """Exact: an error is raised before anything is computed."""
    case = probe.case
    batch, tokens = case.batch, case.tokens
    ones = np.ones((batch, tokens), dtype=np.int64)
    longer = np.full((batch, case.longest + 1), 7)
    bad: list[tuple[str, dict[str, np.ndarray]]] = [
        ("attention_mask", {"attention_mask": 2 * ones}),
        ("attention_mask", {"attention_mask": ones[:, :1]}),
        ("attention_mask", {"attention_mask": np.ones((batch + 1, tokens), dtype=np.int64)}),
    ]
    if case.architecture != "led":
        bad.append(("token_type_ids", {"token_type_ids": case.config["type_vocab_size"] * ones}))
    if case.encoder_tokens:
        threes = np.full((batch, case.encoder_tokens), 3)
        bad.append(("encoder_attention_mask", {"encoder_attention_mask": threes}))
    too_long = {"input_ids": longer, "attention_mask": np.ones_like(longer)}
    if case.architecture != "xlm-roberta":
        too_long["global_attention_mask"] = np.zeros_like(longer)
        bad.append(("global_attention_mask", {"global_attention_mask": -ones}))
        bad.append(("global_attention_mask", {"global_attention_mask": 0 * ones[:, :1]}))
    for argument, changes in [*bad, ("input_ids", too_long)]:
        try:
            probe.raw_forward({**case.inputs, **changes})
            said = "no error"
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        right = said.startswith("ValueError") and all(word in said for word in (argument, "expected", "got"))
        yield claim(right, f"bad {argument}: expected ValueError '{argument}: expected ..., got ...', got {said}")


def scaled_values(case: ModelCase, weights: Weights, parts: tuple[str, ...], mask: np.ndarray) -> Weights:
    """Multiply the rows of each head's value projection by the mask (layers, heads)."""
    state = dict(weights)
    for layer, factors in enumerate(mask):
        pruned = case.pruned[layer] if case.pruned else ()
        left = np.delete(factors, pruned)
        for key, array in weights.items():
            in_layer = f"layers.{layer}." in key or f"layer.{layer}." in key
            if in_layer and any(part in key for part in parts):
                rows = np.repeat(factors if "crossattention" in key else left, case.head_dim)
                state[key] = array * (rows[:, None] if array.ndim == 2 else rows)
    return state
