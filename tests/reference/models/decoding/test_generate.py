"""Decoding with whole models against the peer's `generate`, token for token."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from trueband.properties.results.verdict import judge_exact
from trueband.reference.config import GenerationConfig, LEDConfig, XLMRobertaConfig
from trueband.reference.decoding import Generated
from trueband.reference.decoding_models import led_generate, roberta_generate
from trueband.reference.embeddings import positions_from_ids

LED_SIZES: dict[str, Any] = {
    "vocab_size": 30,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 24,
    "max_encoder_position_embeddings": 40,
    "max_decoder_position_embeddings": 24,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "init_std": 0.8,
    "attention_window": [4, 6],
}
ROBERTA_SIZES: dict[str, Any] = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "initializer_range": 0.8,
    "is_decoder": True,
    "attn_implementation": "eager",
}
PAD, EOS = 1, 2
OPTIONS: list[dict[str, Any]] = [
    {},
    {"max_length": 7},
    {"max_new_tokens": 5, "min_new_tokens": 4},
    {"min_length": 8},
    {"repetition_penalty": 1.7},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2, "repetition_penalty": 0.8},
    {"forced_eos_token_id": 2, "max_length": 6, "min_length": 6},
    {"eos_token_id": [2, 5, 9]},
    {"num_beams": 2},
    {"num_beams": 4, "num_return_sequences": 4},
    {"num_beams": 3, "num_return_sequences": 3, "length_penalty": 2.0},
    {"num_beams": 3, "num_return_sequences": 2, "length_penalty": -1.0},
    {"num_beams": 3, "num_return_sequences": 3, "length_penalty": 0.0, "early_stopping": "never"},
    {"num_beams": 3, "num_return_sequences": 3, "length_penalty": 1.5, "early_stopping": "never"},
    {"num_beams": 3, "num_return_sequences": 3, "early_stopping": True},
    {"num_beams": 4, "num_return_sequences": 2, "no_repeat_ngram_size": 2, "min_length": 5, "early_stopping": True},
    {"num_beams": 3, "repetition_penalty": 1.5, "length_penalty": 0.6},
    {"num_beams": 3, "forced_eos_token_id": 2, "max_length": 6},
    {"num_beams": 2, "num_return_sequences": 2, "eos_token_id": [2, 5, 9]},
]


@cache
def led(peer: Any, state_of: Any, seed: int) -> tuple[Any, LEDConfig, dict[str, np.ndarray]]:
    model = peer("LEDForConditionalGeneration", transformers.LEDConfig(**LED_SIZES), "float64", seed)
    model.final_logits_bias.data[0, EOS] += 3.0  # so that sequences end at different lengths
    return model, LEDConfig.from_dict(LED_SIZES), state_of(model)


@cache
def roberta(peer: Any, state_of: Any, seed: int) -> tuple[Any, XLMRobertaConfig, dict[str, np.ndarray]]:
    config = transformers.XLMRobertaConfig(**ROBERTA_SIZES)
    model = peer("XLMRobertaForCausalLM", config, "float64", seed)
    model.lm_head.bias.data[EOS] += 4.0
    return model, XLMRobertaConfig.from_dict(ROBERTA_SIZES), state_of(model)


def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Input ids with padding, their mask, and global flags."""
    ids = np.random.default_rng(1).integers(3, 30, size=(3, 12))
    ids[0, -3:], ids[1, -1:] = PAD, PAD
    flags = np.zeros_like(ids)
    flags[:, 0], flags[2, 5] = 1, 1
    return ids, (ids != PAD).astype(np.int64), flags


def theirs(model: Any, options: dict[str, Any], **inputs: Any) -> np.ndarray:
    given = {name: torch.tensor(value) if isinstance(value, np.ndarray) else value for name, value in inputs.items()}
    plain = {"do_sample": False, "max_length": None if "max_new_tokens" in options else 12}
    with torch.no_grad():
        result: np.ndarray = model.generate(**given, **(plain | options)).numpy()
    return result


def agree(ours: Generated, expected: np.ndarray) -> None:
    assert ours.sequences.tolist() == expected.tolist()


def generation(options: dict[str, Any]) -> GenerationConfig:
    return GenerationConfig.from_dict({"max_length": 12} | options)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_led(peers: SimpleNamespace, options: dict[str, Any], seed: int) -> None:
    model, config, state = led(peers.peer, peers.state_of, seed)
    ids, mask, flags = batch()
    expected = theirs(model, options, input_ids=ids, attention_mask=mask, global_attention_mask=flags)
    ours = led_generate(state, config, ids, generation(options), attention_mask=mask, global_attention_mask=flags)
    agree(ours, expected)
    assert (ours.sequences_scores is None) == (options.get("num_beams", 1) == 1)


