"""How `generate` decodes where a call does not say: as the checkpoint does, and as the peer reads the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from trueband.optimized import LEDForConditionalGeneration, XLMRobertaForCausalLM
from trueband.reference.config import GenerationConfig

FILE = {"num_beams": 3, "max_length": 14, "length_penalty": 2.0, "no_repeat_ngram_size": 2, "early_stopping": True}
CALLS: list[dict[str, Any]] = [
    {},
    {"num_beams": 1},
    {"max_new_tokens": 5},
    {"max_length": 9},
    {"generation_config": {"num_beams": 2, "min_length": 9}},
    {"generation_config": {"num_beams": 2}, "max_length": 8},
]


@pytest.fixture
def folder(tmp_path: Path, make_peer: Any) -> Path:
    """A checkpoint of the peer that says how to decode."""
    transformers.utils.logging.disable_progress_bar()
    peer = make_peer("LEDForConditionalGeneration")
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.normal_(std=0.6, generator=torch.Generator().manual_seed(parameter.numel()))
    peer.generation_config.update(**FILE)
    peer.save_pretrained(tmp_path)
    return tmp_path


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_the_same_tokens_as_the_peer(call: dict[str, Any], folder: Path, ids: Tensor) -> None:
    own: Any = LEDForConditionalGeneration.from_pretrained(folder)
    peer = transformers.LEDForConditionalGeneration.from_pretrained(folder).eval()
    ours, theirs = dict(call), dict(call)
    if "generation_config" in call:
        ours["generation_config"] = GenerationConfig(**call["generation_config"])
        theirs["generation_config"] = transformers.GenerationConfig(**call["generation_config"])
    expected = peer.generate(ids, **theirs)
    assert own.generate(ids, **ours).tolist() == expected.tolist()
    if "generation_config" in call:  # the peer's own, too
        assert own.generate(ids, **theirs).tolist() == expected.tolist()
    greedy = own.generate(ids, GenerationConfig(**GenerationConfig().to_dict()))
    assert greedy.tolist() != expected.tolist()  # the wrong one: what no checkpoint says


def test_options_in_the_configuration_of_an_old_checkpoint(folder: Path, ids: Tensor) -> None:
    """They count where there is no generation_config.json, and not beside one."""
    new: Any = LEDForConditionalGeneration.from_pretrained(folder)
    rewrite(folder / "config.json", num_beams=1, max_length=6)
    same: Any = LEDForConditionalGeneration.from_pretrained(folder)
    assert same.generate(ids).tolist() == new.generate(ids).tolist()
    (folder / "generation_config.json").unlink()
    old: Any = LEDForConditionalGeneration.from_pretrained(folder)
    assert (old.generation_config.num_beams, old.generation_config.max_length) == (1, 6)
    greedy = GenerationConfig(**GenerationConfig(max_length=6).to_dict())  # every option is given
    assert old.generate(ids).tolist() == new.generate(ids, greedy).tolist()


def test_a_model_that_is_made_reads_its_configuration(make: Any, ids: Tensor) -> None:
    model = make("LEDForConditionalGeneration", num_beams=2, max_length=7)
    assert model.generation_config.num_beams == 2
    assert model.generate(ids).shape[1] <= 7
    assert make("LEDForConditionalGeneration").generate(ids).shape[1] <= 20


def test_a_decoder_reads_the_checkpoint(tmp_path: Path, make: Any, ids: Tensor) -> None:
    make("XLMRobertaForCausalLM", is_decoder=True).save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"max_length": 11, "num_beams": 2}))
    model: Any = XLMRobertaForCausalLM.from_pretrained(tmp_path)
    assert model.generate(ids).shape[1] <= 11
    assert torch.equal(model.generate(inputs=ids), model.generate(ids, num_beams=2, max_length=11))


def test_the_configuration_may_be_changed(folder: Path, ids: Tensor, tmp_path: Path) -> None:
    model: Any = LEDForConditionalGeneration.from_pretrained(folder)
    model.generation_config.num_beams = 1
    assert torch.equal(model.generate(ids), model.generate(ids, num_beams=1))
    model.save_pretrained(tmp_path / "new")
    written = json.loads((tmp_path / "new" / "generation_config.json").read_text())
    before = json.loads((folder / "generation_config.json").read_text())
    assert written == before | {"num_beams": 1}
    model.generation_config = GenerationConfig(max_length=5)
    assert model.generate(ids).shape[1] <= 5
    with pytest.raises(TypeError, match="generation_config: expected a GenerationConfig, got dict"):
        model.generation_config = {"num_beams": 2}
    model.generation_config.max_length = 0
    with pytest.raises(ValueError, match="max_length: expected an int >= 1, got 0"):
        model.generate(ids)


NOT_THERE: dict[str, Any] = {
    "bad_words_ids": [[3]],
    "diversity_penalty": 0.5,
    "encoder_no_repeat_ngram_size": 3,
    "exponential_decay_length_penalty": [3, 1.1],
    "force_words_ids": [[3]],
    "guidance_scale": 1.5,
    "min_p": 0.1,
    "num_beam_groups": 2,
    "penalty_alpha": 0.6,
    "renormalize_logits": True,
    "sequence_bias": {(3,): 1.0},
    "stop_strings": ["a"],
    "suppress_tokens": [3],
    "begin_suppress_tokens": [3],
    "typical_p": 0.9,
    "watermarking_config": {"bias": 2.0},
    "max_time": 1.0,
}


@pytest.mark.parametrize("name", NOT_THERE)
def test_an_option_that_would_change_the_text_is_refused_by_name(name: str, make: Any, ids: Tensor) -> None:
    model, wanted = (
        make("LEDForConditionalGeneration"),
        rf"{name}: expected None.*\(the option is not implemented\), got",
    )
    with pytest.raises(ValueError, match=wanted):
        model.generate(ids, **{name: NOT_THERE[name]})
    with pytest.raises(ValueError, match=wanted):
        GenerationConfig.from_dict({name: NOT_THERE[name]})
    with pytest.raises(ValueError, match=wanted):
        make("LEDForConditionalGeneration", **{name: NOT_THERE[name]}).generate(ids)


def test_a_checkpoint_that_asks_for_such_an_option(folder: Path, ids: Tensor) -> None:
    """It is read; only decoding is refused, unless the call takes the option back."""
    rewrite(folder / "generation_config.json", suppress_tokens=[3])
    model: Any = LEDForConditionalGeneration.from_pretrained(folder)
    with pytest.raises(ValueError, match="suppress_tokens: expected None"):
        model.generate(ids)
    assert model.generate(ids, suppress_tokens=None).shape[1] <= 14


def test_every_option_of_the_peer_is_known(make: Any, ids: Tensor) -> None:
    """With the peer's defaults nothing is refused, and nothing changes."""
    model = make("LEDForConditionalGeneration")
    defaults = transformers.GenerationConfig._get_default_generation_params()
    for name in transformers.GenerationConfig().to_dict():
        if not name.startswith("_"):
            model.generate(ids, **{"max_new_tokens": 1, name: defaults.get(name)})
    assert torch.equal(model.generate(ids, **defaults), model.generate(ids))


