"""Golden checks of encoder-decoders: a trained BART as an LED, and a trained RoBERTa as the encoder of one.

`attention_window` is two-sided here, as in the Hub's configurations. A window that covers the text, or global tokens
everywhere, must give what was published for the source.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trueband.golden.bart import bart_to_led, roberta_to_led_encoder
from trueband.golden.bart_g2p import END, MAX_LENGTH, START, decode_phonemes, encode_word, load_bart_g2p
from trueband.golden.checks_sapiens import RUNS, judge_embedding
from trueband.golden.fairseq import Checkpoint
from trueband.golden.published import published
from trueband.golden.records import GoldenCheck, Outcome
from trueband.golden.sapiens import encode, load_sapiens
from trueband.golden.seq2seq_witness import Seq2SeqWitness, greedy, run_seq2seq
from trueband.properties.bounds.bound import Bound
from trueband.properties.verdict import judge

WINDOW, POSITIONS = 64, 128  # covers every word; positions 64 to 127 repeat those learned
GLOBALS: dict[str, slice] = {"no_globals": slice(0, 0), "first_global": slice(0, 1), "all_global": slice(None)}


def led_g2p(attention_window: int = WINDOW) -> Checkpoint:
    """The BART as an LED."""
    return bart_to_led(load_bart_g2p(), attention_window, POSITIONS)


def flags(ids: NDArray[np.int64], where: slice) -> NDArray[np.int64]:
    """1 for global tokens."""
    found = np.zeros_like(ids)
    found[:, where] = 1
    return found


def judge_numeric(witness: Seq2SeqWitness, checkpoint: Checkpoint, where: slice) -> dict[str, Outcome]:
    """The published row of the encoder and the published first logits."""
    data = published("bart_g2p_us")
    ids = encode_word(data["numeric"]["word"])
    output = run_seq2seq(witness, checkpoint, ids, flags(ids, where), np.array([[START]]))
    values = {"encoder_row0": output.encoder_last_hidden_state[0, 0], "first_logits": output.logits[0, 0]}
    outcomes = {}
    for name, value in values.items():
        expected = np.array(data["numeric"][name])
        tolerance = np.full(expected.shape, data["tolerances"][name]["value"])
        outcomes[name] = Outcome.of(judge(value, expected, Bound({"published": tolerance}), name))
    return outcomes


def _numeric(name: str, label: str, where: slice) -> GoldenCheck:
    claim = {"encoder_row0": "the 128 published numbers of the first token", "first_logits": "the 63 published logits"}
    return GoldenCheck(
        f"bart_led_{name}_{label}",
        f"LED of a BART, {label.replace('_', ' ')}: {claim[name]}",
        lambda witness: judge_numeric(witness, led_g2p(), where)[name],
    )


def _words(label: str, where: slice) -> GoldenCheck:
    def check(witness: Seq2SeqWitness) -> Outcome:
        checkpoint, words = led_g2p(), published("bart_g2p_us")["greedy_a"]
        spoken = []
        for word in words:
            ids = encode_word(word)
            found = greedy(witness, checkpoint, ids, flags(ids, where), MAX_LENGTH)
            spoken.append(decode_phonemes(found if found[-1] == END else []))
        return Outcome.same_text(" ".join(spoken), " ".join(words.values()), "words")

    claim = f"LED of a BART, {label.replace('_', ' ')}: each of 25 published words, letter by letter"
    return GoldenCheck(f"bart_led_words_{label}", claim, check)


def _sapiens(attention_window: int, label: str, where: Sequence[int] | slice) -> GoldenCheck:
    def check(witness: Seq2SeqWitness) -> Outcome:
        ids = encode(published("sapiens_vh")["embedding"]["seq"])
        checkpoint = roberta_to_led_encoder(load_sapiens(), attention_window, 512)
        found = np.zeros_like(ids)
        found[:, where] = 1
        output = run_seq2seq(witness, checkpoint, ids, found, np.array([[2]]))
        return judge_embedding(output.encoder_last_hidden_state, slice(1, -1), RUNS[0])

    claim = f"LED encoder of a RoBERTa, two-sided window {attention_window}, {label.replace('_', ' ')}: its embedding"
    return GoldenCheck(f"sapiens_led_window_{attention_window}_{label}", claim, check)


CHECKS = (
    *(_numeric(name, label, where) for name in ("encoder_row0", "first_logits") for label, where in GLOBALS.items()),
    *(_words(label, GLOBALS[label]) for label in ("no_globals", "all_global")),
    _sapiens(256, "no_globals", []),
    _sapiens(256, "two_globals", [0, 60]),
    _sapiens(64, "all_global", slice(None)),
)
