"""Outputs of the trained BART, computed by an LED of the same weights.

Inputs: {"word": word} or {"words": [word, ...]}, and {"global_tokens": positions, or "all"}.
"""

from __future__ import annotations

import numpy as np

from trueband.golden.at_hand import weights
from trueband.golden.judged import judge_published
from trueband.golden.records import Outcome
from trueband.golden.registry import Context, runner
from trueband.golden.runners.sapiens import global_flags
from trueband.golden.seq2seq_witness import greedy, run_seq2seq
from trueband.golden.store import Golden
from trueband.golden.weights.bart_g2p import END, MAX_LENGTH, START, decode_phonemes, encode_word


@runner("bart_output", form="seq2seq")
def first_row(golden: Golden, context: Context) -> Outcome:
    """The first row of an output, after one step of the decoder, within the printed digits."""
    ids = encode_word(golden.metadata.inputs["word"])
    flags = global_flags(ids, golden.metadata.inputs["global_tokens"])
    checkpoint = weights(golden, context)
    output = run_seq2seq(context.witness("seq2seq"), checkpoint, ids, flags, np.array([[START]]))
    return judge_published(golden, output._asdict()[golden.metadata.output][0, 0])


@runner("bart_words", form="seq2seq")
def words(golden: Golden, context: Context) -> Outcome:
    """The phonemes of words, each written greedily; a word without an end has none.

    Letter by letter: no choice is within the errors of a float32 run (tests/golden/test_margins.py).
    """
    checkpoint, spoken = weights(golden, context), []
    for word in golden.metadata.inputs["words"]:
        ids = encode_word(word)
        flags = global_flags(ids, golden.metadata.inputs["global_tokens"])
        tokens = greedy(context.witness("seq2seq"), checkpoint, ids, flags, MAX_LENGTH)
        spoken.append(decode_phonemes(tokens) if tokens[-1] == END else "")
    return judge_published(golden, spoken)