def test_arguments_that_stand_for_nothing_may_be_empty(make: Any, ids: Tensor) -> None:
    model = make("LEDForConditionalGeneration")
    empty: dict[str, Any] = {"logits_processor": [], "stopping_criteria": None, "streamer": None, "synced_gpus": False}
    assert torch.equal(model.generate(ids, **empty, output_scores=False), model.generate(ids))
    with pytest.raises(ValueError, match="logits_processor: expected None"):
        model.generate(ids, logits_processor=[print])
    with pytest.raises(ValueError, match="output_scores: expected False"):
        model.generate(ids, output_scores=True)
    with pytest.raises(TypeError, match="num_beam: expected an argument of generate or an option of GenerationConfig"):
        model.generate(ids, num_beam=2)
    with pytest.raises(ValueError, match="inputs: expected one of input_ids and inputs, got both"):
        model.generate(ids, inputs=ids)


def test_what_a_trainer_asks_for(make: Any, ids: Tensor) -> None:
    """It hands the labels on with the rest of a batch, and completes the model's options with the defaults."""
    model = make("LEDForConditionalGeneration", max_length=9)
    assert torch.equal(model.generate(ids, labels=ids), model.generate(ids))
    how = model.generation_config
    assert how.update(**how._get_default_generation_params(), defaults_only=True) == {}
    assert (how.max_length, how._from_model_config) == (9, False)
    assert how.update(num_beams=2, a_field_of_the_batch=1) == {"a_field_of_the_batch": 1}
    assert model.generation_config.given_options() == {"max_length": 9, "num_beams": 2}


@pytest.mark.parametrize("name", ["LEDForConditionalGeneration", "XLMRobertaForCausalLM"])
def test_steps_by_hand(name: str, make: Any, ids: Tensor) -> None:
    """The arguments of each step, prepared as the peer's decoding asks for them, give what `generate` gives."""
    model = make(name, **({"is_decoder": True} if name.startswith("XLM") else {}))
    given: dict[str, Any] = {"attention_mask": torch.ones_like(ids)}
    if name.startswith("LED"):
        given["encoder_outputs"] = model.get_encoder()(ids)
        so_far = torch.full((2, 1), 2)
    else:
        so_far = ids[:, :4]
        del given["attention_mask"]
    expected = model.generate(ids if name.startswith("LED") else so_far, max_length=12, eos_token_id=39, pad_token_id=1)
    cache = None
    while so_far.shape[1] < expected.shape[1]:
        step = model.prepare_inputs_for_generation(so_far, past_key_values=cache, use_cache=True, **given)
        read = step["decoder_input_ids" if name.startswith("LED") else "input_ids"].shape[1]
        assert read == (so_far.shape[1] if cache is None else 1)
        output = model(**step)
        cache = output.past_key_values
        assert cache.get_seq_length() == so_far.shape[1]
        assert len(cache) == 2
        assert cache[0].key.shape[2] == so_far.shape[1]
        so_far = torch.cat([so_far, output.logits[:, -1:].argmax(dim=-1)], dim=1)
    ends = (expected == 1).int().argmax(dim=1)
    assert all(torch.equal(a[: e or None], b[: e or None]) for a, b, e in zip(so_far, expected, ends, strict=True))
