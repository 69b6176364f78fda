"""Seeded faults of decoding. Some change a call on its way in, as in `faults`; others are candidates
of their own, which change what comes out."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from trueband.properties.models.decoding import MANY_ENDS, end_tokens, written_tokens
from trueband.properties.models.faults.fault import Call, fault, faulty_candidate, faulty_output
from trueband.properties.models.faults.layers import padding_attended
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.witness import ReferenceModels
from trueband.reference.decoding import Generated


@fault("a single beam is searched as two", "led xlm-roberta", "one_beam_is_greedy")
def two_beams_at_least(call: Call) -> Call:
    return call.with_options(num_beams=2) if (call.options or {}).get("num_beams") == 1 else call


@fault("the search stops as soon as num_beams have finished", "led xlm-roberta", "beam_tokens")
def always_stops_early(call: Call) -> Call:
    return call.with_options(early_stopping=True)


@fault("a beam that could still gain is given up", "led xlm-roberta", "beam_tokens")
def never_is_given_up(call: Call) -> Call:
    return call.with_options(early_stopping=(call.options or {}).get("early_stopping") is True)


@fault("a negative length penalty is taken as none", "led", "best_beams beam_scores")
def penalty_not_negative(call: Call) -> Call:
    return call.with_options(length_penalty=max((call.options or {}).get("length_penalty", 1.0), 0.0))


@fault("of several end tokens only the first ends", "led xlm-roberta", "sequences_end beam_tokens constrained_tokens")
def only_the_first_end(call: Call) -> Call:
    return call.with_options(eos_token_id=end_tokens(call.options or {})[0])


@fault("the end token fills what is behind it", "led xlm-roberta", "sequences_end")
def filled_with_the_end(call: Call) -> Call:
    return call.with_options(pad_token_id=MANY_ENDS[0])


@fault("the new tokens at least are counted with the prompt", "led xlm-roberta", "constrained_tokens")
def least_new_tokens_are_all(call: Call) -> Call:
    least = (call.options or {}).get("min_new_tokens")
    return call if least is None else call.with_options(min_new_tokens=None, min_length=least)


@fault(
    "decoding does not see which tokens of the decoder's prompt are padding",
    "led",
    "constrained_tokens",
    "transformers 5.23: a cached step ignores its mask",
)
def prompt_mask_lost(call: Call) -> Call:
    return call.without_inputs("decoder_attention_mask")


@fault(
    "with a cache, padding in the decoder's prompt is attended",
    "led",
    "cached_tokens",
    "transformers 5.23: a cached step ignores its mask",
)
def cache_loses_prompt_mask(call: Call) -> Call:
    return prompt_mask_lost(call) if (call.options or {}).get("use_cache") else call


@fault("padding in front of a prompt is attended", "xlm-roberta", "greedy_tokens beam_tokens one_beam_is_greedy")
def causal_padding_attended(call: Call) -> Call:
    return call if call.options is None else padding_attended(call)


@fault("with a cache, padding in front of a prompt is attended", "xlm-roberta", "cached_tokens")
def cache_attends_causal_padding(call: Call) -> Call:
    return causal_padding_attended(call) if (call.options or {}).get("use_cache") else call


@fault("states of the encoder that are handed in lose their mask", "led", "encoder_outputs")
def handed_states_lose_mask(call: Call) -> Call:
    return padding_attended(call) if "encoder_outputs" in call.inputs else call


@fault("states of the encoder that are handed in are normalized once more", "led", "encoder_outputs")
def handed_states_normalized(call: Call) -> Call:
    states = call.inputs.get("encoder_outputs")
    if states is None:
        return call
    centered = states - states.mean(axis=-1, keepdims=True)
    return call.with_inputs(encoder_outputs=centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True)))


@fault("temperature is ignored", "led xlm-roberta", "sampled_tokens sampling_limits")
def temperature_ignored(call: Call) -> Call:
    return call.with_options(temperature=1.0)


@fault("top_k is ignored", "led xlm-roberta", "sampled_tokens sampling_limits")
def top_k_ignored(call: Call) -> Call:
    return call.with_options(top_k=0)


@fault("top_k leaves one token more", "led xlm-roberta", "sampled_tokens sampling_limits")
def top_k_one_more(call: Call) -> Call:
    most = (call.options or {}).get("top_k", 50)
    return call.with_options(top_k=most + 1 if most else 0)


@fault("top_p is ignored", "led xlm-roberta", "sampled_tokens sampling_limits")
def top_p_ignored(call: Call) -> Call:
    return call.with_options(top_p=1.0)


@fault("sampling takes the most likely token", "led xlm-roberta", "sampling_limits")
def sampling_is_greedy(call: Call) -> Call:
    return call.with_options(top_k=1) if (call.options or {}).get("do_sample") else call


@fault("max_length within the prompt gives one token", "led xlm-roberta", "rejects_bad_generation")
def short_lengths_are_taken(call: Call) -> Call:
    options = call.options or {}
    return call if options.get("max_length", 20) > 4 else call.with_options(max_length=20)


@fault("masks of any value are taken in decoding", "led xlm-roberta", "rejects_bad_generation")
def any_generation_mask_is_taken(call: Call) -> Call:
    return call.with_inputs(attention_mask=np.minimum(call.inputs["attention_mask"], 1))


@faulty_output("the length of a beam counts the start token", "led", "beam_scores")
def length_counts_the_start(call: Call, written: Generated) -> Generated:
    options = call.options or {}
    if written.sequences_scores is None:
        return written
    tokens = written_tokens(written.sequences, 1, end_tokens(options))
    return written._replace(
        sequences_scores=written.sequences_scores * (tokens / (tokens + 1)) ** options["length_penalty"]
    )


@faulty_output("scores are plain log-probabilities", "led", "beam_scores best_beams")
def scores_not_normalized(call: Call, written: Generated) -> Generated:
    options = call.options or {}
    if written.sequences_scores is None:
        return written
    tokens = written_tokens(written.sequences, 1, end_tokens(options))
    return written._replace(sequences_scores=written.sequences_scores * tokens ** options["length_penalty"])


@faulty_output("the worst beam comes first", "led", "beam_scores")
def worst_beam_first(call: Call, written: Generated) -> Generated:
    if written.sequences_scores is None:
        return written
    return Generated(written.sequences[::-1], written.sequences_scores[::-1])


@fault("beams that end early are thrown away", "led", "best_beams")
def ended_beams_are_lost(call: Call) -> Call:
    return call.with_options(min_new_tokens=2)


@faulty_output("a beam writes anything as its last token", "led", "best_beams beam_scores")
def last_token_of_a_beam_changed(call: Call, written: Generated) -> Generated:
    if written.sequences_scores is None:
        return written
    changed = written.sequences.copy()
    changed[:, -1] = (changed[:, -1] + 1) % call.config["vocab_size"]
    return written._replace(sequences=changed)


@faulty_output("all draws of a row are one draw", "led xlm-roberta", "sampling_limits")
def draws_are_shared(call: Call, written: Generated) -> Generated:
    copies = (call.options or {}).get("num_return_sequences", 1)
    return written._replace(sequences=np.repeat(written.sequences[::copies], copies, axis=0))


@faulty_output("sequences are filled to max_length", "led xlm-roberta", "sequences_end")
def filled_to_max_length(call: Call, written: Generated) -> Generated:
    options = call.options or {}
    most = options.get("max_length", written.sequences.shape[1] + 1)
    missing = max(most - written.sequences.shape[1], 0)
    return written._replace(
        sequences=np.pad(written.sequences, ((0, 0), (0, missing)), constant_values=options.get("pad_token_id", 1))
    )


@faulty_candidate("the seed of sampling is ignored", "led xlm-roberta", "sampled_tokens")
class SeedIgnored(ReferenceModels):
    calls = itertools.count()

    def generate(self, model: Model, inputs: Arrays, options: dict[str, Any], seed: int) -> Generated:
        return super().generate(model, inputs, options, next(self.calls))
