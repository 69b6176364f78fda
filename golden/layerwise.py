"""Agreement with the reference layer by layer on real weights: the reference is fed each layer's own input.

Errors do not add up over the layers this way, so the bound is tight at every one of them: hard for the embeddings,
8 standard deviations for the layers and the logits (`trueband.properties.bounds.variance`).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.weights.fairseq import Checkpoint
from trueband.golden.witness import Output
from trueband.properties.bounds.encoder_variance import (
    embedding_bound,
    lm_head_moments,
    longformer_layer_moments,
    roberta_layer_moments,
)
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import sigma_bound
from trueband.properties.results.verdict import Verdict, judge
from trueband.reference.config import LongformerConfig, XLMRobertaConfig
from trueband.reference.embeddings import embed, positions_from_ids
from trueband.reference.layers import lm_head
from trueband.reference.longformer import longformer_layer
from trueband.reference.roberta import roberta_layer

Array = NDArray[Any]


def judge_layers(
    architecture: str,
    checkpoint: Checkpoint,
    input_ids: Array,
    output: Output,
    attention_mask: Array | None = None,
    global_attention_mask: Array | None = None,
) -> list[Verdict]:
    """Verdicts on the embeddings, on each layer, and on the logits, in this order."""
    state, prefix = checkpoint.state, f"{architecture}."
    # The weights are float32: a witness may compute finer, and none is judged by a coarser dtype for returning one.
    precision = Precision.of("float64" if output.logits.dtype == np.float64 else "float32")
    taps = [tap.astype(np.float64) for tap in output.hidden_states]
    config: LongformerConfig | XLMRobertaConfig
    if architecture == "longformer":
        config = LongformerConfig.from_dict(checkpoint.config)
    else:
        config = XLMRobertaConfig.from_dict(checkpoint.config)

    positions = positions_from_ids(input_ids, config.pad_token_id)
    bound = embedding_bound(state, prefix, config, input_ids, positions, precision)
    verdicts = [judge(taps[0], embed(state, config, input_ids, prefix=prefix), bound, "embeddings")]
    for i, (entering, leaving) in enumerate(pairwise(taps)):
        name = f"{prefix}encoder.layer.{i}"
        if isinstance(config, LongformerConfig):
            expected = longformer_layer(
                state,
                name,
                config,
                entering,
                window=config.window(i),
                attention_mask=attention_mask,
                global_attention_mask=global_attention_mask,
            )
            moments = longformer_layer_moments(
                state, name, config, entering, config.window(i), attention_mask, global_attention_mask, precision
            )
        else:
            expected = roberta_layer(state, name, config, entering, attention_mask)
            moments = roberta_layer_moments(state, name, config, entering, attention_mask, precision)
        verdicts.append(judge(leaving, expected, sigma_bound(moments), f"layer {i}"))
    head = lm_head_moments(state, prefix, config, taps[-1], precision)
    expected = lm_head(state, taps[-1], config.layer_norm_eps, prefix)
    return [*verdicts, judge(output.logits, expected, sigma_bound(head), "logits")]
