"""Patched models of transformers against themselves unpatched, and against the reference.

All are right within their rounding errors, whose moments are carried through the whole model: 8 sigma.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trueband.integrations.transformers import patch, unpatch
from trueband.properties.results.verdict import judge

ASKED = {"output_hidden_states": True, "output_attentions": True}
FAMILIES = pytest.mark.parametrize("family", ["longformer", "led"])
KEY_BIASES = ("key.bias", "key_global.bias", "k_proj.bias")  # a softmax does not see them: their gradients are 0


def answer(drawn: Any, flat: Any) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        options = {"use_cache": False} if drawn.family == "led" else {}
        found: dict[str, torch.Tensor] = flat(drawn.model(**drawn.inputs, **ASKED, **options))
        return found


def counted(found: dict[str, torch.Tensor], drawn: Any) -> dict[str, torch.Tensor]:
    """Without what stands for missing global tokens and behind the text: the peer fills the first with not 0."""
    flagged = drawn.inputs["global_attention_mask"] * drawn.inputs["attention_mask"]
    tokens = flagged.shape[1]
    result = dict(found)
    for name in [name for name in found if "global_attentions" in name]:
        table = found[name][:, :, :tokens].clone()
        for row, count in enumerate(flagged.sum(dim=1).tolist()):
            table[row, :, :, count:] = 0
        result[name] = table
    return result


@FAMILIES
@pytest.mark.parametrize("seed", range(12))
def test_all_outputs_are_those_of_the_peer(
    draw: Any, flat: Any, same: Any, sigmas: Any, family: str, seed: int
) -> None:
    drawn = draw(family, seed)
    theirs = answer(drawn, flat)
    assert patch(drawn.model) is drawn.model
    ours = answer(drawn, flat)
    assert {name: each.shape for name, each in ours.items()} == {name: each.shape for name, each in theirs.items()}
    moments = drawn.moments("float32")
    same(counted(ours, drawn), counted(theirs, drawn), sigmas(moments, moments))


@FAMILIES
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logits_are_those_of_the_reference(draw: Any, sigmas: Any, family: str, seed: int, dtype: str) -> None:
    drawn = draw(family, 50 + seed)
    expected, bounds = drawn.reference(), sigmas(drawn.moments(dtype))
    patch(drawn.model).to(getattr(torch, dtype))

    with torch.no_grad():
        logits = drawn.model(**drawn.inputs).logits
    verdict = judge(logits.double().numpy(), expected, bounds["logits"], "logits")
    assert verdict.passed, str(verdict)


def test_a_wrong_window_is_seen(draw: Any, flat: Any, same: Any, sigmas: Any) -> None:
    drawn = draw("longformer", 0, length=30)
    drawn.inputs["attention_mask"][:] = 1
    drawn.inputs["global_attention_mask"][:] = 0
    theirs, moments = answer(drawn, flat), drawn.moments("float32")
    for layer in patch(drawn.model).modules():
        if hasattr(layer, "one_sided_attn_window_size"):
            layer.one_sided_attn_window_size -= 1
    ours = answer(drawn, flat)
    pairs = [{name: each for name, each in one.items() if "attentions" not in name} for one in (ours, theirs)]
    with pytest.raises(AssertionError, match="EXCEEDS"):
        same(*pairs, sigmas(moments, moments))


@FAMILIES
def test_windows_and_lengths_that_the_peer_cannot_take(draw: Any, sigmas: Any, family: str) -> None:
    """Window 1, windows that do not divide the largest, lengths behind which the peer's padding finds no position."""
    drawn = draw(family, 3, length=21)
    windows = [2, 6, 8][: len(drawn.config.attention_window)]
    layers = [each for each in drawn.model.modules() if hasattr(each, "one_sided_attn_window_size")]
    for layer, window in zip(layers, windows, strict=True):
        layer.one_sided_attn_window_size = window // 2
    drawn.config = type(drawn.config)(**{**vars(drawn.config), "attention_window": tuple(windows)})
    patch(drawn.model)
    with torch.no_grad():
        logits = drawn.model(**drawn.inputs).logits
    found = judge(logits.double().numpy(), drawn.reference(), sigmas(drawn.moments("float32"))["logits"], "logits")
    assert found.passed, str(found)


