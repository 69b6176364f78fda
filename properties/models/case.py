"""A case for a whole model: a small configuration, random weights, and token ids. One JSON line, like `Case`."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from hypothesis import strategies as st

from trueband.properties.models.weights import Weights, encoder_shapes, head_shapes, led_shapes, random_weights

Positions = tuple[tuple[int, ...], ...]
HEADS = {
    "xlm-roberta": ("lm", "sequence", "token", "choice", "qa"),
    "longformer": ("lm", "sequence", "token", "choice", "qa"),
    "led": ("lm", "sequence", "qa"),
}
ARCHITECTURES = tuple(HEADS)
VOCABULARY, HEAD_DIM, FIRST_WORD = 29, 4, 6  # ids below FIRST_WORD are special


@dataclass(frozen=True)
class ModelCase:
    """One input of one model.

    Attributes:
        architecture: one of `ARCHITECTURES`.
        head: one of `HEADS` of the architecture.
        tokens, batch, layers, heads: sizes; heads have 4 channels.
        windows: one-sided, one for each layer of the encoder (longformer, led).
        masked, global_: positions for each row of the batch. Masked tokens hold the padding id.
        target_tokens: of the decoder (led).
        pad_token_id, seed: of the ids and of the weights.
        dtype: the model computes in, "float64" or "float32"; the weights are float32 numbers in any case.
    """

    architecture: str
    tokens: int
    batch: int = 1
    layers: int = 1
    heads: int = 1
    windows: tuple[int, ...] = (1,)
    masked: Positions = ((),)
    global_: Positions = ((),)
    target_tokens: int = 1
    pad_token_id: int = 1
    seed: int = 0
    dtype: str = "float32"
    head: str = "lm"

    @property
    def id(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        fields = dataclasses.fields(self)
        return {f.name: getattr(self, f.name) for f in fields if getattr(self, f.name) != f.default}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The case of a parsed JSON line. ValueError on unknown or missing fields."""
        known = {field.name for field in dataclasses.fields(cls)}
        if not {"architecture", "tokens"} <= set(values) <= known:
            raise ValueError(f"case: expected architecture, tokens and some of {sorted(known)}, got {sorted(values)}")
        if values["architecture"] not in ARCHITECTURES:
            raise ValueError(
                f"architecture: expected one of {', '.join(ARCHITECTURES)}, got {values['architecture']!r}"
            )
        plain = dict(values)
        for name in ("masked", "global_"):
            if name in plain:
                plain[name] = tuple(tuple(row) for row in plain[name])
        if "windows" in plain:
            plain["windows"] = tuple(plain["windows"])
        return cls(**plain)

    def replace(self, **changes: Any) -> Self:
        return dataclasses.replace(self, **changes)

    @property
    def prefix(self) -> str:
        """Of the keys of the model inside the model with a head."""
        return {"xlm-roberta": "roberta.", "longformer": "longformer.", "led": "led."}[self.architecture]

    @cached_property
    def config(self) -> dict[str, Any]:
        """Fields of `config.json`."""
        size, room = self.heads * HEAD_DIM, self.tokens + 4
        special = {"pad_token_id": self.pad_token_id, "bos_token_id": 0, "eos_token_id": 2, "vocab_size": VOCABULARY}
        special["num_labels"] = 2 if self.head == "qa" else 1 + self.seed % 3
        if self.architecture == "led":
            return {
                **special, "d_model": size, "encoder_layers": self.layers, "decoder_layers": self.layers,
                "encoder_attention_heads": self.heads, "decoder_attention_heads": self.heads,
                "encoder_ffn_dim": 2 * size, "decoder_ffn_dim": 2 * size, "decoder_start_token_id": 2,
                "max_encoder_position_embeddings": room, "max_decoder_position_embeddings": 24,
                "attention_window": [2 * window for window in self.windows],
            }  # fmt: skip
        config: dict[str, Any] = {
            **special, "hidden_size": size, "num_hidden_layers": self.layers, "num_attention_heads": self.heads,
            "intermediate_size": 2 * size, "max_position_embeddings": room + self.pad_token_id + 1,
            "type_vocab_size": 1, "layer_norm_eps": 1e-5,
        }  # fmt: skip
        if self.architecture == "longformer":
            config |= {"attention_window": [2 * window for window in self.windows], "sep_token_id": 2}
        return config

    @cached_property
    def state(self) -> Weights:
        """Weights under the Hub's keys."""
        if self.architecture == "led":
            body = led_shapes(self.config, self.prefix)
        else:
            body = encoder_shapes(self.config, self.prefix, self.architecture == "longformer")
        head = head_shapes(self.config, self.prefix, self.head, self.heads * HEAD_DIM)
        return random_weights(itertools.chain(body, head), self.seed)

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        """input_ids and attention_mask, and global_attention_mask and decoder_input_ids where the model has them."""
        random = np.random.default_rng([self.seed, 7])
        real = ~self._flags(self.masked)
        ids = random.integers(FIRST_WORD, VOCABULARY, (self.batch, self.tokens))
        inputs = {"input_ids": np.where(real, ids, self.pad_token_id), "attention_mask": real.astype(np.int64)}
        if self.architecture != "xlm-roberta":
            inputs["global_attention_mask"] = self._flags(self.global_).astype(np.int64)
        if self.architecture == "led":
            targets = random.integers(FIRST_WORD, VOCABULARY, (self.batch, self.target_tokens))
            targets[:, 0] = self.config["decoder_start_token_id"]
            inputs["decoder_input_ids"] = targets
        return inputs

    @property
    def real(self) -> np.ndarray:
        return self.inputs["attention_mask"].astype(bool)

    @property
    def flagged(self) -> np.ndarray:
        return self._flags(self.global_)

    def _flags(self, rows: Positions) -> np.ndarray:
        flags = np.zeros((self.batch, self.tokens), dtype=bool)
        for row, positions in enumerate(rows):
            flags[row, list(positions)] = True
        return flags


@st.composite
def model_cases(draw: st.DrawFn, architectures: tuple[str, ...], dtype: str, most_tokens: int = 14) -> ModelCase:
    """Cases of some architectures, smallest first."""
    architecture = draw(st.sampled_from(architectures))
    tokens = draw(st.integers(2, most_tokens))
    batch, layers = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    tail = st.integers(0, tokens - 1).map(lambda count: tuple(range(tokens - count, tokens)))
    head = st.integers(0, tokens - 1).map(lambda count: tuple(range(count)))
    some = st.sets(st.integers(0, tokens - 1), max_size=3).map(lambda chosen: tuple(sorted(chosen)))
    banded = architecture != "xlm-roberta"
    return ModelCase(
        architecture=architecture,
        tokens=tokens,
        batch=batch,
        layers=layers,
        heads=draw(st.integers(1, 2)),
        windows=tuple(draw(st.integers(1, 6)) for _ in range(layers)) if banded else (1,),
        masked=tuple(draw(tail | head | some.filter(lambda chosen: len(chosen) < tokens)) for _ in range(batch)),
        global_=tuple(draw(some) for _ in range(batch)) if banded else tuple(() for _ in range(batch)),
        target_tokens=draw(st.integers(1, 5)) if architecture == "led" else 1,
        pad_token_id=draw(st.sampled_from((1, 0, 5))) if architecture == "xlm-roberta" else 1,
        seed=draw(st.integers(0, 2**16)),
        dtype=dtype,
    )
