"""RoBERTa or XLM-RoBERTa to Longformer, and fairseq's RoBERTa to the Hub's: configurations and arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trueband.golden.weights.bart import check_computed, check_there, without_tied
from trueband.golden.weights.fairseq import Arrays, Checkpoint, to_longformer

PREFIX = "roberta."
TIED = {"lm_head.decoder.weight": f"{PREFIX}embeddings.word_embeddings.weight", "lm_head.decoder.bias": "lm_head.bias"}
# What Longformer computes; a RoBERTa with anything else cannot become one.
COMPUTED: dict[str, Any] = {
    "model_type": ("roberta", "xlm-roberta"),
    "hidden_act": ("gelu",),
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "pruned_heads": ({},),
}
NEEDED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)
LEFT_OUT = ("is_decoder", "add_cross_attention", "use_cache", "position_embedding_type", "classifier_dropout")


def roberta_to_longformer(
    config: Mapping[str, Any], state: Arrays, attention_window: int, max_positions: int
) -> Checkpoint:
    """A Longformer of the same weights. The names of other heads and the labels stay as they are.

    Args:
        config: content of the source's `config.json`.
        state: arrays under the Hub's names, of a base model or of one with a head.
        attention_window: TWO-SIDED and even.
        max_positions: longest text in tokens.
    """
    check_computed(config, COMPUTED)
    check_there(config, NEEDED)
    if not any(name.startswith(PREFIX) for name in state):
        state = {PREFIX + name: array for name, array in state.items()}
    state = {name: array for name, array in state.items() if not name.endswith("embeddings.position_ids")}
    state = without_tied(state, TIED)
    converted = to_longformer(Checkpoint({"pad_token_id": 1, **config}, state), attention_window, max_positions)
    kept = {name: value for name, value in converted.config.items() if name not in LEFT_OUT}
    kept["attention_window"] = [attention_window] * config["num_hidden_layers"]
    kept["model_type"] = "longformer"
    kept["architectures"] = [
        re.sub(r"^(XLM)?Roberta", "Longformer", name) for name in config.get("architectures") or ["RobertaModel"]
    ]
    return Checkpoint(kept, converted.state)


def fairseq_to_hub(checkpoint: Checkpoint) -> Checkpoint:
    """The configuration of a fairseq RoBERTa completed, and its tied arrays stored once."""
    named = {"model_type": "roberta", "architectures": ["RobertaForMaskedLM"]}
    return Checkpoint(named | checkpoint.config, without_tied(checkpoint.state, TIED))
