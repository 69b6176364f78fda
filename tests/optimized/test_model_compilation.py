"""Both models as one graph for all shapes: compiled, exported, and with the same bits as in eager mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trueband.optimized import LongformerForMaskedLM, XLMRobertaForMaskedLM
from trueband.reference import LongformerConfig, XLMRobertaConfig

Fill = Callable[[torch.nn.Module], Any]


def make(name: str, small: dict[str, Any]) -> Any:
    if name == "roberta":
        return XLMRobertaForMaskedLM(XLMRobertaConfig(**small))
    return LongformerForMaskedLM(LongformerConfig(**small, attention_window=(4, 6)))


def draw(name: str, batch: int, tokens: int) -> dict[str, torch.Tensor]:
    ids = torch.randint(3, 40, (batch, tokens))
    ids[:, tokens // 2 : tokens // 2 + 2] = 1
    given = {"input_ids": ids, "attention_mask": (ids != 1).long(), "labels": ids}
    if name == "longformer":
        given["global_attention_mask"] = (torch.rand(batch, tokens) > 0.8).long()
    return given


@pytest.mark.parametrize("name", ["roberta", "longformer"])
@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
def test_compiled_once_for_all_shapes(small: dict[str, Any], randomize: Fill, name: str, train: bool) -> None:
    graphs = []

    def backend(graph: Any, example: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    model = randomize(make(name, small)).train(train)
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=backend)
    for batch, tokens in ((3, 9), (2, 17), (5, 30)):
        given, outputs, grads = draw(name, batch, tokens), [], []
        for function in (compiled, model):
            torch.manual_seed(1)  # the same dropout
            outputs.append(function(**given))
            model.zero_grad()
            outputs[-1].loss.backward()
            grads.append([None if p.grad is None else p.grad.clone() for p in model.parameters()])
        assert torch.equal(outputs[0].logits, outputs[1].logits)
        assert torch.equal(outputs[0].loss, outputs[1].loss)
        assert all(a is b is None or torch.equal(a, b) for a, b in zip(*grads, strict=True))
        assert any(grad is not None and bool(grad.any()) for grad in grads[0])
    assert len(graphs) == 1


@pytest.mark.parametrize("name", ["roberta", "longformer"])
def test_exported_with_dynamic_batch_and_length(small: dict[str, Any], randomize: Fill, name: str) -> None:
    model = randomize(make(name, small))
    dynamic = {0: torch.export.Dim("batch", min=1, max=64), 1: torch.export.Dim("tokens", min=1, max=4096)}
    given = draw(name, 3, 9)
    exported = torch.export.export(model, (), given, dynamic_shapes=dict.fromkeys(given, dynamic)).module()
    for batch, tokens in ((3, 9), (2, 17), (5, 30), (1, 58)):
        given = draw(name, batch, tokens)
        assert torch.equal(exported(**given).logits, model(**given).logits)
