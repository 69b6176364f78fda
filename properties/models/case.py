"""A case for a whole model: a small configuration, random weights, and token ids. One JSON line, like `Case`."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Self

import numpy as np
from hypothesis import strategies as st

from trueband.properties.bounds.precision import round_to
from trueband.properties.models.model import Model
from trueband.properties.models.weights import (
    Weights,
    encoder_shapes,
    head_shapes,
    led_shapes,
    pooler_shapes,
    random_weights,
)
from trueband.reference.config import FAMILIES, POSITION_EMBEDDING_TYPES, Family

Positions = tuple[tuple[int, ...], ...]
HEADS = {name: tuple(family.heads) for name, family in FAMILIES.items()}
ARCHITECTURES = tuple(FAMILIES)
VOCABULARY, HEAD_DIM, FIRST_WORD = 29, 4, 6  # ids below FIRST_WORD are special


@dataclass(frozen=True)
class ModelCase:
    """One input of one model.

    Attributes:
        architecture: one of `ARCHITECTURES`.
        head: one of `HEADS` of the architecture.
        tokens, batch, layers, heads, head_dim: the sizes.
        windows: the one-sided window of each layer of the encoder (longformer, led).
        masked, global_: positions for each row of the batch. Masked tokens hold the padding id.
        target_tokens: tokens of the decoder (led); target_masked: its masked positions, which hold any ids.
        causal: whether xlm-roberta is a decoder; encoder_tokens: tokens of the encoder that it attends, 0 for none.
        positions: the Hub's position_embedding_type of xlm-roberta.
        pruned: the heads that each layer of xlm-roberta has lost; empty: none.
        chunk: tokens that go through xlm-roberta's feed-forward at a time, 0 for all.
        pad_token_id, seed: the padding id, and the seed of ids and weights.
        dtype: the dtype that the model computes in, "float64" or "float32"; the weights are always float32 numbers.
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
    target_masked: Positions = ()
    causal: bool = False
    encoder_tokens: int = 0
    positions: str = "absolute"
    pruned: Positions = ()
    chunk: int = 0
    head_dim: int = HEAD_DIM

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
        """Return the case of a parsed JSON line. Raises ValueError on unknown or missing fields."""
        known = {field.name for field in dataclasses.fields(cls)}
        if not {"architecture", "tokens"} <= set(values) <= known:
            raise ValueError(f"case: expected architecture, tokens and some of {sorted(known)}, got {sorted(values)}")
        if values["architecture"] not in ARCHITECTURES:
            raise ValueError(
                f"architecture: expected one of {', '.join(ARCHITECTURES)}, got {values['architecture']!r}"
            )
        plain = dict(values)
        for name in ("masked", "global_", "target_masked", "pruned"):
            if name in plain:
                plain[name] = tuple(tuple(row) for row in plain[name])
        if "windows" in plain:
            plain["windows"] = tuple(plain["windows"])
        return cls(**plain)

    def replace(self, **changes: Any) -> Self:
        return dataclasses.replace(self, **changes)

    @property
    def model(self) -> Model:
        """What a candidate is asked to build."""
        return Model(self.architecture, self.config, self.state, self.dtype, self.head)

    @property
    def family(self) -> Family:
        """What the architecture's configuration, classes and weights are called."""
        return FAMILIES[self.architecture]

    @property
    def prefix(self) -> str:
        """The prefix of the weights of the model inside a model with a head."""
        return self.family.prefix

    @property
    def decoder(self) -> Self:
        """The case with a model that has a decoder."""
        return self if self.architecture == "led" else self.replace(causal=True)

    @property
    def size(self) -> int:
        """The size of a hidden state."""
        return self.heads * self.head_dim

    @property
    def targets(self) -> str:
        """The argument that holds the ids of the decoder, or of the only stack."""
        return "decoder_input_ids" if self.architecture == "led" else "input_ids"

    @property
    def longest(self) -> int:
        """The most tokens that have positions."""
        if self.architecture == "led":
            return int(self.config["max_encoder_position_embeddings"])
        without = 0 if self.positions != "absolute" else self.pad_token_id + 1
        return int(self.config["max_position_embeddings"]) - without

    @property
    def words(self) -> np.ndarray:
        """The word embeddings, (vocabulary, D)."""
        return self.state[self.family.word_embeddings]

    @cached_property
    def config(self) -> dict[str, Any]:
        """The fields of `config.json`."""
        size, room = self.size, self.tokens + 4
        special: dict[str, Any] = {
            "pad_token_id": self.pad_token_id,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "vocab_size": VOCABULARY,
        }
        special["num_labels"] = 2 if self.head == "qa" else 1 + self.seed % 3
        if self.head == "sequence":
            special["problem_type"] = self._problem_type(special["num_labels"])
        if self.architecture == "led":
            return {
                **special,
                "d_model": size,
                "encoder_layers": self.layers,
                "decoder_layers": self.layers,
                "encoder_attention_heads": self.heads,
                "decoder_attention_heads": self.heads,
                "encoder_ffn_dim": 2 * size,
                "decoder_ffn_dim": 2 * size,
                "decoder_start_token_id": 2,
                "max_encoder_position_embeddings": room,
                "max_decoder_position_embeddings": 24,
                "attention_window": [2 * window for window in self.windows],
            }
        config: dict[str, Any] = {
            **special,
            "hidden_size": size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": 2 * size,
            "max_position_embeddings": room + self.pad_token_id + 1,
            "type_vocab_size": 1 + self.seed % 2,
            "layer_norm_eps": 1e-5,
        }
        if self.architecture == "xlm-roberta":
            config |= {
                "is_decoder": self.causal,
                "add_cross_attention": self.encoder_tokens > 0,
                "position_embedding_type": self.positions,
                "chunk_size_feed_forward": self.chunk,
                "pruned_heads": {str(layer): list(heads) for layer, heads in enumerate(self.pruned) if heads},
            }
        if self.architecture == "longformer":
            config |= {"attention_window": [2 * window for window in self.windows], "sep_token_id": 2}
        return config

    @cached_property
    def state(self) -> Weights:
        """The weights under the Hub's keys."""
        if self.architecture == "led":
            body = led_shapes(self.config, self.prefix)
        else:
            body = encoder_shapes(self.config, self.prefix, self.architecture == "longformer")
        head = head_shapes(self.config, self.prefix, self.head, self.size)
        return random_weights(itertools.chain(body, head), self.seed)

    def headless_state(self, pooled: bool) -> Weights:
        """Return the weights of the model without a head, under its own keys, with a pooler or without."""
        cut = len(self.prefix)
        body = {name[cut:]: array for name, array in self.state.items() if name.startswith(self.prefix)}
        pooler = random_weights(pooler_shapes("", self.size), self.seed) if pooled else {}
        return {**body, **pooler}

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
            if any(self.target_masked):
                masked = flags(self.target_masked, targets.shape)
                inputs["decoder_attention_mask"] = (~masked).astype(np.int64)
        if self.encoder_tokens:
            encoded = random.standard_normal((self.batch, self.encoder_tokens, self.size))
            inputs["encoder_hidden_states"] = round_to(encoded, "float32")
            inputs["encoder_attention_mask"] = random.integers(0, 2, encoded.shape[:2])
        return inputs

    @property
    def real(self) -> np.ndarray:
        return self.inputs["attention_mask"].astype(bool)

    @property
    def flagged(self) -> np.ndarray:
        return self._flags(self.global_)

    def _problem_type(self, labels: int) -> str | None:
        """Return the problem type, or None to infer it from the labels; several labels may be a regression."""
        if self.seed % 4 < 2:
            return None
        kinds = ("single_label_classification", "multi_label_classification", "regression")
        return kinds[self.seed % 8 % 3] if labels > 1 else "regression"

    def _flags(self, rows: Positions) -> np.ndarray:
        return flags(rows, (self.batch, self.tokens))


