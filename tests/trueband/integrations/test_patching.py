"""What patching leaves as it is: objects, weights, hooks, files, and after `unpatch` every bit."""

from __future__ import annotations

import copy
import io
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from trueband.integrations.transformers import patch, unpatch

FAMILIES = pytest.mark.parametrize("family", ["longformer", "led"])
PROJECTIONS = ("query", "key", "value", "query_global", "key_global", "value_global")


def layers(model: nn.Module) -> list[Any]:
    return [part for part in model.modules() if hasattr(part, "one_sided_attn_window_size")]


def is_patched(model: nn.Module) -> bool:
    (patched,) = {type(layer).__module__.startswith("trueband.") for layer in layers(model)}
    return patched


def logits(drawn: Any, model: Any = None) -> Tensor:
    with torch.no_grad():
        found: Tensor = (model or drawn.model)(**drawn.inputs).logits
        return found


@FAMILIES
def test_unpatched_is_as_never_patched_bit_for_bit(draw: Any, family: str) -> None:
    drawn = draw(family, 1, length=21)
    before = {id(part): (type(part), sorted(vars(part))) for part in drawn.model.modules()}
    first = logits(drawn)
    assert patch(drawn.model) is drawn.model
    assert is_patched(drawn.model)
    state = {id(part): (type(part), sorted(vars(part))) for part in drawn.model.modules()}
    assert patch(drawn.model) is drawn.model  # once more: nothing happens
    assert {id(part): (type(part), sorted(vars(part))) for part in drawn.model.modules()} == state
    assert unpatch(drawn.model) is drawn.model
    assert {id(part): (type(part), sorted(vars(part))) for part in drawn.model.modules()} == before
    assert torch.equal(logits(drawn), first)
    unpatch(drawn.model)  # of one that is not patched
    assert {id(part): (type(part), sorted(vars(part))) for part in drawn.model.modules()} == before


@FAMILIES
def test_parts_of_models_and_models_in_others_are_patched(draw: Any, family: str) -> None:
    drawn = draw(family, 2, length=21)
    expected = logits(drawn, patch(drawn.model))
    encoder = unpatch(drawn.model).longformer.encoder if family == "longformer" else drawn.model.led.encoder
    assert is_patched(patch(encoder))
    alone = logits(drawn)  # of Longformer the model around it pads, since it was not asked
    assert alone.shape == expected.shape
    unpatch(encoder)
    assert not is_patched(drawn.model)
    wrapper = nn.Sequential(drawn.model)
    assert patch(wrapper) is wrapper
    assert torch.equal(logits(drawn), expected)
    unpatch(encoder)  # a part of it only: the peer's layers get whole windows again
    assert logits(drawn).shape == expected.shape


@FAMILIES
def test_copies_and_pickles_are_patched_and_independent(draw: Any, family: str) -> None:
    drawn = draw(family, 3, length=21)
    expected = logits(drawn, patch(drawn.model))
    other = copy.deepcopy(drawn.model)
    assert torch.equal(logits(drawn, other), expected)
    unpatch(drawn.model)
    assert is_patched(other)
    assert torch.equal(logits(drawn, other), expected)
    file = io.BytesIO()
    torch.save(other, file)
    file.seek(0)
    read = torch.load(file, weights_only=False)
    assert is_patched(read)
    assert torch.equal(logits(drawn, read), expected)


@FAMILIES
def test_a_patched_model_is_saved_as_a_plain_one(draw: Any, family: str, tmp_path: Path) -> None:
    drawn = draw(family, 4, length=21)
    keys = list(drawn.model.state_dict())
    drawn.model.save_pretrained(tmp_path / "plain")
    patch(drawn.model).save_pretrained(tmp_path / "patched")
    assert list(drawn.model.state_dict()) == keys
    files = {path.name: path.read_bytes() for path in (tmp_path / "plain").iterdir()}
    assert len(files) >= 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "patched").iterdir()} == files
    read = type(drawn.model).from_pretrained(tmp_path / "patched").eval()
    assert not is_patched(read)
    assert torch.equal(logits(drawn, read), logits(drawn, unpatch(drawn.model)))
    assert torch.equal(logits(drawn, patch(read)), logits(drawn, patch(drawn.model)))


