"""Model configurations under the Hub's field names.

Defaults are those of the published configuration classes; a published checkpoint's `config.json` overrides them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from trueband.reference.config.base import BaseConfig, takes_general_fields
from trueband.reference.config.generation import is_int

POSITION_EMBEDDING_TYPES = ("absolute", "relative_key", "relative_key_query")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")


@dataclass(unsafe_hash=True)
class _EncoderConfig(BaseConfig):
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
    num_labels: int = 2
    problem_type: str | None = None
    tie_word_embeddings: bool = True

    def validate(self) -> None:
        _check_sizes(
            self,
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "max_position_embeddings",
            "type_vocab_size",
            "num_labels",
        )
        _check_padding(self.pad_token_id, self.vocab_size)
        if self.max_position_embeddings <= self.pad_token_id:
            raise ValueError(
                f"max_position_embeddings: expected more than pad_token_id ({self.pad_token_id}), "
                f"got {self.max_position_embeddings}"
            )
        _check_multiple("hidden_size", self.hidden_size, "num_attention_heads", self.num_attention_heads)
        _check_problem_type(self.problem_type)
        super().validate()

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def max_length(self) -> int:
        """Longest sequence of real tokens: positions start after `pad_token_id`."""
        return self.max_position_embeddings - self.pad_token_id - 1

    @property
    def absolute_positions(self) -> bool:
        """Whether the embeddings add positions; otherwise only the attention scores know them."""
        return True


@takes_general_fields
@dataclass(unsafe_hash=True)
class XLMRobertaConfig(_EncoderConfig):
    """XLM-RoBERTa (and RoBERTa, which computes the same).

    `pruned_heads`: heads that have been taken out of a layer's self-attention, in the numbering of the whole model.
    """

    own_type: ClassVar[str] = "xlm-roberta"

    classifier_dropout: float | None = None
    position_embedding_type: str = "absolute"
    is_decoder: bool = False
    add_cross_attention: bool = False
    chunk_size_feed_forward: int = 0
    use_cache: bool = True
    pruned_heads: Mapping[int, tuple[int, ...]] = field(default_factory=dict, hash=False)

    def validate(self) -> None:
        super().validate()
        if self.position_embedding_type not in POSITION_EMBEDDING_TYPES:
            raise ValueError(
                f"position_embedding_type: expected one of {', '.join(POSITION_EMBEDDING_TYPES)}, "
                f"got {self.position_embedding_type!r}"
            )
        if self.add_cross_attention and not self.is_decoder:
            raise ValueError("add_cross_attention: expected False where is_decoder is False, got True")
        pruned = {int(layer): tuple(sorted(set(heads))) for layer, heads in self.pruned_heads.items()}
        object.__setattr__(self, "pruned_heads", pruned)
        for layer, heads in pruned.items():
            if not 0 <= layer < self.num_hidden_layers:
                raise ValueError(f"pruned_heads: expected layers from 0 to {self.num_hidden_layers - 1}, got {layer}")
            if any(not 0 <= head < self.num_attention_heads for head in heads):
                raise ValueError(
                    f"pruned_heads: expected heads from 0 to {self.num_attention_heads - 1}, got {list(heads)}"
                )

    @property
    def absolute_positions(self) -> bool:
        return self.position_embedding_type == "absolute"

    @property
    def max_length(self) -> int:
        """Longest sequence: real tokens where positions are absolute, all tokens where they are relative."""
        return super().max_length if self.absolute_positions else self.max_position_embeddings

    def kept_heads(self, layer: int) -> list[int]:
        """Heads of a layer's self-attention that have not been pruned, in order."""
        return [head for head in range(self.num_attention_heads) if head not in self.pruned_heads.get(layer, ())]


@takes_general_fields
@dataclass(unsafe_hash=True)
class LongformerConfig(_EncoderConfig):
    """Longformer. `attention_window` is two-sided and even: one int, or one for each layer."""

    own_type: ClassVar[str] = "longformer"

    attention_window: int | tuple[int, ...] = 512
    sep_token_id: int = 2

    def validate(self) -> None:
        super().validate()
        object.__setattr__(self, "attention_window", _windows(self.attention_window, self.num_hidden_layers))

    def window(self, layer: int) -> int:
        """One-sided window of a layer: a token sees this many tokens on each side."""
        return _one_sided(self.attention_window, layer)


