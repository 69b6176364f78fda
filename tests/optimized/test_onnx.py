"""Models as ONNX graphs of every batch and length, run by onnxruntime; what stands for the operators there."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from trueband.optimized import (
    LEDForConditionalGeneration,
    LongformerForMaskedLM,
    XLMRobertaForMaskedLM,
    band_attention,
)
from trueband.optimized.attention.operators import dense
from trueband.properties.bounds import Bound, Precision
from trueband.properties.bounds.encoder_variance import lm_head_moments
from trueband.properties.bounds.led_variance import led_logits_moments
from trueband.properties.bounds.model_variance import led_moments, longformer_moments, roberta_moments
from trueband.properties.bounds.variance import sigma_bound
from trueband.properties.candidate.target import WHOLE_CONTRACT
from trueband.properties.cases.case import Case
from trueband.properties.cases.choices import RandomChoices
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import Structure, choose_case
from trueband.properties.results.verdict import judge
from trueband.reference import LEDConfig, LongformerConfig, XLMRobertaConfig

Fill = Callable[[torch.nn.Module], Any]
SIZES = ((2, 9), (1, 1), (3, 30), (5, 58))  # the first is the one that is traced
PRECISION = Precision.of("float32")


def draw(kind: str, batch: int, tokens: int) -> dict[str, torch.Tensor]:
    ids = torch.randint(3, 40, (batch, tokens))
    ids[:, tokens // 2 + 1 : tokens // 2 + 3] = 1
    given = {"input_ids": ids, "attention_mask": (ids != 1).long()}
    if kind != "roberta":
        given["global_attention_mask"] = (torch.rand(batch, tokens) > 0.8).long()
    if kind == "led":
        given["decoder_input_ids"] = torch.randint(3, 40, (batch, 4))
    return given


def model_of(kind: str, small: dict[str, Any]) -> Any:
    if kind == "roberta":
        return XLMRobertaForMaskedLM(XLMRobertaConfig(**small))
    if kind == "longformer":
        return LongformerForMaskedLM(LongformerConfig(**small, attention_window=(4, 6)))
    sizes: dict[str, Any] = {
        "d_model": 16,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "vocab_size": 40,
        "attention_window": (4, 6),
    }
    heads: dict[str, Any] = {
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 24,
        "decoder_ffn_dim": 24,
    }
    positions: dict[str, Any] = {"max_encoder_position_embeddings": 66, "max_decoder_position_embeddings": 16}
    return LEDForConditionalGeneration(LEDConfig(**sizes, **heads, **positions))


def bound_of(model: Any, kind: str, state: dict[str, np.ndarray], given: dict[str, torch.Tensor]) -> Bound:
    """On the difference of two right implementations of the logits, 8 sigma."""
    ids, *masks = (given[name].numpy() for name in given)
    config = model.config
    if kind == "led":
        mask, flags, decoder_ids = masks
        found = led_moments(
            state,
            config,
            ids,
            PRECISION,
            decoder_input_ids=decoder_ids,
            attention_mask=mask,
            global_attention_mask=flags,
        )
        logits = led_logits_moments(state, found["last_hidden_state"], PRECISION)
    else:
        names = ("attention_mask", "global_attention_mask")[: len(masks)]
        moments: Any = roberta_moments if kind == "roberta" else longformer_moments
        found = moments(state, config, ids, PRECISION, **dict(zip(names, masks, strict=True)))
        logits = lm_head_moments(state, f"{kind}.", config, found["last_hidden_state"], PRECISION)
    return sigma_bound(logits, logits)


class Exported:
    """A model as a graph, asked by name."""

    def __init__(self, model: Any, given: dict[str, torch.Tensor], path: Path) -> None:
        names = list(given)

        class Logits(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
                logits: torch.Tensor = self.model(**dict(zip(names, tensors, strict=True))).logits
                return logits

        batch, tokens = torch.export.Dim("batch", min=1, max=64), torch.export.Dim("tokens", min=1, max=60)
        shapes = {name: {0: batch} if name == "decoder_input_ids" else {0: batch, 1: tokens} for name in names}
        program = torch.onnx.export(
            Logits(),
            tuple(given.values()),
            dynamo=True,
            dynamic_shapes=(tuple(shapes.values()),),
            input_names=names,
            verbose=False,
        )
        assert program is not None
        program.save(path)
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def __call__(self, given: dict[str, torch.Tensor]) -> np.ndarray:
        logits: np.ndarray = self.session.run(None, {name: tensor.numpy() for name, tensor in given.items()})[0]
        return logits


@pytest.mark.evidence
@pytest.mark.filterwarnings("ignore")  # the exporter's own
@pytest.mark.parametrize("kind", ["roberta", "longformer", "led"])
def test_a_graph_for_every_batch_and_length(
    small: dict[str, Any], randomize: Fill, state_of: Any, kind: str, tmp_path: Path, caplog: Any
) -> None:
    caplog.set_level(logging.ERROR)
    model = randomize(model_of(kind, small)).eval()
    graph, state = Exported(model, draw(kind, *SIZES[0]), tmp_path / "model.onnx"), state_of(model)
    for size in SIZES:
        given = draw(kind, *size)
        with torch.no_grad():
            expected = model(**given).logits.numpy()
        verdict = judge(graph(given), expected, bound_of(model, kind, state, given), f"logits of {size}")
        assert verdict.passed, str(verdict)
    given["attention_mask"][0, 0] = 0  # the wrong one: a token less is seen
    assert not judge(graph(given), expected, bound_of(model, kind, state, given), "logits").passed


def cases(count: int) -> list[Case]:
    structure = Structure(long=False)
    return [choose_case(RandomChoices(random.Random(n)), "float64", WHOLE_CONTRACT, structure) for n in range(count)]


def as_in_a_graph(inputs: Inputs, monkeypatch: pytest.MonkeyPatch, window: int) -> np.ndarray:
    """The operator's output where it is traced for ONNX."""
    given: dict[str, Any] = {name: torch.tensor(array) for name, array in inputs.arrays.items()}
    given |= {**inputs.options, "window": window}
    with monkeypatch.context() as patched:
        patched.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
        result: np.ndarray = band_attention(**given).numpy()
    return result


def test_the_dense_form_is_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = 0
    for case in cases(120):
        inputs = case.inputs()
        window = inputs.options["window"]
        verdict = judge(as_in_a_graph(inputs, monkeypatch, window), inputs.output, inputs.bound, case.to_json())
        assert verdict.passed, str(verdict)
        wrong += not judge(as_in_a_graph(inputs, monkeypatch, window + 1), inputs.output, inputs.bound, "").passed
    assert wrong > 30


def test_a_model_that_trains_with_dropout_is_no_graph() -> None:
    with pytest.raises(ValueError, match=r"dropout: expected a model in eval mode for ONNX"):
        dense.without_dropout(torch.tensor(1))
