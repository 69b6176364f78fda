"""Seeded faults of what XLM-RoBERTa has beyond the layers of an encoder: causal and relative attention, attention to an
encoder, pruned heads, chunks of the feed-forward, and the pooler."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.models.faults.fault import Call, fault, faulty_candidate
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.witness import ReferenceModels
from trueband.reference.layers import pooler


@fault("a decoder sees the tokens behind", "xlm-roberta", "encoder_layers decoder_is_causal cached_steps")
def roberta_not_causal(call: Call) -> Call:
    if call.config.get("add_cross_attention"):
        return call
    return call.with_config(is_decoder=False)


@fault("relative distances have the other sign", "xlm-roberta", "encoder_layers cached_steps")
def distances_flipped(call: Call) -> Call:
    return call.map_state("distance_embedding", lambda table: table[::-1].copy())


@fault("relative distances start one row late", "xlm-roberta", "encoder_layers")
def distances_off_by_one(call: Call) -> Call:
    return call.map_state("distance_embedding", lambda table: np.roll(table, 1, axis=0))


@fault("keys have no part in relative_key_query", "xlm-roberta", "encoder_layers")
def relative_keys_lost(call: Call) -> Call:
    relative = call.config.get("position_embedding_type") == "relative_key_query"
    return call.with_config(position_embedding_type="relative_key") if relative else call


@fault(
    "cross-attention reads masked tokens of the encoder",
    "xlm-roberta",
    "encoder_layers cached_steps",
    "the mask of the encoder made of a padded length",
)
def cross_mask_ignored(call: Call) -> Call:
    return call.without_inputs("encoder_attention_mask")


@fault("cross-attention is left out", "xlm-roberta", "encoder_layers head_arguments")
def cross_attention_left_out(call: Call) -> Call:
    return call.without_inputs("encoder_hidden_states", "encoder_attention_mask")


@fault("head masks number the heads that pruning has left", "xlm-roberta", "head_masks")
def masks_numbered_after_pruning(call: Call) -> Call:
    if "head_mask" not in call.inputs:
        return call
    mask, heads = call.inputs["head_mask"].copy(), call.config["num_attention_heads"]
    for layer, out in call.config["pruned_heads"].items():
        kept = [head for head in range(heads) if head not in out]
        mask[int(layer), kept] = call.inputs["head_mask"][int(layer), : len(kept)]
    return call.with_inputs(head_mask=mask)


@fault("the loss of a causal model is that of the token itself", "xlm-roberta", "heads")
def labels_not_shifted(call: Call) -> Call:
    if call.head != "lm" or "labels" not in call.inputs or not call.config["is_decoder"]:
        return call
    return call.with_inputs(labels=np.roll(call.inputs["labels"], 1, axis=1))


@faulty_candidate("the head beside the one that was named is pruned", "xlm-roberta", "pruned_heads")
class NeighborPruned(ReferenceModels):
    def prune(self, model: Model, heads: dict[int, list[int]]) -> tuple[dict[str, Any], Arrays]:
        count = model.config["num_attention_heads"]
        _, pruned = super().prune(model, {i: [(head + 1) % count for head in out] for i, out in heads.items()})
        return super().prune(model, heads)[0], pruned


@faulty_candidate("pruning takes the first columns out of the output projection", "xlm-roberta", "pruned_heads")
class FirstColumnsPruned(ReferenceModels):
    def prune(self, model: Model, heads: dict[int, list[int]]) -> tuple[dict[str, Any], Arrays]:
        after, pruned = super().prune(model, heads)
        for name, array in pruned.items():
            whole = model.state[name]
            if array.shape != whole.shape and name.endswith("output.dense.weight"):
                pruned[name] = whole[:, whole.shape[1] - array.shape[1] :]
        return after, pruned


@faulty_candidate("the last row of each chunk of the feed-forward is lost", "xlm-roberta", "encoder_layers")
class ChunkEndsLost(ReferenceModels):
    def forward(self, model: Model, inputs: Arrays) -> Any:
        output, chunk = super().forward(model, inputs), model.config["chunk_size_feed_forward"]
        for tap in output["hidden_states"][1:] if chunk else ():
            tap[:, chunk - 1 :: chunk] = 0
        return output


class OtherPooler(ReferenceModels):
    """Pools `pooled` of the last hidden states (b, n, D)."""

    def pooled(self, state: Arrays, last: np.ndarray) -> np.ndarray:
        return pooler(state, last)

    def base(self, model: Model, inputs: Arrays) -> Any:
        output = super().base(model, inputs)
        if output["pooler_output"] is not None:
            output["pooler_output"] = self.pooled(model.state, output["hidden_states"][-1])
        return output


@faulty_candidate("the pooler reads the last token", "xlm-roberta longformer", "pooler")
class LastTokenPooled(OtherPooler):
    def pooled(self, state: Arrays, last: np.ndarray) -> np.ndarray:
        return pooler(state, last[:, -1:])


@faulty_candidate("the pooler takes the mean of all tokens", "xlm-roberta longformer", "pooler")
class MeanPooled(OtherPooler):
    def pooled(self, state: Arrays, last: np.ndarray) -> np.ndarray:
        return pooler(state, last.mean(axis=1, keepdims=True))


@faulty_candidate("the pooler has no tanh", "xlm-roberta longformer", "pooler")
class PooledWithoutTanh(OtherPooler):
    def pooled(self, state: Arrays, last: np.ndarray) -> np.ndarray:
        return last[:, 0] @ state["pooler.dense.weight"].T + state["pooler.dense.bias"]


@faulty_candidate("there is a pooler where none was asked for", "xlm-roberta longformer", "headless_layers")
class AlwaysPooled(ReferenceModels):
    def base(self, model: Model, inputs: Arrays) -> Any:
        output = super().base(model, inputs)
        return {**output, "pooler_output": output["hidden_states"][-1][:, 0]}
