"""Small checkpoints on disk, and what may be done to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from trueband.optimized.models import LongformerForMaskedLM, XLMRobertaForMaskedLM

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 60,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-5,
}
OURS = {"roberta": XLMRobertaForMaskedLM, "longformer": LongformerForMaskedLM}
THEIRS = {
    "roberta": (transformers.XLMRobertaForMaskedLM, transformers.XLMRobertaConfig),
    "longformer": (transformers.LongformerForMaskedLM, transformers.LongformerConfig),
}


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Every test starts from the same random state and leaves no trace."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20)
        yield


@pytest.fixture(scope="session")
def sizes() -> dict[str, Any]:
    return dict(SIZES)


@pytest.fixture(scope="session")
def ours() -> dict[str, Any]:
    """Masked language models of this project by architecture."""
    return dict(OURS)


@pytest.fixture(scope="session")
def peer_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Any]]:
    """Writes a checkpoint of the peer, random weights and no zero biases: (folder, the peer's model)."""
    transformers.utils.logging.disable_progress_bar()

    def write(architecture: str, **changes: Any) -> tuple[Path, Any]:
        model_class, config_class = THEIRS[architecture]
        folder = tmp_path_factory.mktemp(architecture)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            model = model_class(config_class(**SIZES | changes))
            for parameter in model.parameters():
                torch.nn.init.normal_(parameter, std=0.3)
            model.save_pretrained(folder)
        return folder, model.eval()

    return write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of this project's Longformer, for tests that spoil it."""
    from trueband.reference.config import LongformerConfig

    model = LongformerForMaskedLM(LongformerConfig(**SIZES, attention_window=8))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"
