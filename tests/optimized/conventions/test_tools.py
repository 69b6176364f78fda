"""Tools that change what a projection does without telling the model: each of them is seen, at every projection.

The packages peft and accelerate need not be installed: what they do to a module is done here by hand.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.utils.prune
from torch import Tensor, nn
from torch.nn.utils import parametrize

PROJECTIONS = ("query", "key", "value", "query_global", "key_global", "value_global")


class LowRank(nn.Module):
    """A linear map and an adapter beside it, as LoRA has it: `weight` is that of the map alone."""

    def __init__(self, inner: nn.Linear) -> None:
        super().__init__()
        self.base_layer = inner
        self.down = nn.Linear(inner.in_features, 2, bias=False).to(inner.weight)
        self.up = nn.Linear(2, inner.out_features, bias=False).to(inner.weight)

    @property
    def weight(self) -> Tensor:
        return self.base_layer.weight

    @property
    def bias(self) -> Tensor:
        return self.base_layer.bias

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.base_layer(x) + self.up(self.down(x))
        return result

    def merged(self) -> nn.Linear:
        inner = self.base_layer
        with torch.no_grad():
            inner.weight += self.up.weight @ self.down.weight
        return inner


def places(model: nn.Module) -> list[tuple[nn.Module, str]]:
    """Where the projections of self-attention with a window are."""
    return [(module, name) for module in model.modules() if hasattr(module, "query_global") for name in PROJECTIONS]


def offload(module: nn.Module) -> None:
    """Keep the weights away from the module until it is called, as accelerate does: it replaces `forward`."""
    kept = {name: weight.detach() for name, weight in module._parameters.items() if weight is not None}
    inner = module.forward
    for name, weight in kept.items():
        module._parameters[name] = nn.Parameter(weight.to("meta"), requires_grad=False)

    def forward(*values: Any, **named: Any) -> Any:
        away = dict(module._parameters)
        module._parameters.update({name: nn.Parameter(weight, requires_grad=False) for name, weight in kept.items()})
        try:
            return inner(*values, **named)
        finally:
            module._parameters.update(away)

    module.forward = forward


@pytest.fixture(params=["LongformerModel", "LEDModel"])
def model(request: pytest.FixtureRequest, make: Any) -> Any:
    return make(request.param)


@pytest.fixture
def given(ids: Tensor) -> dict[str, Tensor]:
    """Two rows with one and two global tokens, and padding."""
    flags = torch.zeros_like(ids)
    flags[:, 0] = flags[1, 4] = 1
    mask = torch.ones_like(ids)
    mask[0, 7:] = 0
    return {"input_ids": ids, "attention_mask": mask, "global_attention_mask": flags}


def test_adapters_of_low_rank(model: Any, given: Any, agree: Any) -> None:
    """What they add is what their merged weights add, in the values and in the attentions, and all of them learn."""
    before = model(**given)[0]
    for module, name in places(model):
        setattr(module, name, LowRank(getattr(module, name)))
    adapted = model(**given)
    with_attentions = model(**given, output_attentions=True)
    assert agree(with_attentions[0], adapted[0])
    adapted[0].pow(2).sum().backward()
    for module, name in places(model):
        assert getattr(module, name).up.weight.grad.abs().max() > 0
        setattr(module, name, getattr(module, name).merged())
    merged = model(**given, output_attentions=True)
    assert agree(adapted[0], merged[0])
    assert not agree(before, merged[0])
    for field in merged.keys():  # noqa: SIM118
        if field.endswith("attentions"):
            for one, other in zip(with_attentions[field], merged[field], strict=True):
                assert agree(one, other)


@pytest.mark.parametrize("of", PROJECTIONS)
@pytest.mark.parametrize("kind", ["forward hook", "forward pre-hook", "global hook"])
def test_hooks_are_called_and_may_change_what_they_see(of: str, kind: str, model: Any, given: Any, agree: Any) -> None:
    before = model(**given)[0]
    part = getattr(places(model)[0][0], of)
    if kind == "forward hook":
        handle = part.register_forward_hook(lambda module, values, output: output * 2)
    elif kind == "forward pre-hook":
        handle = part.register_forward_pre_hook(lambda module, values: (values[0] * 2,))
    else:
        handle = torch.nn.modules.module.register_module_forward_hook(
            lambda module, values, output: output * 2 if module is part else output
        )
    changed = model(**given)[0]
    handle.remove()
    assert torch.equal(model(**given)[0], before)
    assert not agree(changed, before)


def test_a_hook_that_only_watches_changes_nothing(model: Any, given: Any, agree: Any) -> None:
    before, seen = model(**given)[0], []
    for module, name in places(model):
        getattr(module, name).register_forward_hook(lambda *_, name=name: seen.append(name))
    assert agree(model(**given)[0], before)
    assert set(seen) == set(PROJECTIONS)


def zero(weight: Tensor) -> Tensor:
    return weight * 0


class Zero(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return zero(weight)


@pytest.mark.parametrize("of", PROJECTIONS)
def test_pruned_weights_and_parametrized_weights(of: str, model: Any, given: Any) -> None:
    """Of nothing but zeros: what is computed is that of a model whose weights are zeros."""
    part = getattr(places(model)[0][0], of)
    kept = part.weight.detach().clone()
    with torch.no_grad():
        part.weight.zero_()
    expected = model(**given)[0]
    with torch.no_grad():
        part.weight.copy_(kept)
    assert not torch.equal(model(**given)[0], expected)
    torch.nn.utils.prune.l1_unstructured(part, "weight", 1.0)
    pruned = model(**given)[0]
    part._forward_pre_hooks.clear()
    parametrized = nn.Linear(16, 16).double()
    parametrized.load_state_dict({"weight": kept, "bias": part.bias.detach()})
    parametrize.register_parametrization(parametrized, "weight", Zero())
    setattr(places(model)[0][0], of, parametrized)
    for computed in (pruned, model(**given)[0]):
        assert (computed - expected).abs().max() <= torch.finfo(torch.float32).eps


def test_weights_that_come_only_when_they_are_used(make: Any, given: Any, agree: Any) -> None:
    for name in ("LongformerForSequenceClassification", "LEDForConditionalGeneration", "XLMRobertaModel"):
        model = make(name)
        inputs = {each: value for each, value in given.items() if "global" not in each or "XLM" not in name}
        expected = model(**inputs)[0]
        written = model.generate(**inputs, max_length=6) if hasattr(model, "led") else None
        for module in list(model.modules()):
            if module._parameters and not list(module.children()):
                offload(module)
        assert agree(model(**inputs)[0], expected)
        if written is not None:
            assert torch.equal(model.generate(**inputs, max_length=6), written)


@pytest.mark.parametrize("name", ["LongformerModel", "LEDModel", "XLMRobertaModel"])
def test_linear_maps_of_eight_bits(name: str, make: Any, given: Any) -> None:
    """Every one of them is called: none is left with weights in float32, and the numbers change a little."""
    model = make(name).float()
    inputs = {each: value for each, value in given.items() if "global" not in each or "XLM" not in name}
    expected = model(**inputs)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao.quantization is deprecated
        quantized = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
        output = quantized(**inputs)[0]
    assert not [part for part in quantized.modules() if type(part) is nn.Linear]
    change = (output - expected).pow(2).mean() / expected.pow(2).mean()
    assert 0 < change < 1


def test_a_projection_that_is_wrapped_is_not_cut(make: Any) -> None:
    model = make("XLMRobertaForMaskedLM")
    attention = model.roberta.encoder.layer[1].attention.self
    attention.value = LowRank(attention.value)
    shape = attention.query.weight.shape
    with pytest.raises(ValueError, match=r"heads_to_prune: expected plain linear maps in layer 1, got LowRank"):
        model.prune_heads({0: [1], 1: [0]})
    assert model.roberta.encoder.layer[0].attention.self.query.weight.shape == shape
    assert not model.config.pruned_heads


Loss = Callable[[Any], Tensor]


@pytest.mark.parametrize("name", ["XLMRobertaModel", "LongformerModel", "LEDModel"])
def test_the_loss_depends_on_the_attentions_that_are_returned(name: str, make: Any, given: Any, agree: Any) -> None:
    """Gradients with respect to every table are there, and the weights get those of a run that asks for none."""
    model = make(name)
    inputs = {each: value for each, value in given.items() if "global" not in each or "XLM" not in name}
    plain = model(**inputs)[0]
    plain.pow(2).sum().backward()
    expected = {each: weight.grad for each, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad(set_to_none=True)
    output = model(**inputs, output_attentions=True)
    assert torch.equal(output[0], plain)
    tables = [
        table
        for field in output.keys()  # noqa: SIM118
        if field.endswith("attentions")
        for table in output[field]
    ]
    assert len(tables) == {"XLMRobertaModel": 2, "LongformerModel": 4, "LEDModel": 8}[name]
    for table in tables:
        table.retain_grad()
    output[0].pow(2).sum().backward()
    for table in tables:
        assert table.grad is not None
        assert table.grad.abs().max() > 0
    for each, weight in model.named_parameters():
        if each in expected and not each.endswith(("key.bias", "k_proj.bias", "key_global.bias")):  # these are 0
            assert agree(weight.grad, expected[each]), each


def test_attentions_times_values_are_the_context(make: Any, ids: Tensor, agree: Any) -> None:
    """By the definition, for one layer of a full attention, whose output projection gives what it is given."""
    model = make("XLMRobertaModel", num_hidden_layers=1)
    attention, seen = model.encoder.layer[0].attention, []
    attention.output.dense.register_forward_pre_hook(lambda module, values: seen.append(values[0]))
    output = model(ids, output_attentions=True, output_hidden_states=True)
    values = attention.self.value(output.hidden_states[0]).unflatten(-1, (4, -1)).transpose(1, 2)
    assert agree(seen[0], (output.attentions[0] @ values).transpose(1, 2).flatten(2))
