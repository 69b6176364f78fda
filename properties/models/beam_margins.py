"""The margin of a beam search: the least error of a log-probability that could have changed one of its decisions.

A search compares scores to decide which continuations and which finished beams are kept, in which order, and whether it
is over. With an error of at most e in each log-probability a beam of t tokens is off by
t e, a finished one by t e / t ** length_penalty; two scores whose difference is larger than the errors of both are sure
to be in the same order. Of a sorted list it is enough to compare neighbors: of two that are farther apart the gap is
the sum of the gaps between, and their errors are no more than the sum of theirs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from trueband.properties.models.beam_scores import PRECISION, log_probabilities
from trueband.properties.models.case import ModelCase
from trueband.properties.models.model import Arrays
from trueband.reference.decoding_beams import Beam, Step, kept_candidates, length_thought
from trueband.reference.decoding_logits import Rules


def is_clear(case: ModelCase, inputs: Arrays, steps: list[Step], rules: Rules) -> bool:
    """Return whether every correct implementation in float64 makes the same decisions for one row of the batch.

    Args:
        inputs: the inputs of that row alone.
    """
    return least_margin(steps, rules) > largest_error(case, inputs, steps, rules)


def least_margin(steps: list[Step], rules: Rules) -> float:
    """Return the largest error of a log-probability that changes no decision; inf where nothing was to decide."""
    margins: list[float] = []
    for step in steps:
        candidates = step.candidates[: kept_candidates(rules) + 1]
        margins += _between([(beam.score, float(_new(beam, rules))) for beam in candidates])
        finished = [(beam.score, _new(beam, rules) ** (1 - rules.options.length_penalty)) for beam in step.finished]
        margins += _between(finished)
        margins += _before_the_end(step, rules)
    return min(margins, default=np.inf)


def largest_error(case: ModelCase, inputs: Arrays, steps: list[Step], rules: Rules) -> float:
    """Return the largest error of the log-probabilities that a search for one row compared, with its rules applied."""
    before = sorted({beam.ids for step in steps for beam in step.running})
    leaves = [
        ids for ids, after in itertools.zip_longest(before, before[1:]) if after is None or after[: len(ids)] != ids
    ]
    longest = max(map(len, leaves))
    padded = np.array([[*ids, *[0] * (longest - len(ids))] for ids in leaves])
    steps_of = log_probabilities(case, inputs, padded, rules.prompt)
    present = np.arange(longest) < np.array([[len(ids)] for ids in leaves])
    present[:, : rules.prompt - 1] = False
    penalty = rules.options.repetition_penalty
    grown = max(penalty, 1 / penalty)
    # Sums of scores, the power within a unit in the last place, and quotients.
    rounding = 8 * PRECISION.accumulator * np.abs(steps_of.value[present]).max() * grown
    return float(steps_of.error[present].max() * grown + rounding)


def _new(beam: Beam, rules: Rules) -> int:
    return len(beam.ids) - rules.prompt


def _between(scored: list[tuple[float, float]]) -> Iterator[float]:
    """Return the least margin between neighbors of a sorted list of (score, effect of an error of 1 on it)."""
    for (above, more), (below, less) in itertools.pairwise(scored):
        yield (above - below) / (more + less)


def _before_the_end(step: Step, rules: Rules) -> Iterator[float]:
    """Return the margin of the decision whether the search is over after a step."""
    options, finished = rules.options, step.finished[: rules.options.num_beams]
    if not step.continued or len(finished) < options.num_beams or options.early_stopping is True:
        return
    best, worst = step.continued[0], finished[-1]
    divisor = length_thought(step.continued, rules) ** options.length_penalty
    errors = _new(best, rules) / divisor + _new(worst, rules) ** (1 - options.length_penalty)
    yield abs(best.score / divisor - worst.score) / errors