class LowRank(nn.Module):
    """An adapter around a projection, as peft has them: it has no `weight` of its own."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down, self.up = nn.Linear(base.in_features, 2, bias=False), nn.Linear(2, base.out_features, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        result: Tensor = self.base(states) + self.up(self.down(states))
        return result


@FAMILIES
@pytest.mark.parametrize("first", [True, False], ids=["wrapped first", "patched first"])
def test_adapters_of_low_rank_are_used_and_trained(draw: Any, same: Any, sigmas: Any, family: str, first: bool) -> None:
    """The exact answer is that of a model whose weights have the adapters in them."""
    drawn = draw(family, 6, length=21)
    drawn.inputs["global_attention_mask"][:, 0] = drawn.inputs["attention_mask"][:, 0] = 1
    merged = draw(family, 6, length=21)
    if not first:
        patch(drawn.model)
    for layer, other in zip(layers(drawn.model), layers(merged.model), strict=True):
        for name in PROJECTIONS:
            adapter = LowRank(getattr(layer, name))
            getattr(other, name).weight.data += (adapter.up.weight @ adapter.down.weight).data
            setattr(layer, name, adapter)
    patch(drawn.model)
    merged.inputs = drawn.inputs
    moments = merged.moments("float32")["logits"]
    result = drawn.model(**drawn.inputs).logits
    same({"logits": result}, {"logits": moments.value}, sigmas({"logits": moments}))
    result.square().sum().backward()
    for layer in layers(drawn.model):
        for name in PROJECTIONS:
            adapter = getattr(layer, name)
            assert adapter.base.weight.grad is None
            assert bool(adapter.up.weight.grad.any())
            assert adapter.down.weight.grad is not None


@FAMILIES
def test_hooks_see_what_they_see_in_the_peer(draw: Any, family: str) -> None:
    """Shapes of inputs and outputs of every projection, and of the attention itself."""
    drawn = draw(family, 7, length=20)
    drawn.inputs["global_attention_mask"][:, 0] = drawn.inputs["attention_mask"][:, 0] = 1
    whole = 2 * layers(drawn.model)[0].one_sided_attn_window_size  # the widest: no padding
    drawn.inputs = {
        name: each if "decoder" in name else each.repeat(1, whole)[:, :whole] for name, each in drawn.inputs.items()
    }
    seen: list[Any] = []

    def note(name: str, module: Any, inputs: Any, output: Any) -> None:
        shapes = [tuple(each.shape) for each in (*inputs, output) if isinstance(each, Tensor)]
        seen.append((name, shapes if isinstance(output, Tensor) else [tuple(each.shape) for each in output]))

    def shift(module: Any, inputs: Any, output: Tensor) -> Tensor:
        return output + 1

    for i, layer in enumerate(layers(drawn.model)):
        layer.register_forward_hook(partial(note, f"{i}"))
        for name in PROJECTIONS:
            getattr(layer, name).register_forward_hook(partial(note, f"{i}.{name}"))
    logits(drawn)
    theirs = list(seen)
    seen.clear()
    expected = logits(drawn, patch(drawn.model))
    assert seen == theirs
    assert {name.split(".")[-1] for name, _ in seen} >= set(PROJECTIONS)
    for name in ("value", "value_global"):  # a hook that changes an output changes the answer
        handle = getattr(layers(drawn.model)[0], name).register_forward_hook(shift)
        assert not torch.equal(logits(drawn), expected), name
        handle.remove()
    assert torch.equal(logits(drawn), expected)


def test_accelerates_hooks_go_on_and_call_the_right_method(draw: Any) -> None:
    """They keep the forward of a layer in `_old_forward` and stand in its place."""
    drawn = draw("longformer", 9, length=21)
    expected, calls = logits(drawn, patch(drawn.model)), []
    unpatch(drawn.model)

    def new_forward(module: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(module)
        return module._old_forward(*args, **kwargs)

    for layer in layers(drawn.model):
        layer._old_forward = layer.forward
        layer.forward = partial(new_forward, layer)
    theirs = logits(drawn)
    calls.clear()
    assert torch.equal(logits(drawn, patch(drawn.model)), expected)
    assert calls == layers(drawn.model)
    assert torch.equal(logits(drawn, unpatch(drawn.model)), theirs)


@pytest.mark.parametrize(
    "options", [{"num_beams": 3}, {"do_sample": True, "top_k": 5}, {"num_beams": 2, "bad_words_ids": [[5]]}]
)
def test_generate_writes_what_the_peer_writes(draw: Any, options: dict[str, Any]) -> None:
    drawn = draw("led", 10, length=21)
    drawn.inputs.pop("decoder_input_ids")

    def written() -> Tensor:
        torch.manual_seed(0)
        ids: Tensor = drawn.model.generate(**drawn.inputs, max_length=12, min_length=12, **options)
        return ids

    theirs = written()
    patch(drawn.model)
    assert torch.equal(written(), theirs)


def test_what_cannot_be_patched_is_refused_and_left_alone(draw: Any) -> None:
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    with pytest.raises(ValueError, match=r"model: expected layers of the classes .*, got BertModel without"):
        patch(transformers.BertModel(config))
    with pytest.raises(TypeError, match=r"model: expected a torch\.nn\.Module, got str"):
        patch("allenai/led-base-16384")  # type: ignore[type-var]
    with pytest.raises(TypeError, match=r"model: expected a torch\.nn\.Module, got NoneType"):
        unpatch(None)  # type: ignore[type-var]
    drawn = draw("longformer", 11)
    layer = layers(drawn.model)[-1]
    layer.forward = lambda *args, **kwargs: None
    with pytest.raises(ValueError, match="model: expected layers with the forward of their class, got one in"):
        patch(drawn.model)
    del layer.forward
    layer.__class__ = type("Own", (type(layer),), {})
    with pytest.raises(ValueError, match="model: expected layers of transformers' own classes, got Own at 'longformer"):
        patch(drawn.model)
    assert not any(type(each).__module__.startswith("trueband") for each in layers(drawn.model))


def test_the_head_mask_of_transformers_4_scales_the_heads(draw: Any) -> None:
    """By powers of 2, so exactly; global rows as well."""
    layer = layers(patch(draw("led", 13, num_heads=4).model))[0]
    states, marks = torch.randn(2, 20, layer.embed_dim), torch.zeros(2, 20)
    marks[0, 3] = 1
    weights = torch.tensor([0.5, 0.0, 1.0, 2.0])[: layer.num_heads]
    plain = layer(states, marks, output_attentions=True)
    scaled = layer(states, marks, layer_head_mask=weights, output_attentions=True)
    each = plain[0].unflatten(-1, (layer.num_heads, -1)) * weights[:, None]
    assert torch.equal(scaled[0], each.flatten(-2))
    assert torch.equal(scaled[1], plain[1] * weights[:, None])
    assert torch.equal(scaled[2], plain[2] * weights[:, None, None])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_and_autocast_come_out_in_the_peers_dtype(draw: Any, dtype: torch.dtype) -> None:
    drawn = draw("longformer", 12, length=20)
    drawn.inputs["global_attention_mask"][:, 0] = drawn.inputs["attention_mask"][:, 0] = 1
    patch(drawn.model)
    with torch.autocast("cpu", torch.bfloat16):
        assert bool(logits(drawn).isfinite().all())
    drawn.model.to(dtype)
    assert logits(drawn).dtype == dtype
    assert bool(logits(drawn).isfinite().all())