@takes_general_fields
@dataclass(unsafe_hash=True)
class LEDConfig(BaseConfig):
    """LED: Longformer's attention in the encoder, full attention in the decoder. `attention_window` as in Longformer.

    Under the Hub's general names (`hidden_size`, `num_attention_heads`, ...) the encoder's sizes are found.
    """

    own_type: ClassVar[str] = "led"
    attribute_map: ClassVar[Mapping[str, str]] = {
        "num_attention_heads": "encoder_attention_heads",
        "hidden_size": "d_model",
        "attention_probs_dropout_prob": "attention_dropout",
        "initializer_range": "init_std",
        "num_hidden_layers": "encoder_layers",
    }

    vocab_size: int = 50265
    max_encoder_position_embeddings: int = 16384
    max_decoder_position_embeddings: int = 1024
    encoder_layers: int = 12
    encoder_ffn_dim: int = 4096
    encoder_attention_heads: int = 16
    decoder_layers: int = 12
    decoder_ffn_dim: int = 4096
    decoder_attention_heads: int = 16
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0
    activation_function: str = "gelu"
    d_model: int = 1024
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    classifier_dropout: float = 0.0
    init_std: float = 0.02
    attention_window: int | tuple[int, ...] = 512
    pad_token_id: int = 1
    bos_token_id: int = 0
    eos_token_id: int = 2
    decoder_start_token_id: int = 2
    use_cache: bool = True
    is_encoder_decoder: bool = True
    tie_word_embeddings: bool = True
    num_labels: int = 2
    problem_type: str | None = None

    def validate(self) -> None:
        _check_sizes(
            self,
            "vocab_size",
            "d_model",
            "encoder_layers",
            "decoder_layers",
            "encoder_attention_heads",
            "decoder_attention_heads",
            "encoder_ffn_dim",
            "decoder_ffn_dim",
            "max_encoder_position_embeddings",
            "max_decoder_position_embeddings",
            "num_labels",
        )
        _check_padding(self.pad_token_id, self.vocab_size)
        _check_multiple("d_model", self.d_model, "encoder_attention_heads", self.encoder_attention_heads)
        _check_multiple("d_model", self.d_model, "decoder_attention_heads", self.decoder_attention_heads)
        _check_problem_type(self.problem_type)
        super().validate()
        object.__setattr__(self, "attention_window", _windows(self.attention_window, self.encoder_layers))

    def window(self, layer: int) -> int:
        """One-sided window of an encoder layer: a token sees this many tokens on each side."""
        return _one_sided(self.attention_window, layer)

    @property
    def num_attention_heads(self) -> int:
        return self.encoder_attention_heads

    @property
    def hidden_size(self) -> int:
        return self.d_model

    @property
    def attention_probs_dropout_prob(self) -> float:
        return self.attention_dropout

    @property
    def initializer_range(self) -> float:
        return self.init_std

    @property
    def num_hidden_layers(self) -> int:
        return self.encoder_layers


def _windows(windows: Any, layers: int) -> int | tuple[int, ...]:
    """Two-sided windows: one int, or a tuple with one for each layer."""
    checked = windows if isinstance(windows, int) else tuple(windows)
    if not isinstance(checked, int) and len(checked) != layers:
        raise ValueError(f"attention_window: expected one window for each of {layers} layers, got {len(checked)}")
    for window in (checked,) if isinstance(checked, int) else checked:
        if window <= 0 or window % 2:
            raise ValueError(f"attention_window: expected even two-sided windows > 0, got {windows}")
    return checked


def _one_sided(windows: int | tuple[int, ...], layer: int) -> int:
    return (windows if isinstance(windows, int) else windows[layer]) // 2


def _check_sizes(config: BaseConfig, *names: str) -> None:
    """Ints; there may be no layer, but at least one of everything else."""
    for name in names:
        value, least = getattr(config, name), 0 if name.endswith("layers") else 1
        if not is_int(value, least):
            raise ValueError(f"{name}: expected an int >= {least}, got {value!r}")


def _check_padding(pad_token_id: Any, vocab_size: int) -> None:
    if not is_int(pad_token_id, 0) or pad_token_id >= vocab_size:
        raise ValueError(f"pad_token_id: expected an id from 0 to {vocab_size - 1}, got {pad_token_id!r}")


def _check_multiple(name: str, size: int, heads_name: str, heads: int) -> None:
    if size % heads:
        raise ValueError(f"{name}: expected a multiple of {heads_name} ({heads}), got {size}")


def _check_problem_type(problem_type: str | None) -> None:
    if problem_type not in (None, *PROBLEM_TYPES):
        raise ValueError(f"problem_type: expected None or one of {', '.join(PROBLEM_TYPES)}, got {problem_type!r}")