@pytest.mark.parametrize("beams", [1, 3])
def test_led_forces_its_first_token(peers: SimpleNamespace, beams: int) -> None:
    model, config, state = led(peers.peer, peers.state_of, 0)
    ids, mask, flags = batch()
    options = {"forced_bos_token_id": 17, "num_beams": beams}
    expected = theirs(model, options, input_ids=ids, attention_mask=mask, global_attention_mask=flags)
    ours = led_generate(state, config, ids, generation(options), global_attention_mask=flags)
    agree(ours, expected)
    assert (ours.sequences[:, 1] == 17).all()


def test_global_tokens_and_padding_reach_the_encoder(peers: SimpleNamespace) -> None:
    model, config, state = led(peers.peer, peers.state_of, 0)
    ids, mask, flags = batch()
    options = {"num_beams": 2, "num_return_sequences": 2}
    expected = theirs(model, options, input_ids=ids, attention_mask=mask, global_attention_mask=flags).tolist()
    inferred = led_generate(state, config, ids, generation(options), global_attention_mask=flags)
    assert inferred.sequences.tolist() == expected  # padding is told by its id
    none = led_generate(state, config, ids, generation(options), attention_mask=mask)
    assert none.sequences.tolist() != expected  # the wrong one: nothing is global
    everything = led_generate(
        state, config, ids, generation(options), attention_mask=np.ones_like(mask), global_attention_mask=flags
    )
    assert everything.sequences.tolist() != expected  # the wrong one: padding is read


@pytest.mark.parametrize("prompt", [[[2, 7, 8], [2, 9, 4], [2, 5, 5]], [[7, 8], [9, 4], [5, 6]]])
@pytest.mark.parametrize("beams", [1, 3])
def test_led_goes_on_from_a_prompt(peers: SimpleNamespace, prompt: list[list[int]], beams: int) -> None:
    model, config, state = led(peers.peer, peers.state_of, 1)
    ids, mask, flags = batch()
    options = {"num_beams": beams}
    prompted: dict[str, Any] = {"decoder_input_ids": np.array(prompt)}
    inputs = prompted | {"attention_mask": mask, "global_attention_mask": flags}
    expected = theirs(model, options, input_ids=ids, **inputs)
    agree(led_generate(state, config, ids, generation(options), **inputs), expected)
    assert (expected[:, 0] == 2).all()


def test_what_the_padding_of_a_prompt_holds_does_not_matter(peers: SimpleNamespace) -> None:
    _, config, state = led(peers.peer, peers.state_of, 2)
    ids, _, flags = batch()
    mask = np.array([[0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]])
    options: dict[str, Any] = {"global_attention_mask": flags, "decoder_attention_mask": mask}
    results = []
    for filler in (PAD, 9):
        prompt = np.where(mask == 1, np.array([[2, 4, 2, 8]]), filler)
        results.append(led_generate(state, config, ids, generation({}), decoder_input_ids=prompt, **options).sequences)
        assert results[-1][:, :4].tolist() == prompt.tolist()  # one row begins with the start token: none is added
    assert results[0][:, 4:].tolist() == results[1][:, 4:].tolist()
    del options["decoder_attention_mask"]  # the wrong one: the padding is read
    prompts = [np.where(mask == 1, [[2, 4, 2, 8]], filler) for filler in (PAD, 9)]
    read = [led_generate(state, config, ids, generation({}), decoder_input_ids=prompt, **options) for prompt in prompts]
    assert read[0].sequences[:, 4:].tolist() != read[1].sequences[:, 4:].tolist()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_roberta(peers: SimpleNamespace, options: dict[str, Any], seed: int) -> None:
    """The peer counts positions from 0 here, and pads with its cache: it is given the right ones, and no cache."""
    model, config, state = roberta(peers.peer, peers.state_of, seed)
    prompts = np.array([[PAD, PAD, 0, 9], [PAD, 0, 12, 7], [0, 5, 6, 21]])
    mask = (prompts != PAD).astype(np.int64)
    positions = positions_from_ids(prompts, PAD)
    expected = theirs(model, options, input_ids=prompts, attention_mask=mask, position_ids=positions, use_cache=False)
    agree(roberta_generate(state, config, prompts, generation(options), attention_mask=mask), expected)


def test_left_padding_does_not_change_what_follows(peers: SimpleNamespace) -> None:
    _, config, state = roberta(peers.peer, peers.state_of, 0)
    prompt = np.array([[0, 9, 4]])
    padded = np.concatenate([np.full((1, 3), PAD), prompt], axis=1)
    options = {"max_new_tokens": 6, "num_beams": 2, "num_return_sequences": 2}
    plain = roberta_generate(state, config, prompt, generation(options))
    ours = roberta_generate(state, config, padded, generation(options))
    assert judge_exact(ours.sequences[:, 3:], plain.sequences).passed
    everything = roberta_generate(state, config, padded, generation(options), attention_mask=np.ones_like(padded))
    assert everything.sequences[:, 3:].tolist() != plain.sequences.tolist()  # the wrong one: padding is read


def test_an_encoder_does_not_generate() -> None:
    with pytest.raises(ValueError, match="config: expected is_decoder True, got False"):
        roberta_generate({}, XLMRobertaConfig(), np.array([[0]]), GenerationConfig())
