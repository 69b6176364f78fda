"""LED as one graph for all shapes: compiled, a cached step of the decoder too, and exported; the same bits as eager."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trueband.optimized import LEDForConditionalGeneration, LEDModel


def draw(rows: int, tokens: int) -> dict[str, torch.Tensor]:
    ids = torch.randint(3, 40, (rows, tokens))
    ids[:, tokens // 2 : tokens // 2 + 2] = 1
    flags = (torch.rand(rows, tokens) > 0.8).long()
    return {"input_ids": ids, "attention_mask": (ids != 1).long(), "global_attention_mask": flags}


def compiled(module: Any, graphs: list[Any]) -> Any:
    def backend(graph: Any, example: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    return torch.compile(module, fullgraph=True, dynamic=True, backend=backend)


@pytest.mark.evidence
@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
def test_the_whole_model_is_one_graph(led: Any, train: bool) -> None:
    graphs: list[Any] = []
    model = led(LEDForConditionalGeneration, attention_dropout=0.2).train(train)
    function = compiled(model, graphs)
    for rows, tokens, written in ((3, 9, 4), (2, 17, 6), (5, 30, 8)):
        given, results = {**draw(rows, tokens), "labels": torch.randint(3, 40, (rows, written))}, []
        for each in (function, model):
            torch.manual_seed(1)  # the same dropout
            model.zero_grad()
            output = each(**given)
            output.loss.backward()
            results.append([output.logits, *(weight.grad.clone() for weight in model.parameters())])
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert len(graphs) == 1


@torch.no_grad()
def test_cached_steps_are_one_graph(led: Any) -> None:
    """For any number of tokens read before, and any number of rows."""
    graphs: list[Any] = []
    model = led(LEDModel)
    function = compiled(model.decoder, graphs)
    for rows, tokens, read in ((3, 9, 4), (2, 17, 6)):
        states = torch.randn(rows, tokens, 16, dtype=torch.float64)
        mask = torch.rand(rows, tokens) > 0.3
        ids = torch.randint(3, 40, (rows, read + 3))
        encoded = {"encoder_hidden_states": states, "encoder_attention_mask": mask, "use_cache": True}
        cache = model.decoder(ids[:, :read], **encoded).past_key_values
        for step in range(read, read + 3):
            own = torch.ones(rows, step + 1, dtype=torch.bool)
            options = {"past_key_values": cache, **encoded}
            eager, graph = (each(ids[:, step : step + 1], own, **options) for each in (model.decoder, function))
            assert torch.equal(eager.last_hidden_state, graph.last_hidden_state)
            assert torch.equal(eager.past_key_values.layers[1].key, graph.past_key_values.layers[1].key)
            cache = graph.past_key_values
    assert len(graphs) == 1


def test_the_encoder_is_exported_with_dynamic_batch_and_length(led: Any) -> None:
    encoder = led(LEDModel).encoder
    dynamic = {0: torch.export.Dim("batch", min=1, max=64), 1: torch.export.Dim("tokens", min=1, max=64)}
    given = draw(3, 9)
    exported = torch.export.export(encoder, (), given, dynamic_shapes=dict.fromkeys(given, dynamic)).module()
    for rows, tokens in ((3, 9), (2, 17), (5, 30), (1, 58)):
        given = draw(rows, tokens)
        assert torch.equal(exported(**given).last_hidden_state, encoder(**given).last_hidden_state)
