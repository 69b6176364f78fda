"""What `generate` promises by itself: caches, padding, beams against scores by hand, seeds, head masks, errors."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from trueband.optimized import XLMRobertaForCausalLM
from trueband.properties.bounds import Bound
from trueband.properties.results.verdict import judge
from trueband.reference import XLMRobertaConfig
from trueband.reference.config import GenerationConfig


@pytest.mark.parametrize("options", [{}, {"num_beams": 3, "num_return_sequences": 3}], ids=["greedy", "beams"])
def test_left_padded_prompts_are_prompts_without_padding(led_writers: Any, options: Any) -> None:
    """Of LED's decoder, where the peer's cached steps do not look at the mask: a prompt of its own kind of padding.
    Positions count the padding, so it is compared with the same without a cache.
    """
    prompts = torch.tensor([[1, 1, 7], [1, 9, 10], [11, 12, 13]])
    mask = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 1]])
    given = {**led_writers.given, "decoder_input_ids": prompts, "decoder_attention_mask": mask, "max_length": 16}
    cached = led_writers.ours.generate(**given, **options)
    assert torch.equal(cached, led_writers.ours.generate(**given, use_cache=False, **options))
    unmasked = {name: value for name, value in given.items() if name != "decoder_attention_mask"}
    assert not torch.equal(led_writers.ours.generate(**unmasked, **options), cached)


def test_left_padding_of_a_causal_model_changes_nothing(roberta_writers: Any) -> None:
    """Positions are those of the real tokens, with a cache as without."""
    model, ids = roberta_writers.ours, roberta_writers.given["input_ids"]
    for options in ({}, {"num_beams": 3}):
        alone = model.generate(ids[1:2, 2:], max_new_tokens=9, **options)
        padded = model.generate(ids, max_new_tokens=9, **options)
        assert padded[1, 2 : 2 + alone.shape[1]].tolist() == alone[0].tolist()
        assert torch.equal(padded, model.generate(ids, attention_mask=ids != 1, max_new_tokens=9, **options))


def test_rows_do_not_influence_each_other(writers: Any) -> None:
    for options in ({}, {"num_beams": 3}):
        whole = writers.ours.generate(**writers.given, max_new_tokens=12, **options)
        for row in range(3):
            given = {name: value[row : row + 1] for name, value in writers.given.items()}
            alone = writers.ours.generate(**given, max_new_tokens=12, **options)[0].tolist()
            assert whole[row, : len(alone)].tolist() == alone
            assert set(whole[row, len(alone) :].tolist()) <= {1}


@torch.no_grad()
def test_scores_of_beams_are_those_of_their_tokens(roberta_writers: Any) -> None:
    """log-probability / tokens ** length_penalty, from one pass over the finished sequence, uncached, in float64."""
    model, ids = copy.deepcopy(roberta_writers.ours).double(), roberta_writers.given["input_ids"]
    options = {"num_beams": 4, "num_return_sequences": 4, "max_new_tokens": 9, "length_penalty": 0.7}
    result = model.generate(ids, return_dict_in_generate=True, **options)
    for row, score in zip(result.sequences, result.sequences_scores, strict=True):
        end = next((i + 1 for i in range(6, len(row)) if row[i] == 2), len(row))
        logits = model(row[None, :end], row[None, :end] != 1).logits[0, 5 : end - 1]
        own = logits.log_softmax(-1).gather(-1, row[6:end, None])
        expected = float(own.sum()) / (end - 6) ** 0.7
        # Each logit is the sum of at most 64 products in each of some ten steps; the logarithms are added up.
        roundings = 64 * 10 * 2.0**-53 * float(logits.abs().sum(dim=-1).max()) * (end - 6)
        verdict = judge(np.array(float(score)), np.array(expected), Bound({"roundings": np.array(roundings)}))
        assert verdict.passed, str(verdict)


def test_one_beam_is_greedy(writers: Any) -> None:
    plain = writers.ours.generate(**writers.given, max_new_tokens=9)
    config = GenerationConfig(max_new_tokens=9, num_beams=1)
    assert torch.equal(writers.ours.generate(generation_config=config, **writers.given), plain)
    changed = writers.ours.generate(generation_config=config, **writers.given, max_new_tokens=5)
    assert torch.equal(changed, plain[:, : changed.shape[1]])


def test_beams_that_do_not_exist_are_the_prompt_and_padding(led_writers: Any) -> None:
    """The only first token is an end token: one beam of three finishes, and nothing runs on."""
    options = {"forced_bos_token_id": 8, "eos_token_id": 8, "num_beams": 3, "num_return_sequences": 2}
    result = led_writers.ours.generate(**led_writers.given, return_dict_in_generate=True, **options)
    assert result.sequences.tolist() == [[2, 8], [2, 1]] * 3
    assert result.sequences_scores.tolist() == [0.0, -np.inf] * 3


def test_seeds(writers: Any) -> None:
    def draw(seed: int) -> Any:
        generator = torch.Generator().manual_seed(seed)
        return writers.ours.generate(**writers.given, do_sample=True, generator=generator).tolist()

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_head_masks_reach_the_layers(led_writers: Any, roberta_writers: Any) -> None:
    sizes = {"head_mask": (2, 4), "decoder_head_mask": (2, 2), "cross_attn_head_mask": (2, 2)}
    plain = led_writers.ours.generate(**led_writers.given, max_length=20).tolist()
    for name, size in sizes.items():
        masked = led_writers.ours.generate(**led_writers.given, max_length=20, **{name: torch.zeros(size)}).tolist()
        assert masked != plain
    plain = roberta_writers.ours.generate(**roberta_writers.given, max_length=20).tolist()
    assert (
        roberta_writers.ours.generate(**roberta_writers.given, max_length=20, head_mask=torch.zeros(2, 4)).tolist()
        != plain
    )


@pytest.mark.parametrize("kind", ["relative_key", "relative_key_query", "cross-attention"])
def test_other_causal_models(small: dict[str, Any], randomize: Any, kind: str) -> None:
    """Cached steps write what uncached ones write, with padding on the left of the prompt."""
    fields = {"add_cross_attention": True} if kind == "cross-attention" else {"position_embedding_type": kind}
    model = randomize(XLMRobertaForCausalLM(XLMRobertaConfig(**small, is_decoder=True, **fields)))
    ids = torch.randint(3, 40, (3, 6))
    ids[1, :2] = 1
    given = {}
    if kind == "cross-attention":
        mask = torch.tensor([[1, 1, 1, 0], [1] * 4, [0, 1, 1, 1]])
        given = {"encoder_hidden_states": torch.randn(3, 4, 16), "encoder_attention_mask": mask}
    for options in ({}, {"num_beams": 3, "num_return_sequences": 2}, {"do_sample": True, "num_return_sequences": 2}):
        results = []
        for use_cache in (True, False):
            torch.manual_seed(2)
            results.append(model.generate(ids, **given, max_length=15, use_cache=use_cache, **options))
        assert torch.equal(*results)
    if given:
        given["encoder_attention_mask"] = 1 - mask
        assert not torch.equal(model.generate(ids, **given, max_length=15), model.generate(ids, max_length=15))


WRONG: list[tuple[type[Exception], dict[str, Any], str]] = [
    (TypeError, {"beams": 3}, "beams: expected an argument of generate or an option .*, got neither"),
    (ValueError, {"num_beams": 0}, "num_beams: expected an int >= 1, got 0"),
    (ValueError, {"num_return_sequences": 2}, r"num_return_sequences: expected num_beams \(1\) at most, got 2"),
    (ValueError, {"max_length": 1}, r"max_length: expected more than the \d tokens of the prompt, got 1"),
    (ValueError, {"top_p": 0.0}, "top_p: expected"),
    (TypeError, {"generator": 3}, "generator: expected a torch.Generator or None, got int"),
    (ValueError, {"attention_mask": torch.ones(3, 1)}, r"attention_mask: expected shape .*, got \(3, 1\)"),
    (ValueError, {"input_ids": torch.full((3, 6), 40)}, "input_ids: expected ids from 0 to 39, got 40"),
    (ValueError, {"eos_token_id": (2, 40)}, r"eos_token_id: expected ids from 0 to 39, got \(2, 40\)"),
    (ValueError, {"decoder_start_token_id": "2"}, "decoder_start_token_id: expected ids from 0 to 39, got '2'"),
    (TypeError, {"generation_config": {}}, "generation_config: expected a GenerationConfig or None, got dict"),
]


@pytest.mark.parametrize(("error", "changed", "message"), WRONG, ids=[next(iter(row[1])) for row in WRONG])
def test_wrong_options(writers: Any, error: type[Exception], changed: dict[str, Any], message: str) -> None:
    with pytest.raises(error, match=message):
        writers.ours.generate(**{**writers.given, **changed})


def test_wrong_prompts(led_writers: Any, roberta_writers: Any, small: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="input_ids: expected exactly one of input_ids and inputs_embeds, got neither"):
        led_writers.ours.generate()
    with pytest.raises(ValueError, match="decoder_input_ids: expected a batch of 3, got 2"):
        led_writers.ours.generate(**led_writers.given, decoder_input_ids=torch.full((2, 2), 7))
    with pytest.raises(ValueError, match="config: expected is_decoder True, got False"):
        XLMRobertaForCausalLM(XLMRobertaConfig(**small)).generate(torch.full((2, 2), 7))
    for wrong, message in ((3, "a LEDEncoderBaseModelOutput or a tuple, got int"), ((3,), "a torch tensor, got int")):
        with pytest.raises(TypeError, match=f"encoder_outputs: expected {message}"):
            led_writers.ours.generate(encoder_outputs=wrong)
    with pytest.raises(ValueError, match=r"inputs_embeds: expected shape \(batch, tokens, 16\), got \(2, 5\)"):
        led_writers.ours.generate(inputs_embeds=torch.zeros(2, 5))
    for name in ("encoder_hidden_states", "encoder_attention_mask"):
        with pytest.raises(TypeError, match=f"{name}: expected a torch tensor, got list"):
            roberta_writers.ours.generate(**{**roberta_writers.given, name: [1]})


def test_without_an_end_token_a_least_length_changes_nothing(writers: Any) -> None:
    options = {"eos_token_id": (), "max_length": 16}
    assert torch.equal(
        *(writers.ours.generate(**writers.given, **options, **least) for least in ({}, {"min_length": 9}))
    )
