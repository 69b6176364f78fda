"""Decoding: greedy, sampling and beams. Every step is computed from scratch from all tokens so far, never cached.

Every row of the batch is decoded alone, with the padding of its prompt. b batch, t tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Float
from trueband.reference.config import GenerationConfig, LEDConfig, XLMRobertaConfig
from trueband.reference.decoding_beams import NextLogits, Step, beam_steps, found
from trueband.reference.decoding_logits import Rules, next_scores, softmax
from trueband.reference.embeddings import Ids


class Generated(NamedTuple):
    """Attributes:
    sequences: (b * num_return_sequences, longest) int64, the prompt included, filled with padding.
    sequences_scores: (b * num_return_sequences,) of beams, best first in each row of the batch; None otherwise.
    searches: of beams, the steps of each row of the batch, where they are told.
    """

    sequences: Ids
    sequences_scores: Float | None
    searches: tuple[list[Step], ...] = ()


def rules_for(options: GenerationConfig, config: LEDConfig | XLMRobertaConfig, prompt: int) -> Rules:
    """The options with what they leave to the model's configuration and to the prompt's length.

    Raises:
        ValueError: a prompt that is as long as max_length; tokens that are not in the vocabulary.
    """
    options.check_tokens(config.vocab_size)
    max_length, min_length = options.lengths(prompt)
    if max_length <= prompt:
        raise ValueError(f"max_length: expected more than the {prompt} tokens of the prompt, got {max_length}")
    eos = config.eos_token_id if options.eos_token_id is None else options.eos_token_id
    pad = config.pad_token_id if options.pad_token_id is None else options.pad_token_id
    return Rules(options, prompt, max_length, min_length, (eos,) if isinstance(eos, int) else eos, pad)


def decode(
    row_logits: Sequence[NextLogits], prompts: Ids, rules: Rules, uniforms: NDArray[Any] | None = None
) -> Generated:
    """Sequences for each row of the batch.

    Args:
        row_logits: for each row, a function from all its tokens so far to the logits (V,) of the next one.
        prompts: (b, t).
        uniforms: for sampling, (b * num_return_sequences, new tokens at most) numbers from 0 to 1, 1 excluded.
    """
    options = rules.options
    uniforms = check_uniforms(uniforms, len(prompts), rules)
    rows: list[Sequence[int]] = []
    scores: list[float] = []
    searches: list[list[Step]] = []
    for i, (next_logits, prompt) in enumerate(zip(row_logits, prompts.tolist(), strict=True)):
        if options.num_beams == 1:
            for draw in range(options.num_return_sequences):
                row = None if uniforms is None else uniforms[i * options.num_return_sequences + draw]
                rows.append(one_sequence(next_logits, prompt, rules, row))
            continue
        searches.append(beam_steps(next_logits, prompt, rules))
        beams = found(searches[-1], rules)[: options.num_return_sequences]
        missing = options.num_return_sequences - len(beams)
        rows += [beam.ids for beam in beams] + [tuple(prompt)] * missing
        scores += [beam.score for beam in beams] + [-np.inf] * missing
    longest = max(len(row) for row in rows)
    sequences = np.array([[*row, *[rules.pad] * (longest - len(row))] for row in rows], dtype=np.int64)
    return Generated(sequences, np.array(scores) if scores else None, tuple(searches))


def one_sequence(next_logits: NextLogits, prompt: Sequence[int], rules: Rules, uniforms: Float | None) -> list[int]:
    """Greedy without uniforms: the token of the highest score. Otherwise sampled, one uniform number for each step."""
    ids = list(prompt)
    while len(ids) < rules.max_length and (len(ids) == rules.prompt or ids[-1] not in rules.eos):
        scores = next_scores(next_logits(ids), ids, rules)
        ids.append(int(np.argmax(scores)) if uniforms is None else sample(scores, uniforms[len(ids) - rules.prompt]))
    return ids


def sample(scores: Float, uniform: float) -> int:
    """The first token, in the order of the vocabulary, at which the summed probabilities exceed the uniform number.

    >>> [sample(np.log([0.25, 0.5, 0.25]), u) for u in (0.0, 0.24, 0.26, 0.74, 0.76)]
    [0, 0, 1, 1, 2]
    """
    summed = np.cumsum(softmax(scores))
    return int(np.searchsorted(summed, uniform * summed[-1], side="right"))


def check_uniforms(uniforms: Any, batch: int, rules: Rules) -> Float | None:
    if not rules.options.do_sample:
        if uniforms is not None:
            raise ValueError("uniforms: expected None without do_sample, got an array")
        return None
    if not isinstance(uniforms, np.ndarray) or not np.issubdtype(uniforms.dtype, np.floating):
        got = uniforms.dtype if isinstance(uniforms, np.ndarray) else type(uniforms).__name__
        raise TypeError(f"uniforms: expected a numpy array of a floating dtype with do_sample, got {got}")
    shape = (batch * rules.options.num_return_sequences, rules.max_length - rules.prompt)
    if uniforms.shape != shape:
        raise ValueError(f"uniforms: expected shape (sequences, new tokens) = {shape}, got {uniforms.shape}")
    outside = uniforms[~((uniforms >= 0) & (uniforms < 1))]
    if outside.size:
        raise ValueError(f"uniforms: expected numbers from 0 to 1, 1 excluded, got {outside[0]}")
    return uniforms.astype(np.float64)
