"""`attn_implementation="trueband"`: calls of the interface against the reference, models against themselves eager."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn

from trueband.integrations.transformers import patch, register, unpatch
from trueband.integrations.transformers.interface import attention
from trueband.properties.bounds import Precision, attention_bound
from trueband.properties.results.verdict import judge
from trueband.reference import band_attention
from trueband.reference.arguments import check_arguments

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 60,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def mistral() -> Any:
    return transformers.MistralForCausalLM(
        transformers.MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=5, tie_word_embeddings=True)
    )


def modernbert() -> Any:
    own: dict[str, Any] = {"global_attn_every_n_layers": 2, "cls_token_id": 1, "sep_token_id": 2}
    return transformers.ModernBertForMaskedLM(transformers.ModernBertConfig(**SIZES, local_attention=8, **own))


def gemma2(softcap: float | None = None) -> Any:
    return transformers.Gemma2ForCausalLM(
        transformers.Gemma2Config(
            **SIZES,
            num_key_value_heads=1,
            head_dim=4,
            query_pre_attn_scalar=4,
            sliding_window=6,
            attn_logit_softcapping=softcap,
        )
    )


def capped() -> Any:
    return gemma2(softcap=2.0)


def gpt_oss() -> Any:
    own: dict[str, Any] = {"num_key_value_heads": 2, "head_dim": 4, "num_local_experts": 2, "num_experts_per_tok": 1}
    return transformers.GptOssForCausalLM(transformers.GptOssConfig(**SIZES, **own, sliding_window=5))


MODELS = [mistral, modernbert, gemma2, capped]  # gpt-oss' experts take no float64


@pytest.mark.parametrize("seed", range(40))
def test_calls_are_the_operator_of_the_contract(seed: int) -> None:
    """Key heads, windows of either kind, queries of the last tokens, padding, softcap and sinks."""
    rng = np.random.default_rng([seed, 17])
    causal = bool(rng.random() < 0.7)
    tokens = int(rng.integers(1, 30))
    queries = int(rng.choice([1, tokens, int(rng.integers(1, tokens + 1))])) if causal else tokens
    batch, key_heads, repeats = (int(each) for each in rng.integers(1, 4, 3))
    query = rng.standard_normal((batch, key_heads * repeats, queries, 4)).astype(np.float32)
    key, value = rng.standard_normal((2, batch, key_heads, tokens, 4)).astype(np.float32)
    width = None if rng.random() < 0.3 else int(rng.integers(1, 34))
    real = rng.random((batch, tokens)) < 0.8 if rng.random() < 0.6 else None
    left = None if width is None else width - 1
    options: dict[str, Any] = {"window": (left, left), "causal": causal, "offset": tokens - queries, "scale": 0.3}
    options["softcap"] = 2.0 if rng.random() < 0.3 else None
    sinks = rng.standard_normal(key_heads * repeats).astype(np.float32) if rng.random() < 0.3 else None
    options["sinks"] = sinks
    expected = band_attention(query, key, value, attention_mask=real, **options).output
    output, weights = attention(
        nn.Identity(),
        torch.tensor(query),
        torch.tensor(key),
        torch.tensor(value),
        None if real is None else torch.tensor(real),
        scaling=0.3,
        sliding_window=width,
        is_causal=causal,
        softcap=options["softcap"],
        s_aux=None if sinks is None else torch.tensor(sinks),
    )
    assert weights is None
    bound = attention_bound(check_arguments(query, key, value, attention_mask=real, **options), Precision.of("float32"))
    verdict = judge(output.transpose(1, 2).numpy(), expected, bound)
    assert verdict.passed, str(verdict)


def inputs() -> dict[str, Tensor]:
    ids = torch.randint(3, 40, (3, 24), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[0, :7] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("make", MODELS)
def test_models_compute_what_they_compute_eagerly(make: Any, randomize: Any, gradient_bounds: Any, same: Any) -> None:
    """Logits of real tokens and all gradients: both within the bound on float32's of those in float64."""
    given = inputs()
    real = given["attention_mask"].bool()

    def run(model: Any) -> dict[str, Tensor]:
        model.zero_grad()
        logits = model(**given).logits[real]
        logits.mul(torch.linspace(-1, 1, 40, dtype=logits.dtype)).sum().backward()
        return {"logits": logits} | {name: each.grad for name, each in model.named_parameters()}

    exact, model = patch(randomize(make()).double()), randomize(make())
    model.set_attn_implementation("eager")
    eagerly = {name: each.clone() for name, each in run(model).items()}
    wrapper = nn.Sequential(model)
    assert patch(wrapper) is wrapper
    assert patch(model) is model
    assert model.config._attn_implementation == "trueband"
    bounds = gradient_bounds(exact, run, "float32")
    expected = run(exact)
    same(run(model), expected, bounds)
    same(eagerly, expected, bounds)
    assert unpatch(model).config._attn_implementation == "eager"
    model.set_attn_implementation("trueband")  # the wrong one: a window that is one token narrower
    narrow(model)
    with pytest.raises(AssertionError, match="EXCEEDS"):
        same(run(model), expected, bounds)


