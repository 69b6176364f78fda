"""LED for sequence classification, which the installed peer no longer has: against a head written out here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from trueband.properties.bounds import Precision
from trueband.properties.bounds.encoder_variance import squashed_moments
from trueband.properties.bounds.layer_variance import linear_of
from trueband.properties.bounds.losses import cross_entropy_bound
from trueband.properties.bounds.variance import Moments, known, sigma_bound
from trueband.properties.results.verdict import judge
from trueband.reference.config import LEDConfig
from trueband.reference.led import led_model
from trueband.reference.led_heads import led_sequence_classification

FLOAT64, EOS = Precision.of("float64"), 2
IDS = np.array([[0, 5, 2, 7, 2, 1], [0, 2, 6, 8, 9, 2]])
LAST = [4, 5]  # of the end tokens


@pytest.fixture(scope="module")
def state(double: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return double.state | {
        "classification_head.dense.weight": rng.standard_normal((16, 16)),
        "classification_head.dense.bias": rng.standard_normal(16),
        "classification_head.out_proj.weight": rng.standard_normal((3, 16)),
        "classification_head.out_proj.bias": rng.standard_normal(3),
    }


@pytest.fixture(scope="module")
def config(double: Any) -> LEDConfig:
    return LEDConfig.from_dict(double.config.to_dict() | {"num_labels": 3})


def head_in_torch(state: dict[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    weights = {name: torch.tensor(array) for name, array in state.items() if name.startswith("classification_head")}

    def linear(part: str, x: torch.Tensor) -> torch.Tensor:
        name = f"classification_head.{part}"
        return functional.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    return linear("out_proj", torch.tanh(linear("dense", torch.tensor(features)))).numpy()


def head_moments(state: dict[str, np.ndarray], features: np.ndarray) -> Moments:
    squashed = squashed_moments(state, "classification_head.dense", known(features), FLOAT64)
    return linear_of(state, "classification_head.out_proj", squashed, FLOAT64)


def test_the_last_end_token_is_read_in_the_decoder(
    double: Any, state: dict[str, np.ndarray], config: LEDConfig
) -> None:
    labels = np.array([2, 0])
    ours = led_sequence_classification(state, config, IDS, labels=labels)
    states = led_model(state, config, IDS, prefix="led.").last_hidden_state
    features = states[[0, 1], LAST]
    bound = sigma_bound(head_moments(state, features))
    assert judge(head_in_torch(state, features), ours.logits, bound).passed
    loss = functional.cross_entropy(torch.tensor(ours.logits), torch.tensor(labels)).numpy()
    assert ours.loss is not None
    assert judge(loss, ours.loss, cross_entropy_bound(ours.logits, 2, FLOAT64)).passed
    for wrong in (states[[0, 1], [2, 1]], states[:, 0], states[:, -1]):  # the first end token, the first, the last
        assert not judge(head_in_torch(state, wrong), ours.logits, bound).passed
    assert len(ours.encoder_hidden_states) == 3


def test_rows_must_have_as_many_end_tokens(state: dict[str, np.ndarray], config: LEDConfig) -> None:
    message = r"input_ids: expected the same number of end tokens \(id 2\), at least one, in every row, got "
    with pytest.raises(ValueError, match=message + r"\[1, 2\]"):
        led_sequence_classification(state, config, np.array([[0, 5, 2], [0, 2, 2]]))
    with pytest.raises(ValueError, match=message + r"\[0, 0\]"):
        led_sequence_classification(state, config, np.array([[0, 5, 6], [0, 7, 8]]))


def test_refused(state: dict[str, np.ndarray], config: LEDConfig) -> None:
    with pytest.raises(ValueError, match=r"input_ids: expected ids .*, got inputs_embeds"):
        led_sequence_classification(state, config, None, inputs_embeds=np.zeros((1, 2, 16)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="decoder_input_ids: expected as many tokens as input_ids, 6, got 5"):
        led_sequence_classification(state, config, IDS, decoder_input_ids=IDS[:, :5])
    with pytest.raises(ValueError, match=r"labels: expected shape \(2,\), got \(2, 1\)"):
        led_sequence_classification(state, config, IDS, labels=np.array([[2], [0]]))
