"""The recordings run through moments of rounding errors (the bound), the reference, and the optimized models.

LED's decoder and RoBERTa have the post-LN layers of fairseq, so one chain of moments, `PostNormModel`, serves them
all. A head mask is multiplied into the columns of the output projection: the same in exact arithmetic.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

import trueband.optimized.models as optimized_models
from trueband.convert_source import FLOAT64, PostNormModel
from trueband.golden.recorded import Recording
from trueband.properties.bounds import Precision
from trueband.properties.bounds.encoder_variance import longformer_layer_moments
from trueband.properties.bounds.variance import Moments, attention_moments, known
from trueband.reference.config import LEDConfig, LongformerConfig, XLMRobertaConfig
from trueband.reference.layers import merge_heads
from trueband.reference.led import led_conditional_generation
from trueband.reference.led_heads import led_sequence_classification
from trueband.reference.roberta import roberta_causal_lm, roberta_model

Arrays = dict[str, np.ndarray]
ATTENTION = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}
ROBERTA_LAYER = {
    **{f"attention.self.{hub}": f"self_attn.{own}" for hub, own in ATTENTION.items()},
    **{f"crossattention.self.{hub}": f"encoder_attn.{own}" for hub, own in ATTENTION.items()},
    "attention.output.dense": "self_attn.out_proj", "attention.output.LayerNorm": "self_attn_layer_norm",
    "crossattention.output.dense": "encoder_attn.out_proj",
    "crossattention.output.LayerNorm": "encoder_attn_layer_norm",
    "intermediate.dense": "fc1", "output.dense": "fc2", "output.LayerNorm": "final_layer_norm",
}  # fmt: skip
LED_LAYER = {
    "self_attn.longformer_self_attn": "attention.self", "self_attn.output": "attention.output.dense",
    "self_attn_layer_norm": "attention.output.LayerNorm", "fc1": "intermediate.dense", "fc2": "output.dense",
    "final_layer_norm": "output.LayerNorm",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Chain(PostNormModel):
    """Attention that can know relative positions; its probabilities are kept."""

    distances: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    kind: str = "absolute"
    probabilities: dict[str, Moments] = dataclasses.field(default_factory=dict)

    def attention(self, name: str, rows: Moments, keys: Moments, visible: np.ndarray) -> Moments:
        query, key, value = (
            self._split(self.linear(f"{name}.{part}_proj", x))
            for part, x in zip("qkv", (rows, keys, keys), strict=True)
        )
        seen = np.broadcast_to(visible[:, None], (len(visible), self.heads, *visible.shape[1:]))
        scale = query.value.shape[-1] ** -0.5
        if name in self.distances:
            query, key = with_distances(query, key, self.distances[name], self.kind)
        self.probabilities[name] = attention_moments(query, key, one_hot(seen), seen, scale, FLOAT64)
        context = attention_moments(query, key, value, seen, scale, FLOAT64)
        return self.linear(f"{name}.out_proj", Moments(merge_heads(context.value), merge_heads(context.variance)))


def one_hot(seen: np.ndarray) -> Moments:
    """Values whose weighted sums are the probabilities."""
    keys = seen.shape[-1]
    return known(np.broadcast_to(np.eye(keys), (*seen.shape[:2], keys, keys)))


def with_distances(query: Moments, key: Moments, table: np.ndarray, kind: str) -> tuple[Moments, Moments]:
    """Queries (q_i, r_i1, ..., r_in) and keys (k_j, unit vector j), whose products are q_i . k_j + r_ij."""
    tokens, d, u = query.value.shape[2], query.value.shape[3], FLOAT64.accumulator
    apart = table[np.arange(tokens)[:, None] - np.arange(tokens) + (len(table) + 1) // 2 - 1].astype(np.float64)
    value = np.einsum("bhid,ijd->bhij", query.value, apart)
    variance = np.einsum("bhid,ijd->bhij", query.variance + u**2 * d * query.value**2, apart**2)
    if kind == "relative_key_query":
        value = value + np.einsum("bhjd,ijd->bhij", key.value, apart)
        variance += np.einsum("bhjd,ijd->bhij", key.variance + u**2 * d * key.value**2, apart**2)
    zero = np.zeros_like(value)
    unit = np.broadcast_to(np.eye(tokens), value.shape)
    return (
        Moments(np.concatenate([query.value, value], -1), np.concatenate([query.variance, variance], -1)),
        Moments(np.concatenate([key.value, unit], -1), np.concatenate([key.variance, zero], -1)),
    )


def renamed(state: Arrays, layer: str, names: Mapping[str, str], new: str) -> Arrays:
    """A layer's arrays under other names; the longest name that fits counts."""
    found: Arrays = {}
    for key, array in state.items():
        part, _, kind = key.removeprefix(f"{layer}.").rpartition(".")
        if key.startswith(f"{layer}.") and part in names:
            found[f"{new}.{names[part]}.{kind}"] = array
        elif key.startswith(f"{layer}.self_attn.longformer_self_attn."):
            found[f"{new}.attention.self.{key.rsplit('.', 2)[1]}.{kind}"] = array
    return found