def flags(rows: Positions, shape: tuple[int, ...]) -> np.ndarray:
    """Return (b, n) bool: True at the positions of each row."""
    flagged = np.zeros(shape, dtype=bool)
    for row, positions in enumerate(rows):
        flagged[row, list(positions)] = True
    return flagged


@st.composite
def model_cases(draw: st.DrawFn, architectures: tuple[str, ...], dtype: str, most_tokens: int = 14) -> ModelCase:
    """Draw cases of some architectures, smallest first."""
    architecture = draw(_one_of(architectures))
    tokens = draw(_integers(2, most_tokens))
    batch, layers = draw(_integers(1, 3)), draw(_integers(1, 3))
    masked = masked_positions(tokens)
    banded = architecture != "xlm-roberta"
    heads = draw(_integers(1, 2))
    plain: dict[str, Any] = {}
    if architecture == "led":
        plain["target_tokens"] = targets = draw(_integers(1, 5))
        plain["target_masked"] = tuple(draw(masked_positions(targets)) for _ in range(batch))
    if not banded:
        plain["pad_token_id"] = draw(_one_of((1, 0, 5)))
        plain["positions"] = draw(_one_of(POSITION_EMBEDDING_TYPES))
        plain["causal"] = draw(st.booleans())
        plain["encoder_tokens"] = draw(_integers(0, 4)) if plain["causal"] else 0
        plain["chunk"] = draw(_integers(0, 5))
        plain["pruned"] = tuple(draw(_one_of(((), (0,), (1,)))) for _ in range(layers)) if heads > 1 else ()
    return ModelCase(
        architecture=architecture,
        tokens=tokens,
        batch=batch,
        layers=layers,
        heads=heads,
        windows=tuple(draw(_integers(1, 6)) for _ in range(layers)) if banded else (1,),
        masked=tuple(draw(masked) for _ in range(batch)),
        global_=tuple(draw(some_positions(tokens)) if banded else () for _ in range(batch)),
        seed=draw(_integers(0, 2**16)),
        dtype=dtype,
        **plain,
    )


_integers = cache(st.integers)  # a new strategy for each draw would be examined by Hypothesis each time
_one_of = cache(st.sampled_from)


@cache
def some_positions(tokens: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw at most 3 of a row's positions."""
    return st.sets(st.integers(0, tokens - 1), max_size=3).map(lambda chosen: tuple(sorted(chosen)))


@cache
def masked_positions(tokens: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw the masked positions of a row, never all: on the right, on the left, or anywhere."""
    tail = st.integers(0, tokens - 1).map(lambda count: tuple(range(tokens - count, tokens)))
    head = st.integers(0, tokens - 1).map(lambda count: tuple(range(count)))
    return tail | head | some_positions(tokens).filter(lambda chosen: len(chosen) < tokens)
