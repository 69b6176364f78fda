"""A tiny LED of the peer with ours beside it, in both precisions, and the moments to judge them by."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import transformers

from trueband.properties.bounds import Precision
from trueband.properties.bounds.layer_variance import Layer
from trueband.properties.bounds.led_variance import led_encoder_layer_moments, led_logits_moments
from trueband.properties.bounds.model_variance import led_decoder_moments, led_encoder_moments
from trueband.properties.bounds.variance import Moments, sigma_bound
from trueband.properties.results.verdict import judge
from trueband.reference.config import LEDConfig

SIZES: dict[str, Any] = {
    "vocab_size": 30,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 24,
    "max_encoder_position_embeddings": 40,
    "max_decoder_position_embeddings": 24,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "init_std": 0.5,
    "attention_window": [4, 6],
}
PAD, TOKENS, TARGETS = 1, 12, 7


class Pair:
    """The peer's model of a class, and ours with the same weights; a batch of three."""

    def __init__(self, peers: SimpleNamespace, name: str, dtype: str) -> None:
        self.run, self.precision = peers.run, Precision.of(dtype)
        self.model = peers.peer(name, transformers.LEDConfig(**SIZES), dtype)
        self.config, self.state = LEDConfig.from_dict(SIZES), peers.state_of(self.model)
        rng = np.random.default_rng(1)
        self.ids = rng.integers(3, 30, size=(3, TOKENS))
        self.ids[0, -3:], self.ids[1, :2] = PAD, PAD
        self.mask = (self.ids != PAD).astype(np.int64)
        self.flags = np.zeros((3, TOKENS), dtype=np.int64)
        self.flags[0, 0], self.flags[1, 0], self.flags[2, [0, 5]] = 1, 1, 1  # that of row 1 is on padding: dropped
        self.targets = rng.integers(3, 30, size=(3, TARGETS))
        self.target_mask = np.ones((3, TARGETS), dtype=np.int64)
        self.target_mask[0, :2], self.target_mask[1, -1] = 0, 0

    @property
    def inputs(self) -> dict[str, Any]:
        return {"attention_mask": self.mask, "global_attention_mask": self.flags}

    def encoded(self) -> dict[str, Moments]:
        """Of every output of the encoder."""
        return led_encoder_moments(self.state, self.config, self.ids, self.precision, **self.inputs)

    def encoder_layer(self, i: int, x: np.ndarray) -> Moments:
        layer = Layer(self.state, f"led.encoder.layers.{i}", 4, self.precision)
        return led_encoder_layer_moments(layer, x, self.config.window(i), self.mask == 1, self.flags == 1)

    def decoder(self, ids: np.ndarray, mask: np.ndarray, encoded: Moments) -> dict[str, Moments]:
        """Of every output of the decoder."""
        return led_decoder_moments(
            self.state,
            self.config,
            ids,
            self.precision,
            encoder_hidden_states=encoded,
            attention_mask=mask,
            encoder_attention_mask=self.mask,
        )

    def decoded(self, ids: np.ndarray, mask: np.ndarray, encoded: Moments) -> Moments:
        return self.decoder(ids, mask, encoded)["last_hidden_state"]

    def logits(self, last: Moments) -> Moments:
        return led_logits_moments(self.state, last, self.precision)


@pytest.fixture(scope="package")
def half(peers: SimpleNamespace) -> Pair:
    return Pair(peers, "LEDForConditionalGeneration", "float32")


@pytest.fixture(scope="package")
def double(peers: SimpleNamespace) -> Pair:
    return Pair(peers, "LEDForConditionalGeneration", "float64")


@pytest.fixture(scope="package")
def pair(peers: SimpleNamespace) -> Any:
    """Makes a `Pair` of a class and a dtype."""
    return lambda name, dtype: Pair(peers, name, dtype)


def assert_agree(actual: np.ndarray, expected: np.ndarray, moments: Moments, where: Any = ...) -> None:
    verdict = judge(actual[where], expected[where], sigma_bound(moments).at(where))
    assert verdict.passed, verdict


@pytest.fixture(scope="session")
def agree() -> Any:
    """Fails with the verdict where two arrays differ by more than 8 sigma."""
    return assert_agree
