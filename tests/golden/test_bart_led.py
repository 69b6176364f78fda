"""A trained BART as an LED: the published words by own decoding, and how tight the tolerances are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from trueband.golden import open_store
from trueband.golden.runners.sapiens import global_flags
from trueband.golden.seq2seq_witness import reference_seq2seq, run_seq2seq
from trueband.golden.weights.bart import bart_to_led
from trueband.golden.weights.bart_g2p import END, MAX_LENGTH, START, decode_phonemes, encode_word, load_bart_g2p
from trueband.golden.weights.fairseq import Checkpoint
from trueband.hub.convert_source import bart_logits
from trueband.properties.bounds import Precision
from trueband.properties.bounds.variance import sigma_bound
from trueband.reference.config import GenerationConfig, LEDConfig
from trueband.reference.decoding_models import led_generate
from trueband.witnesses.building import build

STORE = open_store()
ALL_WORDS = STORE.golden("bart_led_words_all_global").metadata
WORDS = dict(zip(ALL_WORDS.inputs["words"], ALL_WORDS.expected or [], strict=True))
GLOBALS: dict[str, list[int] | str] = {"no_globals": [], "first_global": [0], "all_global": "all"}


def led_g2p() -> Checkpoint:
    """The BART as an LED whose window covers every word."""
    return bart_to_led(load_bart_g2p(), 64, 128)


@pytest.mark.parametrize("label", GLOBALS)
@pytest.mark.parametrize("who", ["reference", "optimized"])
def test_generate_writes_every_published_word(label: str, who: str) -> None:
    """Their own decoding, that of the optimized model with a cache."""
    config, state = led_g2p()
    settings, how = LEDConfig.from_dict(config), GenerationConfig(max_length=MAX_LENGTH, forced_eos_token_id=END)
    model = None
    if who == "optimized":
        model = build("LEDForConditionalGeneration", config, state, "float32")
    for word, spoken in WORDS.items():
        ids = encode_word(word)
        flagged = global_flags(ids, GLOBALS[label])
        if model is None:
            sequences = led_generate(state, settings, ids, how, global_attention_mask=flagged).sequences
        else:
            written = model.generate(torch.tensor(ids), how, global_attention_mask=torch.tensor(flagged))
            assert isinstance(written, torch.Tensor)
            sequences = written.numpy()
        assert decode_phonemes(sequences[0]) == spoken, word


def test_a_batch_of_padded_words_is_the_words_one_by_one() -> None:
    model = build("LEDForConditionalGeneration", *led_g2p(), "float32")
    texts = [encode_word(word)[0] for word in WORDS]
    ids = torch.zeros(len(texts), max(map(len, texts)), dtype=torch.int64)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = torch.tensor(text)
    written = model.generate(ids, GenerationConfig(max_length=MAX_LENGTH, forced_eos_token_id=END))
    assert isinstance(written, torch.Tensor)
    assert [decode_phonemes(row) for row in written.tolist()] == list(WORDS.values())


def test_the_stated_tolerances_are_tighter_than_8_sigma_of_a_float32_run() -> None:
    row, first = STORE.golden("bart_g2p_encoder_row0").metadata, STORE.golden("bart_g2p_first_logits").metadata
    config, state = load_bart_g2p()
    ids = encode_word(row.inputs["word"])
    encoded, logits = bart_logits(
        state, config, ids, np.ones(ids.shape, dtype=bool), np.array([[START]]), Precision.of("float32")
    )
    assert row.tolerance is not None
    assert first.tolerance is not None
    assert row.tolerance.absolute < sigma_bound(encoded).total[0, 0].max()
    assert first.tolerance.absolute < sigma_bound(logits).total[0, 0].max()


def test_the_form_of_a_result_is_checked() -> None:
    def flat(*arguments: Any) -> dict[str, Any]:
        result = reference_seq2seq(*arguments)
        return result | {"logits": result["logits"][0]}

    wrong: Any = flat

    ids = encode_word("ai")
    with pytest.raises(ValueError, match=r"logits: expected shape \(1, 1, 63\), got \(1, 63\)"):
        run_seq2seq(wrong, led_g2p(), ids, None, np.array([[START]]))
