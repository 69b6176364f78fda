"""Model configurations under the Hub's field names. Data only: both witnesses read them, neither computes here.

Defaults are those of the published configuration classes; a published checkpoint's `config.json` overrides them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class _EncoderConfig:
    """Fields that every RoBERTa-type encoder shares."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 1
    bos_token_id: int = 0
    eos_token_id: int = 2

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size: expected a multiple of num_attention_heads ({self.num_attention_heads}), "
                f"got {self.hidden_size}"
            )

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def max_length(self) -> int:
        """Longest sequence of real tokens: positions start after `pad_token_id`."""
        return self.max_position_embeddings - self.pad_token_id - 1

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Configuration from a `config.json` mapping; keys this class does not compute with are left out."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class XLMRobertaConfig(_EncoderConfig):
    """XLM-RoBERTa (and RoBERTa, which computes the same)."""


@dataclass(frozen=True)
class LongformerConfig(_EncoderConfig):
    """Longformer. `attention_window` is two-sided and even: one int, or one for each layer."""

    attention_window: int | tuple[int, ...] = 512
    sep_token_id: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        windows = self.attention_window
        if not isinstance(windows, int):
            object.__setattr__(self, "attention_window", tuple(windows))
            if len(windows) != self.num_hidden_layers:
                raise ValueError(
                    f"attention_window: expected one window for each of {self.num_hidden_layers} layers, "
                    f"got {len(windows)}"
                )
        for window in (windows,) if isinstance(windows, int) else windows:
            if window <= 0 or window % 2:
                raise ValueError(f"attention_window: expected even two-sided windows > 0, got {windows}")

    def window(self, layer: int) -> int:
        """One-sided window of a layer: a token sees this many tokens on each side."""
        windows = self.attention_window
        return (windows if isinstance(windows, int) else windows[layer]) // 2
