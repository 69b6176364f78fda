"""Named checks beside the goldens: claims that rest on published weights and on no stored number."""

from __future__ import annotations

import numpy as np

from trueband.golden.layerwise import judge_layers
from trueband.golden.records import GoldenCheck, GoldenRecord, Outcome, record_of
from trueband.golden.registry import Context
from trueband.golden.runners.sapiens import inputs_of
from trueband.golden.store import Golden, open_store
from trueband.golden.tiny import Layout, layer_arguments, probabilities
from trueband.golden.weights.fairseq import to_longformer
from trueband.golden.weights.sapiens import load_sapiens
from trueband.golden.witness import AttentionWitness, MaskedLMWitness, run_masked_lm
from trueband.properties.results.verdict import judge_exact
from trueband.reference.layout import dense_to_compact

MAX_POSITIONS = 512


def _published(name: str) -> Golden:
    return open_store().golden(name)


def _roberta(witness: MaskedLMWitness) -> Outcome:
    ids = inputs_of(_published("sapiens_scores_row_0").metadata.inputs).input_ids
    output = run_masked_lm(witness, "roberta", load_sapiens(), ids)
    return Outcome.worst(judge_layers("roberta", load_sapiens(), ids, output))


def _longformer(attention_window: int, positions: list[int], pads: int, label: str) -> GoldenCheck:
    """`attention_window` is two-sided: the text of 121 tokens is longer than 64 on each side, and than 32."""

    def check(witness: MaskedLMWitness) -> Outcome:
        text = _published("sapiens_embedding_fairseq_2022").metadata.inputs
        inputs = inputs_of(text | {"pads_after": pads, "global_tokens": positions})
        checkpoint = to_longformer(load_sapiens(), attention_window, MAX_POSITIONS)
        masks = inputs.attention_mask, inputs.global_attention_mask
        output = run_masked_lm(witness, "longformer", checkpoint, inputs.input_ids, *masks)
        return Outcome.worst(judge_layers("longformer", checkpoint, inputs.input_ids, output, *masks))

    claim = f"two-sided window {attention_window}, {label.replace('_', ' ')}: every layer agrees within 8 sigma"
    return GoldenCheck(f"longformer_layers_{attention_window}_{label}", claim, check)


def missing_globals(witness: AttentionWitness, layout: Layout = dense_to_compact) -> Outcome:
    """Exact: the columns of global tokens that a row of the batch does not have hold 0, which is not computed."""
    arguments = layer_arguments(_published("lf_tiny_attn_probs_global_filler"), "float32")
    compact = probabilities(witness, arguments, layout)
    missing = np.concatenate([compact.global_[0, :, :, 1:].ravel(), compact.local[0, :, :, 1:3].ravel()])
    return Outcome.of(judge_exact(missing, np.zeros_like(missing), "columns of missing global tokens"))


CHECKS = (
    GoldenCheck("sapiens_layers", "every layer agrees with the reference fed the same input, within 8 sigma", _roberta),
    _longformer(128, [], 0, "no_globals"),
    _longformer(64, [], 0, "no_globals"),
    _longformer(64, [0, 60, 120], 7, "globals_padded"),
    GoldenCheck("lf_tiny_missing_globals", "missing global slots hold exactly 0", missing_globals, "attention"),
)


def run_check(check: GoldenCheck, context: Context) -> GoldenRecord:
    """Run one check on one implementation."""
    return record_of(check.name, check.claim, "check", context.name, lambda: check.run(context.witness(check.form)))