def folded(state: Arrays, name: str, mask: np.ndarray) -> Arrays:
    """With a head mask (h,) in the columns of the output projection `name`."""
    weight = state[f"{name}.weight"].astype(np.float64)
    return state | {f"{name}.weight": weight * np.repeat(mask, weight.shape[1] // len(mask))}


def roberta_moments(
    recording: Recording, head_mask: np.ndarray | None
) -> tuple[list[Moments], list[dict[str, Moments]]]:
    """Hidden states, and probabilities of each layer, of an XLM-RoBERTa. head_mask (layers, heads)."""
    config, inputs, state = XLMRobertaConfig.from_dict(recording.config), recording.inputs, dict(recording.state)
    prefix = "roberta." if any(key.startswith("roberta.") for key in state) else ""
    ids = inputs["input_ids"]
    real = np.asarray(inputs.get("attention_mask", np.ones_like(ids)) == 1)
    words = f"{prefix}embeddings"
    for kind in ("weight", "bias"):
        state[f"norm.{kind}"] = state[f"{words}.LayerNorm.{kind}"]
    added = np.broadcast_to(state[f"{words}.token_type_embeddings.weight"][0].astype(np.float64), (*ids.shape, 16))
    if config.absolute_positions:
        rows = np.where(ids != 1, np.cumsum(ids != 1, axis=1) + 1, 1)
        added = added + state[f"{words}.position_embeddings.weight"][rows]
    states = [PostNormModel(state, 4).embedded(f"{words}.word_embeddings.weight", added, "norm", ids)]
    visible = np.repeat(real[:, None], ids.shape[1], axis=1)
    if config.is_decoder:
        visible = visible & np.tril(np.ones((ids.shape[1],) * 2, dtype=bool))
    encoded = inputs.get("encoder_hidden_states")
    seen = None if encoded is None else np.repeat(inputs["encoder_attention_mask"][:, None] == 1, ids.shape[1], axis=1)
    probabilities = []
    for i in range(config.num_hidden_layers):
        name = f"{prefix}encoder.layer.{i}"
        layer = renamed(state, name, ROBERTA_LAYER, "layer")
        if head_mask is not None:
            for part in ("self_attn", "encoder_attn") if encoded is not None else ("self_attn",):
                layer = folded(layer, f"layer.{part}.out_proj", head_mask[i])
        table = state.get(f"{name}.attention.self.distance_embedding.weight")
        distances = {} if table is None else {"layer.self_attn": table}
        chain = Chain(layer, config.num_attention_heads, FLOAT64, distances, config.position_embedding_type)
        states.append(chain.layer("layer", states[-1], visible, None if encoded is None else known(encoded), seen))
        probabilities.append(chain.probabilities)
    return states, probabilities


def led_moments(recording: Recording, decoder_ids: np.ndarray) -> tuple[list[Moments], list[Moments]]:
    """Hidden states of an LED's encoder and decoder. The peer's encoder takes softmax in float32: its precision."""
    config, inputs, state = LEDConfig.from_dict(recording.config), recording.inputs, recording.state
    mask, flags = inputs["attention_mask"], inputs["global_attention_mask"]
    sides: dict[str, list[Moments]] = {}
    for side, ids in (("encoder", inputs["input_ids"]), ("decoder", decoder_ids)):
        table = state[f"led.{side}.embed_positions.weight"][: ids.shape[1]].astype(np.float64)
        positions = np.broadcast_to(table, (*ids.shape, table.shape[1]))
        model = PostNormModel(state, 2)
        sides[side] = [model.embedded("led.shared.weight", positions, f"led.{side}.layernorm_embedding", ids)]
    for i in range(config.encoder_layers):
        layer = renamed(state, f"led.encoder.layers.{i}", LED_LAYER, "layer")
        if "head_mask" in inputs:
            layer = folded(layer, "layer.attention.output.dense", inputs["head_mask"][i])
        longformer = LongformerConfig(
            hidden_size=16, num_attention_heads=4, layer_norm_eps=1e-5, attention_window=2 * config.window(i)
        )
        x = sides["encoder"][-1]
        sides["encoder"].append(
            longformer_layer_moments(
                layer, "layer", longformer, x, config.window(i), mask, flags, Precision.of("float32")
            )
        )
    causal = np.tril(np.ones((decoder_ids.shape[1],) * 2, dtype=bool))[None].repeat(len(mask), axis=0)
    seen = np.repeat(mask[:, None] == 1, decoder_ids.shape[1], axis=1)
    for i in range(config.decoder_layers):
        name = f"led.decoder.layers.{i}"
        layer = {key: array for key, array in state.items() if key.startswith(f"{name}.")}
        for part, given in (("self_attn", "decoder_head_mask"), ("encoder_attn", "cross_attn_head_mask")):
            if given in inputs:
                layer = folded(layer, f"{name}.{part}.out_proj", inputs[given][i])
        model = PostNormModel(layer, config.decoder_attention_heads)
        sides["decoder"].append(model.layer(name, sides["decoder"][-1], causal, sides["encoder"][-1], seen))
    return sides["encoder"], sides["decoder"]


def flat(output: Mapping[str, Any]) -> Arrays:
    """An output's arrays under the names of the recording."""
    found: Arrays = {}
    for name, value in output.items():
        if isinstance(value, tuple):
            found |= {f"{name}.{i}": np.asarray(each) for i, each in enumerate(value)}
        elif value is not None:
            found[name] = np.asarray(value)
    return found


REFERENCE: dict[str, tuple[Any, Any]] = {
    "XLMRobertaModel": (roberta_model, XLMRobertaConfig),
    "XLMRobertaForCausalLM": (roberta_causal_lm, XLMRobertaConfig),
    "LEDForConditionalGeneration": (led_conditional_generation, LEDConfig),
    "LEDForSequenceClassification": (led_sequence_classification, LEDConfig),
}


def reference(recording: Recording, state: Arrays, config: Mapping[str, Any], inputs: Arrays) -> Arrays:
    function, kind = REFERENCE[recording.model_class]
    given = dict(inputs)
    ids = given.pop("input_ids")
    output = function(state, kind.from_dict(config), ids, **given, output_attentions=True)
    return flat(output._asdict())


def optimized_model(recording: Recording, state: Arrays, config: Mapping[str, Any]) -> torch.nn.Module:
    _, kind = REFERENCE[recording.model_class]
    model: torch.nn.Module = getattr(optimized_models, recording.model_class)(kind.from_dict(config))
    model.load_state_dict({key: torch.tensor(array) for key, array in state.items()}, strict=True)
    return model.double().eval()


def optimized(recording: Recording, state: Arrays, config: Mapping[str, Any], inputs: Arrays) -> Arrays:
    model = optimized_model(recording, state, config)
    tensors = {key: torch.tensor(array) for key, array in inputs.items()}
    with torch.no_grad():
        output = model(**tensors, output_attentions=True, output_hidden_states=True)
    fields = {each.name: getattr(output, each.name) for each in dataclasses.fields(output)}
    return flat({name: value for name, value in fields.items() if name != "past_key_values"})


WITNESSES = {"reference": reference, "optimized": optimized}


@pytest.fixture(params=WITNESSES)
def witness(request: pytest.FixtureRequest) -> Any:
    """(recording, state, config, inputs) -> outputs by the names of the recording."""
    return WITNESSES[request.param]


@pytest.fixture(scope="session")
def tools() -> Any:
    """What computes the bounds, and the optimized model itself."""
    from types import SimpleNamespace

    return SimpleNamespace(roberta=roberta_moments, led=led_moments, model=optimized_model)
