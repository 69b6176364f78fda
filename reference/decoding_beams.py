"""Beam search for one row of the batch. Rows never meet, so every row is searched alone.

At each step the `keep` best continuations of all running beams are looked at, keep = num_beams * (1 + end tokens),
at least 2 * num_beams. Those that end (an end token, or max_length) finish if they are among the best num_beams, with
the score log-probability / (new tokens ** length_penalty); the best num_beams of the others run on. The best num_beams
finished ones are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from trueband.reference.arguments import Float
from trueband.reference.decoding_logits import Rules, log_softmax, next_scores

NextLogits = Callable[[Sequence[int]], Float]


class Beam(NamedTuple):
    """Attributes:
    score: log-probability of a running beam, with the length penalty of a finished one.
    ids: all tokens, the prompt included.
    """

    score: float
    ids: tuple[int, ...]


class Step(NamedTuple):
    """What a step of the search looked at.

    Attributes:
        running: beams that were continued, best first.
        candidates: all of their continuations, best first, those included that are not kept.
        finished: all that had finished by then, best first, those included that are dropped.
        continued: beams that run on, best first.
    """

    running: list[Beam]
    candidates: list[Beam]
    finished: list[Beam]
    continued: list[Beam]


def beam_search(next_logits: NextLogits, prompt: Sequence[int], rules: Rules) -> list[Beam]:
    """The best finished beams, best first: `num_beams` of them, or fewer where nothing more can be continued.

    Args:
        next_logits: from all tokens so far to the logits (V,) of the next one.
        prompt: the tokens to start from.
    """
    return found(beam_steps(next_logits, prompt, rules), rules)


def found(steps: list[Step], rules: Rules) -> list[Beam]:
    """What the last step had finished, as many as are asked for."""
    return steps[-1].finished[: rules.options.num_beams]


def beam_steps(next_logits: NextLogits, prompt: Sequence[int], rules: Rules) -> list[Step]:
    """The steps of a `beam_search`."""
    width = rules.options.num_beams
    running, finished, steps = [Beam(0.0, tuple(prompt))], list[Beam](), list[Step]()
    while running and not search_is_over(running, finished, rules):
        candidates = best([each for beam in running for each in continuations(next_logits, beam, rules)])
        kept = candidates[: kept_candidates(rules)]
        ended = [has_ended(each, rules) for each in kept]
        ends = [with_length_penalty(kept[i], rules) for i in range(min(width, len(ended))) if ended[i]]
        finished = best(finished + ends)
        continued = [each for each, end in zip(kept, ended, strict=True) if not end][:width]
        steps.append(Step(running, candidates, finished, continued))
        running, finished = continued, finished[:width]
    return steps


def kept_candidates(rules: Rules) -> int:
    """As many of the best as can end and leave `num_beams` to run on."""
    return rules.options.num_beams * max(2, 1 + len(rules.eos))


def continuations(next_logits: NextLogits, beam: Beam, rules: Rules) -> list[Beam]:
    """A beam with every possible next token."""
    scores = next_scores(log_softmax(next_logits(beam.ids)), beam.ids, rules)
    return [
        Beam(beam.score + float(score), (*beam.ids, token)) for token, score in enumerate(scores) if score > -math.inf
    ]


def best(beams: list[Beam]) -> list[Beam]:
    """The highest scores first; of equal ones the earlier."""
    return sorted(beams, key=lambda beam: -beam.score)


def has_ended(beam: Beam, rules: Rules) -> bool:
    return beam.ids[-1] in rules.eos or len(beam.ids) >= rules.max_length


def with_length_penalty(beam: Beam, rules: Rules) -> Beam:
    return beam._replace(score=beam.score / (len(beam.ids) - rules.prompt) ** rules.options.length_penalty)


def search_is_over(running: list[Beam], finished: list[Beam], rules: Rules) -> bool:
    """Whether `num_beams` have finished and, unless that is enough, no running beam is thought to beat the worst."""
    options = rules.options
    if len(finished) < options.num_beams:
        return False
    if options.early_stopping is True:
        return True
    return running[0].score / length_thought(running, rules) ** options.length_penalty <= finished[-1].score


def length_thought(running: list[Beam], rules: Rules) -> int:
    """New tokens that a running beam is thought to finish with."""
    if rules.options.early_stopping == "never" and rules.options.length_penalty > 0:
        return rules.max_length - rules.prompt  # a longer beam can still gain
    return len(running[0].ids) - rules.prompt