def narrow(model: Any) -> None:
    for part in model.modules():
        if getattr(part, "sliding_window", None):
            part.sliding_window -= 1
    if model.config.model_type == "mistral":
        model.config.sliding_window -= 1


@pytest.mark.parametrize("make", [mistral, gemma2, capped, gpt_oss])
@pytest.mark.parametrize("cache", [None, "static"])
def test_generated_tokens_are_those_of_eager(make: Any, cache: str | None, randomize: Any) -> None:
    model, options = randomize(make()), {"max_new_tokens": 9, "min_new_tokens": 9}
    model.set_attn_implementation("eager")
    expected = model.generate(**inputs(), **options)
    found = patch(model).generate(**inputs(), **options, cache_implementation=cache)
    assert torch.equal(found, expected)
    beams = model.generate(**inputs(), **options, num_beams=3)
    assert torch.equal(unpatch(model).generate(**inputs(), **options, num_beams=3), beams)


def test_the_name_is_known_to_from_pretrained(tmp_path: Any, randomize: Any) -> None:
    register()
    model = randomize(mistral())
    model.save_pretrained(tmp_path / "plain")
    patch(model).save_pretrained(tmp_path / "patched")
    files = [{path.name: path.read_bytes() for path in each.iterdir()} for each in sorted(tmp_path.iterdir())]
    assert files[0] == files[1]
    read = type(model).from_pretrained(tmp_path / "plain", attn_implementation="trueband").eval()
    assert read.config._attn_implementation == "trueband"
    assert torch.equal(read(**inputs()).logits, model(**inputs()).logits)


def test_what_the_operator_does_not_have_is_refused_in_one_line() -> None:
    model = patch(mistral())
    table = torch.zeros(3, 1, 24, 24)
    with pytest.raises(ValueError, match=r"attention_mask: expected shape \(batch, tokens\) .* got \(3, 1, 24, 24\)"):
        model(input_ids=inputs()["input_ids"], attention_mask=table)
    packed = torch.arange(24).remainder(10).expand(3, -1)
    with pytest.raises(ValueError, match=r"mask_function: expected .* got packed_sequence_mask_function"):
        model(input_ids=inputs()["input_ids"], position_ids=packed, use_cache=False)
    query, one = torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 3, 4)
    for options, told in (
        ({"softcap": 0.0}, "softcap: expected a finite float > 0 or None, got 0.0"),
        ({"s_aux": torch.zeros(2)}, r"sinks: expected shape \(heads,\) = \(1,\), got \(2,\)"),
        ({"position_bias": one}, "position_bias: expected None with the attention of trueband, got Tensor"),
    ):
        with pytest.raises(ValueError, match=told):
            attention(nn.Identity(), query, one, one, None, **options)


def test_a_model_without_windows_is_refused() -> None:
    config = transformers.LlamaConfig(**SIZES)
    with pytest.raises(ValueError, match="or sliding windows behind the attention interface, got LlamaForCausalLM"):
        patch(transformers.LlamaForCausalLM(config))
