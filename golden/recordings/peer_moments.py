"""The outputs of a peer against a witness's: moments carried through the whole model, twice.

The peer takes softmax in float32 in its banded attention, whatever the dtype: there its run counts as one of float32.
Its global attentions hold NaN or other numbers in the slots of global tokens that a text does not have; the contract
says 0 there. Shapes: b batch, h heads, n tokens, g global tokens at most, D hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.recordings.heads import head_moments, head_name, pooler_moments, token_of_texts
from trueband.properties.bounds.bound import Bound
from trueband.properties.bounds.losses import cross_entropy_bound
from trueband.properties.bounds.model_variance import led_moments, longformer_moments, roberta_moments
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import Moments, sigma_bound
from trueband.properties.results.verdict import Verdict, judge
from trueband.reference.config import LEDConfig, LongformerConfig, family_of_class
from trueband.reference.led_decoder import shift_right

Arrays = Mapping[str, NDArray[Any]]
Named = dict[str, Moments]
MASKS = {
    "xlm-roberta": ("attention_mask", "head_mask", "encoder_hidden_states", "encoder_attention_mask"),
    "longformer": ("attention_mask", "global_attention_mask", "head_mask"),
    "led": (
        "attention_mask",
        "global_attention_mask",
        "decoder_attention_mask",
        "head_mask",
        "decoder_head_mask",
        "cross_attn_head_mask",
    ),
}


def judged_outputs(
    model_class: str, config: Any, state: Arrays, inputs: Arrays, outputs: Arrays, recorded: Arrays
) -> Iterator[Verdict]:
    """Verdicts on the hidden states, on the attentions, on the logits and on the loss, in the order of computation."""
    float64 = Precision.of("float64")
    peer = Precision.of("float64" if "XLMRoberta" in model_class else "float32")
    ours, theirs = (_moments(model_class, config, state, inputs, dtype) for dtype in (float64, peer))
    for name, moments in ours.items():
        if name in recorded:
            expected = _filled(recorded[name], inputs) if "global_attentions" in name else recorded[name]
            yield judge(outputs[name], expected, sigma_bound(moments, theirs[name]), name)
    if "loss" in recorded and recorded["loss"].ndim == 0:
        # The peer brings the logits of a causal language model to float32 for the loss.
        loss = Precision.of("float32") if model_class.endswith("CausalLM") else peer
        yield _judged_loss(ours, theirs, inputs, outputs, recorded, loss)


def _filled(global_attentions: NDArray[Any], inputs: Arrays) -> NDArray[Any]:
    """(b, h, n, g) with 0 in the slots of missing global tokens."""
    is_global = (inputs["global_attention_mask"] > 0) & (inputs["attention_mask"] > 0)
    there = np.arange(global_attentions.shape[-1]) < is_global.sum(axis=1)[:, None]
    return np.where(there[:, None, None, :], global_attentions, 0.0)


def _judged_loss(
    ours: Named, theirs: Named, inputs: Arrays, outputs: Arrays, recorded: Arrays, precision: Precision
) -> Verdict:
    """A mean of cross-entropies; of answers the mean of two of them."""
    bounds = []
    for name in ("logits", "start_logits", "end_logits"):
        if name in ours:
            error = sigma_bound(ours[name], theirs[name])
            count = inputs["labels"].size if "labels" in inputs else len(ours[name].value)
            bounds.append(cross_entropy_bound(ours[name].value, count, precision, error))
    bound = bounds[0] if len(bounds) == 1 else (bounds[0] + bounds[1]).scaled(0.5)
    return judge(outputs["loss"], recorded["loss"], Bound(bound.terms), "loss")


def _moments(model_class: str, config: Any, state: Arrays, inputs: Arrays, precision: Precision) -> Named:
    family = family_of_class(model_class)
    options: dict[str, Any] = {name: inputs[name] for name in MASKS[family.name] if name in inputs}
    ids = inputs["input_ids"]
    prefix = family.prefix if any(name.startswith(family.prefix) for name in state) else ""
    if isinstance(config, LEDConfig):
        decoder = inputs.get("decoder_input_ids")
        if decoder is None:
            labels = inputs["labels"] if model_class.endswith("Generation") else ids
            decoder = shift_right(labels, config.pad_token_id, config.decoder_start_token_id)
        encoder, precision = precision, Precision.of("float64")  # only the encoder's attention is banded
        named = led_moments(
            state,
            config,
            ids,
            precision,
            encoder_precision=encoder,
            decoder_input_ids=decoder,
            prefix=prefix,
            **options,
        )
    elif isinstance(config, LongformerConfig):
        named = longformer_moments(state, config, ids, precision, prefix=prefix, **options)
    else:
        named = roberta_moments(state, config, ids, precision, prefix=prefix, **options)
    x, head = named["last_hidden_state"], head_name(model_class)
    if head:
        if head == "SequenceClassification":
            x = x.at((np.arange(len(ids)), token_of_texts(config, ids)))
        return named | head_moments(head, state, config, prefix, x, precision)
    if "pooler.dense.weight" in state:
        named["pooler_output"] = pooler_moments(state, "", x, precision)
    return named
