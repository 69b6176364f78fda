"""Judges whether a converted checkpoint, read back from its files, gives its source's outputs on short inputs.

The source runs in NumPy, the result in `trueband.optimized`, both in float64; they are judged by 8 standard deviations
of their rounding errors. Texts are short enough for every window, and padded; Longformer and LED run without global
tokens, with the first one, and with all of them, which shows whether the global projections are the copies they
should be.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.golden.weights.fairseq import Arrays
from trueband.hub.convert_source import FLOAT64, bart_logits, fairseq_roberta_logits
from trueband.properties.bounds.encoder_variance import embedding_bound, roberta_layer_moments
from trueband.properties.bounds.variance import Moments, sigma_bound
from trueband.properties.results.verdict import Verdict, judge, judge_exact
from trueband.reference.config import XLMRobertaConfig
from trueband.reference.embeddings import embed, positions_from_ids

Array = NDArray[Any]
LONGEST = 12
TARGETS = 5
SEED = 7


class Texts(NamedTuple):
    """Attributes:
    ids: (2, n), the second text padded on the right.
    real: (2, n) bool.
    decoder_ids: (2, m).
    """

    ids: Array
    real: Array
    decoder_ids: Array


def short_texts(vocab_size: int, pad: int, longest: int, longest_target: int = TARGETS) -> Texts:
    """Random ids. `longest`: what window and position tables allow."""
    rng = np.random.default_rng(SEED)
    tokens = min(LONGEST, longest)
    drawn = rng.integers(0, vocab_size - 1, size=(2, tokens + min(TARGETS, longest_target)))
    drawn[drawn >= pad] += 1  # every id but padding
    ids, real = drawn[:, :tokens].copy(), np.ones((2, tokens), dtype=bool)
    real[1, tokens - tokens // 3 :] = False
    ids[~real] = pad
    return Texts(ids, real, drawn[:, tokens:])


def global_flags(ids: Array) -> dict[str, Array]:
    """No global token, the first one, all."""
    flags = {name: np.zeros_like(ids) for name in ("no global tokens", "the first token global", "all tokens global")}
    flags["the first token global"][:, 0] = 1
    flags["all tokens global"][:] = 1
    return flags


def roberta_states(config: XLMRobertaConfig, state: Arrays, texts: Texts) -> Moments:
    """Last hidden states of the source under the Hub's names, with the prefix "roberta."."""
    positions = positions_from_ids(texts.ids, config.pad_token_id)
    bound = embedding_bound(state, "roberta.", config, texts.ids, positions, FLOAT64)
    x = Moments(embed(state, config, texts.ids, prefix="roberta."), bound.total**2)
    for i in range(config.num_hidden_layers):
        x = roberta_layer_moments(state, f"roberta.encoder.layer.{i}", config, x, texts.real, FLOAT64)
    return x


def judge_longformer(folder: Path, config: Mapping[str, Any], state: Arrays, window: int) -> list[Verdict]:
    """Judge a Longformer in a folder against the RoBERTa (names of the Hub). `window`: one-sided."""
    import torch

    from trueband.optimized.models import LongformerModel

    source = XLMRobertaConfig.from_dict(config)
    model = LongformerModel.from_pretrained(folder, dtype=torch.float64)
    longest = min(window + 1, source.max_length, model.config.max_length)
    texts = short_texts(source.vocab_size, source.pad_token_id, longest)
    expected = roberta_states(source, state, texts)
    verdicts = []
    for name, flags in global_flags(texts.ids).items():
        with torch.no_grad():
            output = model(torch.tensor(texts.ids), torch.tensor(texts.real), torch.tensor(flags)).last_hidden_state
        verdicts.append(judge_real(output.numpy(), expected, texts.real, f"last hidden states, {name}"))
    return verdicts


def judge_fairseq(folder: Path, model_arrays: Arrays, layers: int, heads: int) -> list[Verdict]:
    """Judge a RoBERTa in a folder against fairseq's arrays under fairseq's names."""
    import torch

    from trueband.optimized.models import XLMRobertaForMaskedLM

    model = XLMRobertaForMaskedLM.from_pretrained(folder, dtype=torch.float64)
    texts = short_texts(model.config.vocab_size, model.config.pad_token_id, model.config.max_length)
    states, logits = fairseq_roberta_logits(model_arrays, layers, heads, texts.ids, texts.real)
    with torch.no_grad():
        output = model(torch.tensor(texts.ids), torch.tensor(texts.real), output_hidden_states=True)
    last = output.hidden_states[-1].numpy()
    return [
        judge_real(last, states, texts.real, "last hidden states"),
        judge_real(output.logits.numpy(), logits, texts.real, "logits"),
    ]


def judge_led(folder: Path, config: Mapping[str, Any], state: Arrays, window: int) -> list[Verdict]:
    """Judge an LED in a folder against the BART under "model.". `window`: one-sided."""
    import torch

    from trueband.optimized.models import LEDForConditionalGeneration

    model = LEDForConditionalGeneration.from_pretrained(folder, dtype=torch.float64, new_head=False)
    longest = min(window + 1, config["max_position_embeddings"], model.config.max_encoder_position_embeddings)
    pad = config.get("pad_token_id", 1)
    texts = short_texts(model.config.vocab_size, pad, longest, model.config.max_decoder_position_embeddings)
    encoded, logits = bart_logits(state, config, texts.ids, texts.real, texts.decoder_ids)
    verdicts = []
    for name, flags in global_flags(texts.ids).items():
        with torch.no_grad():
            output = model(
                torch.tensor(texts.ids),
                attention_mask=torch.tensor(texts.real),
                global_attention_mask=torch.tensor(flags),
                decoder_input_ids=torch.tensor(texts.decoder_ids),
            )
        states = output.encoder_last_hidden_state.numpy()
        verdicts.append(judge_real(states, encoded, texts.real, f"last encoder states, {name}"))
        verdicts.append(judge(output.logits.numpy(), logits.value, sigma_bound(logits), f"logits, {name}"))
    return verdicts


def judge_real(output: Array, expected: Moments, real: Array, what: str) -> Verdict:
    """Judge the tokens that are not padding: on padding the models differ."""
    return judge(output[real], expected.value[real], sigma_bound(expected).at(real), what)


def judge_heads(source: Arrays, stored: Arrays, base: str) -> Verdict:
    """Judge whether all arrays outside the base model, which heads are made of, are the source's, bit for bit.

    Exact: they are stored numbers, copied and not computed.
    """
    heads = [name for name in source if not name.startswith(base)]
    changed = [name for name in heads if not np.array_equal(source[name], stored.get(name, np.zeros(0)))]
    return judge_exact([float(len(changed))], [0.0], f"{len(heads)} arrays of heads, those that differ")


def judge_positions(table: Array, learned: Array, what: str = "position table") -> Verdict:
    """Judge whether every position is the learned one that it repeats, bit for bit. Exact: stored numbers."""
    return judge_exact(table, learned[np.arange(len(table)) % len(learned)], what)
