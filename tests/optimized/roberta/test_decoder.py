"""XLM-RoBERTa as a decoder, with cross-attention, relative positions, pruned heads and chunked feed-forward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.autograd import gradcheck
from torch.func import functional_call

from trueband.optimized import XLMRobertaForCausalLM, XLMRobertaForMaskedLM, XLMRobertaModel
from trueband.properties.bounds import Bound, Precision
from trueband.properties.bounds.losses import cross_entropy_bound
from trueband.reference import XLMRobertaConfig
from trueband.reference.roberta import roberta_causal_lm, roberta_model

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "other padding": {"pad_token_id": 3, "max_position_embeddings": 20},
    "cross-attention": {"add_cross_attention": True},
    "relative_key": {"position_embedding_type": "relative_key"},
    "relative_key_query": {"position_embedding_type": "relative_key_query"},
    "pruned": {"pruned_heads": {0: (1,), 1: (0, 3)}},
    "chunked": {"chunk_size_feed_forward": 3},
    "untied": {"tie_word_embeddings": False},
}


def given_to(model: Any) -> dict[str, torch.Tensor]:
    """Padding on the left, on the right, and a masked token in the middle."""
    config, generator = model.config, torch.Generator().manual_seed(2)
    ids = torch.randint(4, 40, (3, 9), generator=generator)
    ids[0, :4], ids[1, 7:] = config.pad_token_id, config.pad_token_id
    mask = ids != config.pad_token_id
    mask[2, 3] = False
    given = {"input_ids": ids, "attention_mask": mask}
    if config.add_cross_attention:
        given["encoder_hidden_states"] = torch.randn(3, 5, 16, generator=generator, dtype=torch.float64)
        given["encoder_attention_mask"] = torch.tensor([[1, 1, 1, 0, 0], [1] * 5, [0, 1, 1, 1, 1]])
    return given


@pytest.mark.parametrize("decoder", [True, False], ids=["decoder", "encoder"])
@pytest.mark.parametrize("name", KINDS, ids=lambda name: name.replace(" ", "-"))
def test_against_the_reference(
    make: Any, moments_of: Any, sigmas: Any, same: Any, flat: Any, name: str, decoder: bool
) -> None:
    changed = {**KINDS[name], "is_decoder": decoder or "add_cross_attention" in KINDS[name]}
    model = make(XLMRobertaForCausalLM, **changed)
    head_mask = torch.rand(2, 4, dtype=torch.float64)
    given = {**given_to(model), "head_mask": head_mask}
    labels = given["input_ids"].masked_fill(~given["attention_mask"], -100)
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    arrays = {key: value.numpy() for key, value in {**given, "labels": labels}.items()}
    theirs = roberta_causal_lm(state, model.config, arrays.pop("input_ids"), **arrays, output_attentions=True)
    expected: dict[str, Any] = {"logits": theirs.logits, "loss": np.asarray(theirs.loss)}
    for field in ("hidden_states", "attentions", "cross_attentions"):
        expected |= {f"{field}.{i}": each for i, each in enumerate(getattr(theirs, field) or ())}

    def run(model: Any) -> dict[str, torch.Tensor]:
        output = model(**given, labels=labels, output_attentions=True, output_hidden_states=True)
        found: dict[str, torch.Tensor] = flat(output)
        return found

    moments = moments_of(model, given, "float64")
    bounds = sigmas(moments)
    bounds["loss"] = cross_entropy_bound(theirs.logits, labels.numel(), Precision.of("float64"), bounds["logits"])
    same(run(model), expected, bounds)


@pytest.mark.parametrize("pieces", [[1] * 9, [5, 1, 3]], ids=["one-by-one", "in-pieces"])
@pytest.mark.parametrize("name", KINDS, ids=lambda name: name.replace(" ", "-"))
def test_cached_is_uncached_with_left_padding(
    make: Any, moments_of: Any, sigmas: Any, same: Any, name: str, pieces: list[int]
) -> None:
    model = make(XLMRobertaForCausalLM, is_decoder=True, **KINDS[name])
    given = given_to(model)
    rest = {key: value for key, value in given.items() if key.startswith("encoder")}
    cache: Any = None
    start, logits = 0, []
    for count in pieces:
        part = slice(start, start := start + count)
        mask = given["attention_mask"][:, :start]
        output = model(given["input_ids"][:, part], mask, **rest, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        logits.append(output.logits)
    moments = moments_of(model, given, "float64")
    same({"logits": torch.cat(logits, dim=1)}, {"logits": model(**given).logits}, sigmas(moments, moments))
    assert cache.positions.tolist() == (given["input_ids"] != model.config.pad_token_id).sum(dim=1).tolist()
    order = torch.tensor([2, 2, 0])
    assert torch.equal(cache.reorder(order).positions, cache.positions[order])


@pytest.mark.parametrize("cross", [False, True], ids=["alone", "cross-attention"])
def test_against_the_peer(
    make: Any, small: Any, moments_of: Any, sigmas: Any, gradient_bounds: Any, same: Any, cross: bool
) -> None:
    """Outputs, loss and gradients without padding; and its cached logits with left padding, which are others."""
    fields: dict[str, Any] = {"is_decoder": True, "add_cross_attention": cross}
    model = make(XLMRobertaForCausalLM, **fields)
    config = transformers.XLMRobertaConfig(**small, **fields | {"attn_implementation": "eager"})
    peer = transformers.XLMRobertaForCausalLM(config).double().eval()
    assert set(peer.state_dict()) == set(model.state_dict())
    peer.load_state_dict(model.state_dict(), strict=True)
    given = given_to(model)
    ids = given["input_ids"]
    rest = {key: value for key, value in given.items() if key.startswith("encoder")}
    real = torch.randint(4, 40, ids.shape, generator=torch.Generator().manual_seed(8))

    moments = moments_of(model, {"input_ids": real, **rest}, "float64")
    bounds, single = sigmas(moments, moments), Precision.of("float32")  # in which the peer takes its loss
    logits = bounds["logits"] + Bound({"stored": single.accumulator * np.abs(moments["logits"].value)})
    bounds["loss"] = cross_entropy_bound(moments["logits"].value, real.numel(), single, logits)

    def run(model: Any) -> dict[str, torch.Tensor]:
        output = model(real, **rest, labels=real)
        return {"logits": output.logits, "loss": output.loss}

    same(run(model), run(peer), bounds)

    def gradients(model: Any) -> dict[str, torch.Tensor]:
        model.zero_grad()
        run(model)["loss"].backward()
        named = model.named_parameters(remove_duplicate=False)
        return {key: weight.grad.clone() for key, weight in named if not key.endswith("key.bias")}

    same(gradients(model), gradients(peer), gradient_bounds(model, gradients, "float32"))
    mask = (ids != 1).long()
    jumps = []
    for each in (model, peer):
        whole = each(ids, mask, **rest).logits[0, -1]
        cache = each(ids[:, :-1], mask[:, :-1], **rest, use_cache=True).past_key_values
        step = each(ids[:, -1:], mask, **rest, past_key_values=cache, use_cache=True).logits[0, -1]
        jumps.append(float((step - whole).detach().abs().max()))
    assert jumps[1] > 1e6 * jumps[0]


def test_pruning_is_masking(make: Any, moments_of: Any, sigmas: Any, same: Any) -> None:
    """What the reference computes with masked heads. Twice, and loaded again."""
    model = make(XLMRobertaModel)
    ids = torch.randint(3, 40, (2, 9))
    mask = torch.ones(2, 4, dtype=torch.float64)
    mask[0, 1] = mask[1, 0] = mask[1, 3] = 0
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    exact = roberta_model(state, model.config, ids.numpy(), head_mask=mask.numpy()).last_hidden_state

    def run(model: Any, **options: Any) -> dict[str, torch.Tensor]:
        return {"states": model(ids, **options).last_hidden_state}

    moments = moments_of(model, {"input_ids": ids, "head_mask": mask}, "float64")
    bounds = sigmas({"states": moments["last_hidden_state"]})
    same(run(model, head_mask=mask), {"states": exact}, bounds)
    model.prune_heads({0: [1], 1: [3]})
    model.prune_heads({1: [0, 3]})
    same(run(model), {"states": exact}, bounds)
    pruned = model(ids).last_hidden_state
    assert model.config.pruned_heads == {0: (1,), 1: (0, 3)}
    assert model.encoder.layer[1].attention.output.dense.weight.shape == (16, 8)
    other = XLMRobertaModel(model.config).double().eval()
    other.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(other(ids).last_hidden_state, pruned)
    with pytest.raises(ValueError, match="heads: expected at least one head left in layer 0, got none"):
        model.prune_heads({0: [0, 2, 3]})
    with pytest.raises(ValueError, match="pruned_heads: expected heads from 0 to 3, got"):
        model.prune_heads({0: [4]})


@pytest.mark.parametrize("chunk", [1, 4, 9, 100])
def test_chunks_of_any_size(make: Any, moments_of: Any, sigmas: Any, same: Any, chunk: int) -> None:
    """Each token is computed by itself; the peer refuses sizes that do not divide the length."""
    ids = torch.randint(3, 40, (2, 9))

    def run(model: Any) -> dict[str, torch.Tensor]:
        return {"states": model(ids).last_hidden_state}

    plain, chunked = (make(XLMRobertaModel, chunk_size_feed_forward=size) for size in (0, chunk))
    states = {"states": moments_of(plain, {"input_ids": ids}, "float64")["last_hidden_state"]}
    same(run(chunked), run(plain), sigmas(states, states))
    calls = []
    model = make(XLMRobertaModel, chunk_size_feed_forward=chunk)
    model.encoder.layer[0].intermediate.register_forward_hook(
        lambda module, given, output: calls.append(output.shape[1])
    )
    model(ids)
    assert calls == [min(chunk, 9 - start) for start in range(0, 9, chunk)]


def test_fully_masked_and_attentions_that_were_asked_for(make: Any, small: Any) -> None:
    """The peer: an average or zeros, by backend; and with SDPA no attentions."""
    ids, mask = torch.randint(3, 40, (2, 5)), torch.tensor([[1] * 5, [0] * 5])
    model = make(XLMRobertaModel)
    output = model(ids, mask, output_attentions=True)
    assert len(output.attentions) == 2
    assert not output.attentions[0][1].any()
    states, attentions = [], []
    for backend in ("eager", "sdpa"):
        config = transformers.XLMRobertaConfig(**small | {"attn_implementation": backend})
        peer = transformers.XLMRobertaModel(config).double().eval()
        peer.load_state_dict(model.state_dict())
        theirs = peer(ids, mask, output_attentions=True)
        states.append(theirs.last_hidden_state[1])
        attentions.append(len(theirs.attentions or ()))
    assert attentions == [2, 0]
    assert (states[0] - states[1]).abs().max() > 1e6 * (states[1] - output.last_hidden_state[1]).abs().max()


def test_checkpointing_and_anomalies(make: Any) -> None:
    for kind in KINDS.values():
        model = make(XLMRobertaForCausalLM, is_decoder=True, **kind, attention_probs_dropout_prob=0.2).train()
        given = given_to(model)
        found = []
        for on in (False, True):
            (model.gradient_checkpointing_enable if on else model.gradient_checkpointing_disable)()
            torch.manual_seed(1)
            model.zero_grad()
            with torch.autograd.set_detect_anomaly(True, check_nan=True):
                model(**given, labels=given["input_ids"]).loss.backward()
            found.append([None if weight.grad is None else weight.grad.clone() for weight in model.parameters()])
        assert all(a is b is None or torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("name", ["plain", "cross-attention", "relative_key", "relative_key_query"])
def test_derivatives(small: Any, randomize: Any, name: str) -> None:
    """Of the whole model by every weight, against finite differences along a random direction."""
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 6, "max_position_embeddings": 12}
    config = XLMRobertaConfig(**{**small, **sizes, "vocab_size": 9}, is_decoder=True, **KINDS[name])
    model = randomize(XLMRobertaForCausalLM(config).double())
    ids = torch.tensor([[1, 1, 5, 6, 7], [3, 4, 5, 2, 8]])
    given: dict[str, Any] = {"input_ids": ids, "attention_mask": ids != 1}
    if config.add_cross_attention:
        given["encoder_hidden_states"] = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True)
        given["encoder_attention_mask"] = torch.tensor([[1, 1, 0], [1, 1, 1]])
    names = [key for key, _ in model.named_parameters()]
    weights = [weight.detach().clone().requires_grad_() for weight in model.parameters()]

    def function(*values: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = functional_call(model, dict(zip(names, values, strict=True)), (), given).logits
        return result[ids != 1]

    assert gradcheck(function, weights, fast_mode=True)


@torch.no_grad()
@pytest.mark.parametrize("name", ["plain", "cross-attention", "relative_key_query"])
def test_cached_steps_are_one_graph(make: Any, name: str) -> None:
    graphs: list[Any] = []

    def backend(graph: Any, example: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    model = make(XLMRobertaForCausalLM, is_decoder=True, **KINDS[name])
    function = torch.compile(model, fullgraph=True, dynamic=True, backend=backend)
    given = given_to(model)
    ids, mask = given.pop("input_ids"), given.pop("attention_mask")
    cache = model(ids[:, :6], mask[:, :6], **given).past_key_values
    for step in range(6, 9):
        part = (ids[:, step : step + 1].clone(), mask[:, : step + 1])
        eager, graph = (each(*part, **given, past_key_values=cache) for each in (model, function))
        assert torch.equal(eager.logits, graph.logits)
        cache = graph.past_key_values
    assert len(graphs) == 1


def test_wrong_inputs(make: Any) -> None:
    ids = torch.full((2, 5), 7)
    states = torch.zeros(2, 3, 16).double()
    decoder = make(XLMRobertaForCausalLM, is_decoder=True)
    with pytest.raises(ValueError, match="encoder_hidden_states: expected None without add_cross_attention"):
        decoder(ids, encoder_hidden_states=states)
    cache = decoder(ids).past_key_values
    with pytest.raises(ValueError, match=r"attention_mask: expected shape .*\(2, 6\), got \(2, 1\)"):
        decoder(ids[:, :1], torch.ones(2, 1), past_key_values=cache)
    with pytest.raises(ValueError, match="past_key_values: expected a batch of 1, got 2"):
        decoder(ids[:1, :1], past_key_values=cache)
    with pytest.raises(ValueError, match="past_key_values: expected None where is_decoder is False, got a cache"):
        make(XLMRobertaForMaskedLM)(ids, past_key_values=cache)
    with pytest.raises(ValueError, match="input_ids: expected at most 58 tokens, got 59"):
        decoder(torch.full((2, 54), 7), past_key_values=cache)
    across = make(XLMRobertaForCausalLM, is_decoder=True, add_cross_attention=True)
    with pytest.raises(ValueError, match="encoder_hidden_states: expected a batch of 2, got 1"):
        across(ids, encoder_hidden_states=states[:1])
    relative = make(XLMRobertaForCausalLM, position_embedding_type="relative_key")
    with pytest.raises(ValueError, match="input_ids: expected at most 60 tokens, got 61"):
        relative(torch.full((2, 61), 1))
