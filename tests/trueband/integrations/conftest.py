"""Small random models of transformers, and the fixtures of the models' own tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from trueband.properties.bounds import Precision
from trueband.properties.bounds.encoder_variance import lm_head_moments
from trueband.properties.bounds.led_variance import led_logits_moments
from trueband.properties.bounds.model_variance import led_moments, longformer_moments
from trueband.properties.bounds.variance import Moments
from trueband.reference import LEDConfig, LongformerConfig
from trueband.reference.led import led_conditional_generation
from trueband.reference.longformer import longformer_masked_lm


def models_fixtures() -> Any:
    """The conftest of tests/optimized: `same`, `flat`, `sigmas`, `randomize`, `gradient_bounds`."""
    path = Path(__file__).parents[2] / "optimized" / "conftest.py"
    spec = spec_from_file_location("conftest_of_the_models", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


shared = models_fixtures()
seeded, randomize, state_of = shared.seeded, shared.randomize, shared.state_of
same, flat, sigmas, gradient_bounds = shared.same, shared.flat, shared.sigmas, shared.gradient_bounds


@pytest.fixture(autouse=True)
def silent() -> None:
    """transformers warns of every length that it pads."""
    transformers.logging.set_verbosity_error()


@dataclass
class Drawn:
    """A model of transformers with a head, its configuration here, and inputs for it."""

    family: str
    model: Any
    config: Any
    inputs: dict[str, Tensor]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return {name: tensor.numpy() for name, tensor in self.inputs.items()}

    @property
    def state(self) -> dict[str, np.ndarray]:
        return {name: tensor.detach().double().numpy() for name, tensor in self.model.state_dict().items()}

    def moments(self, dtype: str) -> dict[str, Moments]:
        """Of every result that is asked for with attentions and hidden states, logits included."""
        given: dict[str, Any] = self.arrays
        precision, state, ids = Precision.of(dtype), self.state, given.pop("input_ids")
        if self.family == "longformer":
            found = longformer_moments(state, self.config, ids, precision, **given)
            logits = lm_head_moments(state, "longformer.", self.config, found["last_hidden_state"], precision)
            return found | {"logits": logits}
        found = led_moments(state, self.config, ids, precision, **given)
        found["logits"] = led_logits_moments(state, found["last_hidden_state"], precision)
        return found

    def reference(self) -> np.ndarray:
        """The exact logits."""
        run = longformer_masked_lm if self.family == "longformer" else led_conditional_generation
        given = self.arrays
        logits: np.ndarray = run(self.state, self.config, given.pop("input_ids"), **given).logits
        return logits


Draw = Callable[..., Drawn]


@pytest.fixture
def draw(randomize: Callable[[Any], Any]) -> Draw:
    """A small model and inputs, decided by a family and an integer seed.

    The window of every layer divides the largest one, or the peer crashes. `length`: of the text, and
    `num_heads`; None: any.
    """

    def make(family: str, seed: int, length: int | None = None, num_heads: int | None = None, **changed: Any) -> Drawn:
        rng = np.random.default_rng([seed, *family.encode()])
        layers, heads, head_dim = int(rng.integers(1, 4)), int(rng.choice([1, 2, 4])), int(rng.choice([4, 8]))
        heads = num_heads or heads
        least = int(rng.choice([4, 6, 10]))
        windows = [least * int(rng.choice([1, 2])) for _ in range(layers)]
        windows[0] = max(windows)
        tokens = int(rng.integers(1, 40)) if length is None else length
        batch = int(rng.integers(1, 4))
        ids = rng.integers(3, 40, (batch, tokens))
        real = np.arange(tokens) < rng.integers(1, tokens + 1, (batch, 1))
        if rng.random() < 0.5:
            real = real[:, ::-1]  # padding on the left
        flagged = rng.random((batch, tokens)) < rng.choice([0.0, 0.1, 0.4])
        masks = {"attention_mask": real, "global_attention_mask": flagged}
        if family == "longformer":
            ids = np.where(real, ids, 1)  # positions follow the ids that are not padding
            sizes = {
                "vocab_size": 40,
                "hidden_size": heads * head_dim,
                "num_hidden_layers": layers,
                "num_attention_heads": heads,
                "intermediate_size": 24,
                "max_position_embeddings": 90,
                **changed,
            }
            model: Any = transformers.LongformerForMaskedLM(
                transformers.LongformerConfig(**sizes, attention_window=windows)
            )
            config: Any = LongformerConfig(**sizes, attention_window=tuple(windows))
        else:
            sizes = {
                "vocab_size": 40,
                "d_model": heads * head_dim,
                "encoder_layers": layers,
                "decoder_layers": 1,
                "encoder_attention_heads": heads,
                "decoder_attention_heads": heads,
                "encoder_ffn_dim": 24,
                "decoder_ffn_dim": 24,
                "max_encoder_position_embeddings": 80,
                "max_decoder_position_embeddings": 32,
                **changed,
            }
            model = transformers.LEDForConditionalGeneration(transformers.LEDConfig(**sizes, attention_window=windows))
            config = LEDConfig(**sizes, attention_window=tuple(windows))
        inputs = {"input_ids": torch.tensor(ids)}
        inputs |= {name: torch.tensor(mask.astype(np.int64)) for name, mask in masks.items()}
        if family == "led":
            inputs["decoder_input_ids"] = torch.tensor(rng.integers(3, 40, (batch, int(rng.integers(1, 6)))))
        return Drawn(family, randomize(model), config, inputs)

    return make
