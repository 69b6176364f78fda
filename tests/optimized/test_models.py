"""What the models promise beyond the values of their layers (docs/contract.md, sections 2 and 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from trueband.optimized import LongformerForMaskedLM, LongformerModel, XLMRobertaForMaskedLM, XLMRobertaModel
from trueband.properties.bounds import Precision
from trueband.properties.bounds.encoder_variance import longformer_layer_moments, roberta_layer_moments
from trueband.properties.bounds.variance import known, sigma_bound
from trueband.properties.results.verdict import judge
from trueband.reference import LongformerConfig, XLMRobertaConfig

Fill = Callable[[torch.nn.Module], Any]


def roberta(small: dict[str, Any], kind: Any = XLMRobertaModel, **changed: Any) -> Any:
    return kind(XLMRobertaConfig(**{**small, **changed}))


def longformer(small: dict[str, Any], kind: Any = LongformerModel, **changed: Any) -> Any:
    return kind(LongformerConfig(**{**small, "attention_window": (4, 6), **changed}))


MAKERS = [roberta, longformer]


@pytest.mark.parametrize("make", MAKERS)
def test_any_length(small: dict[str, Any], randomize: Fill, make: Any) -> None:
    model = randomize(make(small))
    for tokens in range(1, 30):
        output = model(torch.full((1, tokens), 5), output_hidden_states=True, output_attentions=True)
        assert output.last_hidden_state.shape == (1, tokens, 16)
        assert len(output.hidden_states) == 3
        assert len(output.attentions) == 2
        assert output.last_hidden_state.isfinite().all()


@pytest.mark.parametrize("make", MAKERS)
def test_head_mask_is_a_scaling_of_the_values(small: dict[str, Any], randomize: Fill, batch: Any, make: Any) -> None:
    """Powers of two commute with every rounding: exactly the model whose heads have scaled value projections."""
    model, scaled = randomize(make(small)), randomize(make(small))
    head_mask = torch.tensor([[1.0, 0.0, 0.5, 2.0], [0.25, 1.0, 0.0, 4.0]])
    with torch.no_grad():
        for layer, weights in zip(scaled.encoder.layer, head_mask.repeat_interleave(4, dim=1), strict=True):
            attention = layer.attention.get_submodule("self")
            for part in [p for name, p in attention.named_children() if name.startswith("value")]:
                part.weight *= weights[:, None]
                part.bias *= weights
    masks = {"attention_mask": batch.mask}
    if make is longformer:
        masks["global_attention_mask"] = batch.global_mask
    output = model(batch.ids, **masks, head_mask=head_mask, output_attentions=True)
    assert torch.equal(output.last_hidden_state, scaled(batch.ids, **masks).last_hidden_state)
    plain = model(batch.ids, **masks, output_attentions=True)
    assert not torch.equal(plain.last_hidden_state, output.last_hidden_state)
    assert torch.equal(output.attentions[0], plain.attentions[0] * head_mask[0, :, None, None])
    assert not output.attentions[1][:, 2].any()


@pytest.mark.parametrize("make", MAKERS)
def test_masks_of_any_dtype(small: dict[str, Any], randomize: Fill, batch: Any, make: Any) -> None:
    model = randomize(make(small))
    expected = model(batch.ids, batch.mask).last_hidden_state
    for dtype in (torch.bool, torch.uint8, torch.int32, torch.float16, torch.float64):
        assert torch.equal(model(batch.ids, batch.mask.to(dtype)).last_hidden_state, expected)
    every = model(batch.ids).last_hidden_state
    assert torch.equal(model(batch.ids, torch.ones_like(batch.mask)).last_hidden_state, every)


@pytest.mark.parametrize("make", MAKERS)
def test_what_masked_tokens_hold(small: dict[str, Any], randomize: Fill, batch: Any, make: Any) -> None:
    model, real = randomize(make(small)), batch.mask.bool()
    positions = torch.arange(2, 15).expand_as(batch.ids)
    expected = model(batch.ids, batch.mask, position_ids=positions).last_hidden_state[real]
    other = batch.ids.where(real, torch.randint(3, 40, batch.ids.shape))
    assert not torch.equal(other, batch.ids)
    assert torch.equal(model(other, batch.mask, position_ids=positions).last_hidden_state[real], expected)


@pytest.mark.parametrize("make", MAKERS)
def test_any_number_of_pads_on_either_side(
    small: dict[str, Any], randomize: Fill, state_of: Callable[[torch.nn.Module], Any], make: Any
) -> None:
    """More tokens than positions, as pads need none; the real tokens come out as without pads."""
    model = randomize(make(small))
    ids, pad = torch.randint(3, 40, (1, 9)), torch.ones(1, 70, dtype=torch.int64)
    state, config, precision = state_of(model), model.config, Precision.of("float32")
    alone = model(ids, output_hidden_states=True).hidden_states
    mask = np.ones((1, 9))
    x = known(alone[0].detach().double().numpy())
    for i in range(2):
        name = f"encoder.layer.{i}"
        x = (
            roberta_layer_moments(state, name, config, x, mask, precision)
            if make is roberta
            else longformer_layer_moments(state, name, config, x, config.window(i), mask, None, precision)
        )
    for padded in (torch.cat([ids, pad], 1), torch.cat([pad, ids], 1)):
        real = padded != 1
        states = model(padded, real, output_hidden_states=True).hidden_states
        assert torch.equal(states[0][real], alone[0][0])
        verdict = judge(states[-1][real].detach().double().numpy(), x.value[0], sigma_bound(x).at(0))
        assert verdict.passed, str(verdict)


@pytest.mark.parametrize("make", MAKERS)
def test_positions_from_embeddings_count_every_token(small: dict[str, Any], randomize: Fill, make: Any) -> None:
    model = randomize(make(small))
    ids = torch.randint(3, 40, (2, 9))
    words = model.embeddings.word_embeddings(ids)
    assert torch.equal(model(inputs_embeds=words).last_hidden_state, model(ids).last_hidden_state)
    positions = torch.arange(2, 11).expand(2, 9)
    assert torch.equal(model(ids, position_ids=positions).last_hidden_state, model(ids).last_hidden_state)
    types = torch.zeros_like(ids)
    assert torch.equal(model(ids, token_type_ids=types).last_hidden_state, model(ids).last_hidden_state)
    assert not torch.equal(model(ids, token_type_ids=types + 1).last_hidden_state, model(ids).last_hidden_state)


def test_fully_masked_sequences_get_zeros_from_attention(small: dict[str, Any], randomize: Fill) -> None:
    ids = torch.randint(3, 40, (2, 5))
    mask = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
    for make in MAKERS:
        model = randomize(make(small))
        output = model(ids, mask, output_attentions=True)
        assert output.last_hidden_state.isfinite().all()
        assert not output.attentions[0][1].any()
        attention = model.encoder.layer[0].attention.get_submodule("self")
        rest = () if make is roberta else (None,)
        context = attention(model.embeddings(ids), mask.bool(), *rest, None, False).context
        assert not context[1].any()
        assert context[0].all()


def test_probabilities_are_what_multiplies_the_values(small: dict[str, Any], randomize: Fill, batch: Any) -> None:
    """In training mode too: a one-hot value projection reads them off the context, dropout included."""
    for make in MAKERS:
        config = {"num_attention_heads": 1, "hidden_size": 16, "attention_probs_dropout_prob": 0.5}
        model = randomize(make({**small, **config})).train()
        attention = model.encoder.layer[0].attention.get_submodule("self")
        x = torch.randn(1, 12, 16)
        x[:, :, 0] = 1
        with torch.no_grad():  # head dim 1 of the context: the sum of the row's probabilities
            for name, part in attention.named_children():
                if name.startswith("value"):
                    part.weight.zero_()
                    part.bias.fill_(1)
        global_mask = torch.zeros(1, 12, dtype=torch.bool)
        global_mask[0, [0, 7]] = True
        rest = () if make is roberta else (global_mask,)
        found = attention(x, None, *rest, None, True)
        sums = found.attentions.double().sum(dim=-1)[0, 0]
        if make is longformer:
            sums[[0, 7]] = found.global_attentions.double().sum(dim=-2)[0, 0]
        # Sums of at most 12 numbers, each at most 2: the context rounds 12 additions, the sum here next to nothing.
        assert (found.context[0, :, 0].double() - sums).abs().max() <= 24 * (12 + 3) * 2.0**-24
        assert (found.attentions == 0).any()
        assert (sums - 1).abs().max() > 24 * (12 + 3) * 2.0**-24


def test_tied_weights(small: dict[str, Any]) -> None:
    for make, kind, base in (
        (roberta, XLMRobertaForMaskedLM, "roberta"),
        (longformer, LongformerForMaskedLM, "longformer"),
    ):
        model = make(small, kind)
        words = model.get_submodule(base).embeddings.word_embeddings.weight
        fresh = make(small, kind)
        fresh.load_state_dict(model.state_dict())
        for each in (fresh, fresh.double()):
            own = each.get_submodule(base).embeddings.word_embeddings.weight
            assert each.lm_head.decoder.weight is own
            assert each.lm_head.decoder.bias is each.lm_head.bias
        assert torch.equal(own.float(), words)
        assert len(list(model.parameters())) == len({id(p) for p in model.parameters()})


def test_fresh_weights(small: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = longformer(small, LongformerForMaskedLM, initializer_range=0.5)
    assert not model.longformer.embeddings.word_embeddings.weight[1].any()
    assert not model.lm_head.dense.bias.any()
    assert (model.longformer.encoder.layer[0].output.LayerNorm.weight == 1).all()
    weight = model.longformer.encoder.layer[1].attention.get_submodule("self").key_global.weight
    assert 0.3 < weight.std() < 0.7
    assert 0.3 < model.lm_head.dense.weight.std() < 0.7


@pytest.mark.parametrize("make", MAKERS)
def test_gradient_penalty_under_anomaly_detection(
    small: dict[str, Any], randomize: Fill, batch: Any, make: Any
) -> None:
    kind = XLMRobertaForMaskedLM if make is roberta else LongformerForMaskedLM
    model = randomize(make(small, kind)).train()
    masks = {"attention_mask": batch.mask}
    if make is longformer:
        masks["global_attention_mask"] = batch.global_mask
    parameters = list(model.parameters())
    with torch.autograd.set_detect_anomaly(True, check_nan=True):
        loss = model(batch.ids, **masks, labels=batch.labels).loss
        grads = torch.autograd.grad(loss, parameters, create_graph=True)
        torch.stack([grad.square().sum() for grad in grads]).sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in parameters)


def test_nothing_is_projected_for_tokens_that_are_not_global(small: dict[str, Any], randomize: Fill) -> None:
    """No global token: what the global projections hold does not matter, not even NaN."""
    model = randomize(longformer(small))
    ids = torch.randint(3, 40, (2, 9))
    expected = model(ids).last_hidden_state
    for name, weight in model.named_parameters():
        if "_global" in name:
            weight.data.fill_(float("nan"))
    assert torch.equal(model(ids).last_hidden_state, expected)
    none = torch.zeros_like(ids)
    output = model(ids, global_attention_mask=none, output_attentions=True)
    assert torch.equal(output.last_hidden_state, expected)
    assert output.global_attentions is None
    one = none.clone()
    one[0, 3] = 1
    assert model(ids, global_attention_mask=one).last_hidden_state[0].isnan().any()
    output = model(ids, global_attention_mask=one)
    first = model.encoder.layer[0].attention.get_submodule("self")
    context = first(model.embeddings(ids), None, one.bool(), None, False).context
    assert context.isnan().any(dim=-1).nonzero().tolist() == [[0, 3]]
    assert not output.last_hidden_state[1].isnan().any()


@pytest.mark.parametrize("make", MAKERS)
def test_checkpointing_runs_the_layers_twice(small: dict[str, Any], randomize: Fill, batch: Any, make: Any) -> None:
    """With dropout, and to the bit the same gradients; another seed gives others."""
    model, calls, found = randomize(make(small)).train(), [], []
    model.encoder.layer[0].register_forward_pre_hook(lambda *given: calls.append(given))
    for on, seed in ((False, 1), (True, 1), (True, 2)):
        (model.gradient_checkpointing_enable if on else model.gradient_checkpointing_disable)()
        torch.manual_seed(seed)
        model.zero_grad()
        model(batch.ids, batch.mask).last_hidden_state.square().sum().backward()
        found.append([weight.grad.clone() for weight in model.parameters() if weight.grad is not None])
    assert len(calls) == 1 + 2 + 2
    assert all(torch.equal(a, b) for a, b in zip(found[0], found[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(found[1], found[2], strict=True))
