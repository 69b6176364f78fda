"""A tiny LED of the peer with ours beside it, in both precisions, and the moments to judge them by."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import transformers

from trueband.properties.bounds import Precision
from trueband.properties.bounds.encoder_variance import longformer_layer_moments
from trueband.properties.bounds.layers import layer_norm_bound, residual_bound
from trueband.properties.bounds.variance import Moments, linear_moments, sigma_bound
from trueband.properties.verdict import judge
from trueband.reference.config import LEDConfig, LongformerConfig
from trueband.reference.full_attention import visible_keys
from trueband.reference.led_encoder import led_embed, word_embeddings

SIZES: dict[str, Any] = {
    "vocab_size": 30, "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 24, "max_encoder_position_embeddings": 40,
    "max_decoder_position_embeddings": 24, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    "decoder_start_token_id": 2, "init_std": 0.5, "attention_window": [4, 6],
}  # fmt: skip
AS_LONGFORMER = {
    "self_attn.longformer_self_attn": "attention.self", "self_attn.output": "attention.output.dense",
    "self_attn_layer_norm": "attention.output.LayerNorm", "fc1": "intermediate.dense", "fc2": "output.dense",
    "final_layer_norm": "output.LayerNorm",
}  # fmt: skip
PAD, TOKENS, TARGETS = 1, 12, 7


class Pair:
    """The peer's model of a class, and ours with the same weights; a batch of three."""

    def __init__(self, peers: SimpleNamespace, carried: SimpleNamespace, name: str, dtype: str) -> None:
        self.run, self.carried, self.precision = peers.run, carried, Precision.of(dtype)
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

    def longformer(self, i: int) -> tuple[dict[str, np.ndarray], LongformerConfig]:
        """Encoder layer i under Longformer's names: "layer.…"."""
        name = f"led.encoder.layers.{i}."
        renamed: dict[str, np.ndarray] = {}
        for ours, theirs in AS_LONGFORMER.items():
            part = f"{name}{ours}."
            renamed |= {f"layer.{theirs}.{k[len(part) :]}": v for k, v in self.state.items() if k.startswith(part)}
        config = LongformerConfig(
            hidden_size=16, num_attention_heads=4, layer_norm_eps=1e-5, attention_window=2 * self.config.window(i)
        )
        return renamed, config

    def encoder_layer(self, i: int, x: np.ndarray | Moments, **changes: Any) -> Moments:
        state, config = self.longformer(i)
        options = {"window": self.config.window(i), **self.inputs} | changes
        return longformer_layer_moments(
            state, "layer", config, x, options["window"], options["attention_mask"], options["global_attention_mask"],
            self.precision,
        )  # fmt: skip

    def embedded(self, side: str, ids: np.ndarray) -> Moments:
        name = f"led.{side}"
        words = word_embeddings(self.state, "led.", side)[ids]
        positions = np.broadcast_to(self.state[f"{name}.embed_positions.weight"][: ids.shape[1]], words.shape)
        norm = [self.state[f"{name}.layernorm_embedding.{kind}"] for kind in ("weight", "bias")]
        summed = residual_bound(words, positions, self.precision).total
        bound = layer_norm_bound(words + positions, norm[0], norm[1], 1e-5, self.precision, summed)
        limit = self.config.max_encoder_position_embeddings
        moments: Moments = self.carried.started(
            led_embed(self.state, "led.", side, self.config, ids, None, limit), bound
        )
        return moments

    def decoded(self, ids: np.ndarray, mask: np.ndarray, encoded: Moments) -> Moments:
        x, causal = self.embedded("decoder", ids), visible_keys(mask == 1, ids.shape[1], causal=True)
        seen = visible_keys(self.mask == 1, ids.shape[1], causal=False)
        for i in range(2):
            layer = self.carried.Layer(self.state, f"led.decoder.layers.{i}", "led", 2, self.precision)
            x = layer.output(x, causal, encoded, seen)
        return x

    def logits(self, last: Moments) -> Moments:
        return linear_moments(last, self.state["lm_head.weight"], self.state["final_logits_bias"][0], self.precision)


@pytest.fixture(scope="package")
def half(peers: SimpleNamespace, carried: SimpleNamespace) -> Pair:
    return Pair(peers, carried, "LEDForConditionalGeneration", "float32")


@pytest.fixture(scope="package")
def double(peers: SimpleNamespace, carried: SimpleNamespace) -> Pair:
    return Pair(peers, carried, "LEDForConditionalGeneration", "float64")


@pytest.fixture(scope="package")
def pair(peers: SimpleNamespace, carried: SimpleNamespace) -> Any:
    """Makes a `Pair` of a class and a dtype."""
    return lambda name, dtype: Pair(peers, carried, name, dtype)


def assert_agree(actual: np.ndarray, expected: np.ndarray, moments: Moments, where: Any = ...) -> None:
    verdict = judge(actual[where], expected[where], sigma_bound(moments).at(where))
    assert verdict.passed, verdict


@pytest.fixture(scope="session")
def agree() -> Any:
    """Fails with the verdict where two arrays differ by more than 8 sigma."""
    return assert_agree
