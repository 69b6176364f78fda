"""The models of this package and the peer's beside them, tiny, in float64, with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

import trueband.optimized
from trueband.reference import config as configs

ENCODER: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 60,
    "layer_norm_eps": 1e-5,
}
LED: dict[str, Any] = {
    "vocab_size": 40,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_encoder_position_embeddings": 64,
    "max_decoder_position_embeddings": 48,
    "attention_window": 4,
}
SIZES = {"XLMRoberta": ENCODER, "Longformer": {**ENCODER, "attention_window": 4}, "LED": LED}
Make = Callable[..., Any]


def family(name: str) -> str:
    return next(each for each in SIZES if name.startswith(each))


def ours(name: str, **changes: Any) -> Any:
    """A model of a class, in evaluation mode, in float64."""
    kind = family(name)
    config = getattr(configs, f"{kind}Config")(**SIZES[kind] | changes)
    model = getattr(trueband.optimized, name)(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def peers(name: str, **changes: Any) -> Any:
    kind = family(name)
    config = getattr(transformers, f"{kind}Config")(**SIZES[kind] | changes)
    return getattr(transformers, name)(config).double().eval()


@pytest.fixture
def make() -> Make:
    """Makes a model of this package."""
    return ours


@pytest.fixture
def make_peer() -> Make:
    """Makes a model of the peer."""
    return peers


@pytest.fixture
def pair() -> Callable[..., tuple[Any, Any]]:
    """Makes a model of this package and the peer's, with the same weights."""

    def made(name: str, **changes: Any) -> tuple[Any, Any]:
        own, peer = ours(name, **changes), peers(name, **changes)
        peer.load_state_dict(own.state_dict(), strict=False)
        return own, peer

    return made


@pytest.fixture
def ids() -> Tensor:
    """(2, 9): no padding, an end in the last place."""
    drawn = torch.randint(3, 40, (2, 9), generator=torch.Generator().manual_seed(3))
    drawn[:, -1] = 2
    return drawn


@pytest.fixture
def agree() -> Callable[[Tensor, Tensor], bool]:
    """Whether two ways of computing the same in float64 are as close as numbers of float32 could not be told apart."""

    def close(one: Tensor, other: Tensor) -> bool:
        unit = torch.finfo(torch.float32).eps
        return one.dtype == other.dtype == torch.float64 and bool((one - other).abs().max() <= unit * other.abs().max())

    return close
