"""`generate` against that of transformers: token for token, with the same weights and the same random state."""

from __future__ import annotations

from typing import Any

import pytest
import torch

GREEDY: list[dict[str, Any]] = [
    {"max_length": 24},
    {"max_new_tokens": 9},
    {"max_length": 24, "use_cache": False},
    {"max_length": 20, "min_length": 17},
    {"max_new_tokens": 12, "min_new_tokens": 9},
    {"max_length": 24, "no_repeat_ngram_size": 1},
    {"max_length": 24, "no_repeat_ngram_size": 2},
    {"max_length": 24, "no_repeat_ngram_size": 3, "repetition_penalty": 0.7},
    {"max_length": 24, "repetition_penalty": 1.8},
    {"max_length": 16, "forced_bos_token_id": 7, "forced_eos_token_id": 2},
    {"max_length": 24, "eos_token_id": [2, 11, 30]},
    {"max_length": 24, "eos_token_id": 9, "pad_token_id": 4},
]
BEAMS: list[dict[str, Any]] = [
    {"num_beams": 2},
    {"num_beams": 4, "num_return_sequences": 4},
    {"num_beams": 4, "num_return_sequences": 3, "early_stopping": True},
    {"num_beams": 4, "num_return_sequences": 3, "early_stopping": "never"},
    {"num_beams": 3, "num_return_sequences": 3, "length_penalty": 2.0},
    {"num_beams": 3, "num_return_sequences": 3, "length_penalty": 2.0, "early_stopping": "never"},
    {"num_beams": 3, "num_return_sequences": 3, "length_penalty": -1.0},
    {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 0.0, "early_stopping": "never"},
    {"num_beams": 3, "no_repeat_ngram_size": 2, "min_length": 12},
    {"num_beams": 3, "repetition_penalty": 1.5, "use_cache": False},
    {"num_beams": 3, "forced_bos_token_id": 7, "forced_eos_token_id": 2},
    {"num_beams": 3, "num_return_sequences": 3, "eos_token_id": [2, 11, 30]},
]
SAMPLING: list[dict[str, Any]] = [
    {},
    {"num_return_sequences": 3},
    {"temperature": 0.4, "top_k": 0},
    {"temperature": 2.5, "top_k": 5},
    {"top_k": 0, "top_p": 0.6, "num_return_sequences": 2},
    {"top_k": 12, "top_p": 0.9, "temperature": 1.7, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2},
]


def told(options: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in options.items()) or "plain"


@pytest.mark.parametrize("options", GREEDY, ids=told)
def test_greedy(writers: Any, options: dict[str, Any]) -> None:
    ours, theirs = writers.both(**options)
    assert ours.sequences.tolist() == theirs.sequences.tolist()
    assert ours.sequences_scores is None


@pytest.mark.parametrize("options", BEAMS, ids=told)
def test_beams(writers: Any, options: dict[str, Any]) -> None:
    """In the same order, which the scores decide."""
    ours, theirs = writers.both(max_length=20, **options)
    assert ours.sequences.tolist() == theirs.sequences.tolist()
    rows = ours.sequences_scores.unflatten(0, (3, -1))
    assert (rows[:, :-1] >= rows[:, 1:]).all()
    assert ours.sequences_scores.shape == theirs.sequences_scores.shape


@pytest.mark.parametrize("options", SAMPLING, ids=told)
def test_sampling(writers: Any, options: dict[str, Any]) -> None:
    ours, theirs = writers.both(max_length=20, do_sample=True, **options)
    assert ours.sequences.tolist() == theirs.sequences.tolist()


def test_what_is_compared_above_is_worth_comparing(writers: Any) -> None:
    """Many tokens, rows that end early or not; each option changes what comes out."""
    plain = [
        each.tolist()
        for each in (writers.both(**GREEDY[0])[0].sequences, writers.both(max_length=20, **BEAMS[0])[0].sequences)
    ]
    assert len({token for row in plain[0] for token in row}) > 5
    assert plain[0] != plain[1]
    found = [writers.both(max_length=20, **options)[0].sequences.tolist() for options in BEAMS]
    assert len({str(each) for each in found}) >= 8
    ended = [row[-1] == 1 for result in found for row in result]
    assert any(ended)
    assert not all(ended)


def test_prompts_of_the_decoder(led_writers: Any) -> None:
    """The start token is put in front where no row begins with it; padding on the left of the prompt."""
    prompts = torch.tensor([[5, 6, 7], [8, 9, 10], [11, 12, 13]])
    for options in ({}, {"num_beams": 3}):
        both = led_writers.both(decoder_input_ids=prompts, max_length=14, **options)
        assert both[0].sequences.tolist() == both[1].sequences.tolist()
        assert both[0].sequences[:, :4].tolist() == [[2, *row] for row in prompts.tolist()]
        started = torch.cat([torch.full((3, 1), 2), prompts], dim=1)
        again = led_writers.ours.generate(**led_writers.given, decoder_input_ids=started, max_length=14, **options)
        assert again.tolist() == both[0].sequences.tolist()


def test_encoder_outputs_that_are_passed_in(led_writers: Any) -> None:
    given, model = led_writers.given, led_writers.ours
    encoded = model.led.encoder(**given)
    options = {"attention_mask": given["attention_mask"], "max_length": 14, "num_beams": 3}
    whole = model.generate(**given, max_length=14, num_beams=3)
    for each in (encoded, (encoded.last_hidden_state,)):
        assert torch.equal(model.generate(encoder_outputs=each, **options), whole)
    words = model.led.shared(given["input_ids"])
    flags = given["global_attention_mask"]
    assert torch.equal(model.generate(inputs_embeds=words, global_attention_mask=flags, **options), whole)


def test_global_attention_reaches_the_encoder(led_writers: Any) -> None:
    given = {name: value for name, value in led_writers.given.items() if name != "global_attention_mask"}
    without = led_writers.ours.generate(**given, max_length=20)
    assert without.tolist() != led_writers.ours.generate(**led_writers.given, max_length=20).tolist()
    assert without.tolist() == led_writers.theirs.generate(**given, max_length=20).tolist()
