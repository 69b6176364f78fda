"""LED as a whole in float32, and its heads in float64 from the peer's own encoder states."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.bounds import Precision
from trueband.properties.bounds.losses import cross_entropy_bound
from trueband.properties.bounds.variance import known, linear_moments, sigma_bound
from trueband.properties.results.verdict import judge, judge_exact
from trueband.reference.led import led_conditional_generation, led_model
from trueband.reference.led_encoder import word_embeddings
from trueband.reference.led_heads import led_question_answering
from trueband.reference.outputs import EncoderOutput

FLOAT64, PAD = Precision.of("float64"), 1


def from_their_encoder(pair: Any, theirs: Any) -> dict[str, Any]:
    states = theirs.encoder_last_hidden_state
    return {"encoder_outputs": EncoderOutput(states, (states,)), "attention_mask": pair.mask}


def test_conditional_generation_shifts_its_labels(double: Any, agree: Any) -> None:
    labels = np.where(double.target_mask == 0, -100, double.targets)
    theirs = double.run(double.model, input_ids=double.ids, **double.inputs, labels=labels)
    options = from_their_encoder(double, theirs)
    ours = led_conditional_generation(double.state, double.config, labels=labels, **options)
    read = np.concatenate([np.full((3, 1), 2), np.where(labels == -100, PAD, labels)[:, :-1]], axis=1)
    last = double.decoded(read, np.ones_like(read), known(theirs.encoder_last_hidden_state))
    logits = double.logits(last)
    agree(theirs.logits, ours.logits, logits)
    loss_bound = cross_entropy_bound(ours.logits, int(double.target_mask.sum()), FLOAT64, sigma_bound(logits))
    assert ours.loss is not None
    assert judge(theirs.loss, ours.loss, loss_bound).passed
    given = led_conditional_generation(
        double.state, double.config, labels=labels, decoder_input_ids=double.targets, **options
    )
    assert not judge(theirs.logits, given.logits, sigma_bound(logits)).passed  # the wrong one: labels not shifted


def test_the_whole_model_agrees_in_float32(half: Any, agree: Any) -> None:
    decoder = {"decoder_input_ids": half.targets, "decoder_attention_mask": half.target_mask}
    theirs = half.run(half.model, input_ids=half.ids, **half.inputs, **decoder, use_cache=False)
    ours = led_conditional_generation(half.state, half.config, half.ids, **half.inputs, **decoder)
    encoded = half.encoded()["last_hidden_state"]
    agree(theirs.encoder_last_hidden_state, ours.encoder_last_hidden_state, encoded)
    last = half.decoded(half.targets, half.target_mask, encoded)
    agree(theirs.logits, ours.logits, half.logits(last), half.target_mask == 1)
    no_bias = half.state | {"final_logits_bias": np.zeros((1, 30))}  # the wrong one
    wrong = led_conditional_generation(no_bias, half.config, half.ids, **half.inputs, **decoder)
    assert not judge(theirs.logits, wrong.logits, sigma_bound(half.logits(last))).passed


def test_the_decoder_reads_the_input_shifted_unless_told_otherwise(double: Any) -> None:
    shifted = np.concatenate([np.full((3, 1), 2), double.ids[:, :-1]], axis=1)
    ours = led_model(double.state, double.config, double.ids, **double.inputs, prefix="led.")
    told = led_model(double.state, double.config, double.ids, decoder_input_ids=shifted, **double.inputs, prefix="led.")
    assert judge_exact(ours.last_hidden_state, told.last_hidden_state).passed
    words = word_embeddings(double.state, "led.", "decoder")[shifted]
    embedded = led_model(
        double.state, double.config, double.ids, decoder_inputs_embeds=words, **double.inputs, prefix="led."
    )
    assert judge_exact(embedded.last_hidden_state, told.last_hidden_state).passed
    text = word_embeddings(double.state, "led.", "encoder")[double.ids]
    both = led_model(
        double.state, double.config, inputs_embeds=text, decoder_input_ids=shifted, **double.inputs, prefix="led."
    )
    assert judge_exact(both.last_hidden_state, told.last_hidden_state).passed
    assert len(both.encoder_hidden_states) == len(both.decoder_hidden_states) == 3


def test_tied_weights_may_be_left_out(double: Any) -> None:
    tied = ("lm_head.weight", "led.encoder.embed_tokens.weight", "led.decoder.embed_tokens.weight")
    few = {name: array for name, array in double.state.items() if name not in tied}
    ours = led_conditional_generation(double.state, double.config, double.ids[2:])
    assert judge_exact(led_conditional_generation(few, double.config, double.ids[2:]).logits, ours.logits).passed


def test_question_answering(pair: Any) -> None:
    both = pair("LEDForQuestionAnswering", "float64")
    positions = {"start_positions": np.array([1, 40, 3]), "end_positions": np.array([4, 5, 40])}
    decoder = {"decoder_input_ids": both.targets}
    theirs = both.run(both.model, input_ids=both.ids, **both.inputs, **decoder, **positions)
    ours = led_question_answering(both.state, both.config, **from_their_encoder(both, theirs), **decoder, **positions)
    last = both.decoded(both.targets, np.ones_like(both.targets), known(theirs.encoder_last_hidden_state))
    logits = linear_moments(last, both.state["qa_outputs.weight"], both.state["qa_outputs.bias"], FLOAT64)
    bound = sigma_bound(logits)
    assert judge(theirs.start_logits, ours.start_logits, bound.at((..., 0))).passed
    assert judge(theirs.end_logits, ours.end_logits, bound.at((..., 1))).passed
    together = np.stack([ours.start_logits, ours.end_logits])
    assert ours.loss is not None
    assert judge(theirs.loss, ours.loss, cross_entropy_bound(together, 2, FLOAT64, bound)).passed


def test_a_fully_masked_encoder_or_prompt_gives_no_nan(double: Any) -> None:
    mask, target_mask = double.mask.copy(), double.target_mask.copy()
    mask[0], target_mask[1] = 0, 0
    ours = led_model(
        double.state,
        double.config,
        double.ids,
        attention_mask=mask,
        decoder_input_ids=double.targets,
        decoder_attention_mask=target_mask,
        output_attentions=True,
        prefix="led.",
    )
    assert np.isfinite(ours.last_hidden_state).all()
    assert ours.cross_attentions is not None
    assert ours.decoder_attentions is not None
    assert (ours.cross_attentions[0][0] == 0).all()
    assert (ours.decoder_attentions[0][1] == 0).all()