@FAMILIES
def test_nothing_that_is_masked_is_seen_not_even_nan(draw: Any, family: str) -> None:
    drawn = draw(family, 8, length=24)
    drawn.inputs["attention_mask"][:] = 1
    drawn.inputs["attention_mask"][:, 20:] = 0
    encoder = drawn.model.longformer if family == "longformer" else drawn.model.led.encoder
    options = {name: drawn.inputs[name] for name in ("attention_mask", "global_attention_mask")}
    words = torch.randn(*drawn.inputs["input_ids"].shape, drawn.config.hidden_size)
    patch(drawn.model)
    with torch.no_grad():
        expected = encoder(inputs_embeds=words, **options)[0][:, :20]
        words[:, 20:] = float("nan")
        assert torch.equal(encoder(inputs_embeds=words, **options)[0][:, :20], expected)
        seen = unpatch(encoder)(inputs_embeds=words, **options)[0][:, :20]
    assert bool(seen.isnan().any())  # why it is tested: the peer multiplies NaN by a probability of 0


def gradients(drawn: Any, model: Any) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model(**drawn.inputs).logits.mul(torch.linspace(-1, 1, 40, dtype=model.dtype)).sum().backward()
    named = model.named_parameters()
    return {name: each.grad.clone() for name, each in named if each.grad is not None and not name.endswith(KEY_BIASES)}


@FAMILIES
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_in_training_are_those_of_the_peer(
    draw: Any, same: Any, gradient_bounds: Any, family: str, checkpointing: bool
) -> None:
    """Both within the bound on float32's gradients of those in float64."""
    names = {"longformer": ("attention_probs_dropout_prob", "hidden_dropout_prob"), "led": ("dropout",)}
    off = dict.fromkeys(names[family], 0.0)
    drawn = draw(family, 4, length=18, **off)
    drawn.inputs["global_attention_mask"][:, 0] = drawn.inputs["attention_mask"][:, :2] = 1
    model = drawn.model.train()
    if checkpointing:
        newer = getattr(model, "activation_checkpointing_enable", None)  # its name in transformers 5
        (newer or model.gradient_checkpointing_enable)({"use_reentrant": False})
    theirs, ours = gradients(drawn, model), gradients(drawn, patch(model))
    assert ours.keys() == theirs.keys()
    assert any("query_global" in name for name in ours)
    wide = patch(draw(family, 4, length=18, **off).model.double())
    exact = gradients(drawn, wide)
    bounds = gradient_bounds(wide, lambda other: gradients(drawn, other), "float32")
    same(ours, exact, bounds)
    same(theirs, exact, bounds)


def test_the_attentions_that_are_returned_have_the_dropout_of_the_output(draw: Any) -> None:
    """One seed decides both: where all probabilities of a row are dropped its context is 0, and nowhere else."""
    drawn = draw("longformer", 5, length=24)
    layer = patch(drawn.model).longformer.encoder.layer[0].attention.self.train()
    layer.dropout = 0.9
    states, marks = torch.randn(2, 24, drawn.config.hidden_size), torch.zeros(2, 24)
    marks[0, 3], marks[1, 20:] = 1, -1
    torch.manual_seed(1)
    context, local, of_globals = layer(states, marks, output_attentions=True)
    nothing = (local == 0).all(dim=-1)  # (b, n, h)
    nothing[0, 3] = (of_globals[0, :, 0] == 0).all(dim=-1)
    empty = (context.unflatten(-1, (layer.num_heads, -1)) == 0).all(dim=-1)
    assert torch.equal(empty, nothing)
    assert 0 < int(nothing[0].sum()) < nothing[0].numel()
    torch.manual_seed(1)
    assert torch.equal(layer(states, marks)[0], context)
