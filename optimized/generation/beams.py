"""Beam search, all rows of the batch at a time; a row that is done no longer changes.

Each step looks at the `keep` best continuations of a row's running beams, keep = num_beams * (1 + end tokens), at
least 2 * num_beams. Those that end, with an end token or at max_length, finish if they are among the best num_beams,
with the score log-probability / (new tokens ** length_penalty); the best num_beams of the others run on. The best
num_beams finished ones are kept.
Shapes: b batch, k beams, t tokens so far, V vocabulary. A score of -inf marks an empty place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from trueband.optimized.generation.logits import NEVER, adjusted
from trueband.optimized.generation.rules import GenerateOutput, Rules
from trueband.optimized.generation.stepping import Stepper


@dataclass
class Beams:
    """Attributes:
    ids: (b, k, t) of running beams, (b, k, max_length) of finished ones, filled with padding.
    scores: (b, k), falling.
    """

    ids: Tensor
    scores: Tensor

    def best(self, count: int) -> tuple[Beams, Tensor]:
        """The `count` best of each row, and which they were, (b, count)."""
        scores, place = self.scores.topk(count, dim=1)
        return Beams(picked(self.ids, place), scores), place


def picked(ids: Tensor, place: Tensor) -> Tensor:
    """(b, k, t), (b, c) -> (b, c, t)."""
    return ids.gather(1, place[:, :, None].expand(-1, -1, ids.shape[2]))


def decode_in_beams(stepper: Stepper, prompts: Tensor, rules: Rules) -> GenerateOutput:
    """Prompts (b * k, t), k equal ones for each row of the batch. The best num_return_sequences, best first."""
    width = rules.options.num_beams
    ids = prompts.unflatten(0, (-1, width))
    batch, first = ids.shape[0], torch.arange(ids.shape[0], device=ids.device)[:, None] * width
    scores = stepper_scores(batch, width, ids.device)
    running = Beams(ids, scores)
    finished = Beams(padded(ids, rules), torch.full_like(scores, NEVER))
    done = torch.zeros(batch, dtype=torch.bool, device=ids.device)
    while not bool(done.all()):
        logits = stepper.next_scores(running.ids.flatten(0, 1))
        candidates, parents = continuations(running, logits, rules)
        ended = torch.isin(candidates.ids[..., -1], torch.tensor(rules.eos, device=ids.device))
        if candidates.ids.shape[2] == rules.max_length:
            ended = torch.ones_like(ended)
        finished = with_those_that_end(finished, candidates, ended & ~done[:, None], rules)
        candidates.scores = candidates.scores.masked_fill(ended, NEVER)
        running, place = candidates.best(width)
        stepper.reorder((first + parents.gather(1, place)).flatten())
        done = done | search_is_over(running, finished, rules)
    best, _ = finished.best(rules.options.num_return_sequences)
    empty = best.scores[:, :, None] == NEVER
    best.ids = padded(ids[:, : best.ids.shape[1]], rules).where(empty, best.ids)
    return GenerateOutput(without_common_padding(best, rules), best.scores.flatten())


def stepper_scores(batch: int, width: int, device: torch.device) -> Tensor:
    """(b, k): all beams of a row are equal at first, so one of them runs."""
    scores = torch.full((batch, width), NEVER, dtype=torch.float64, device=device)
    scores[:, 0] = 0
    return scores


def continuations(running: Beams, logits: Tensor, rules: Rules) -> tuple[Beams, Tensor]:
    """The best continuations of each row and the beams (b, keep) that they continue. `logits`: (b * k, V)."""
    width, vocabulary = running.scores.shape[1], logits.shape[1]
    scores = adjusted(logits.log_softmax(dim=1), running.ids.flatten(0, 1), rules)
    total = running.scores[:, :, None] + scores.unflatten(0, (-1, width))
    keep = min(width * max(2, 1 + len(rules.eos)), width * vocabulary)
    best, place = total.flatten(1).topk(keep, dim=1)
    parents, tokens = place // vocabulary, place % vocabulary
    return Beams(torch.cat([picked(running.ids, parents), tokens[:, :, None]], dim=2), best), parents


def with_those_that_end(finished: Beams, candidates: Beams, ended: Tensor, rules: Rules) -> Beams:
    """The best finished beams, with the candidates that end now and are among the best num_beams."""
    width, length = rules.options.num_beams, candidates.ids.shape[2]
    ended = ended.clone()
    ended[:, width:] = False
    scores = candidates.scores / (length - rules.prompt) ** rules.options.length_penalty
    scores = scores.masked_fill(~ended, NEVER)
    everything = Beams(
        torch.cat([finished.ids, padded(candidates.ids, rules)], dim=1), torch.cat([finished.scores, scores], dim=1)
    )
    return everything.best(width)[0]


def search_is_over(running: Beams, finished: Beams, rules: Rules) -> Tensor:
    """(b,) bool: nothing runs any more; or num_beams have finished and, unless that is enough, none that runs is
    thought to beat the worst of them.
    """
    options = rules.options
    nothing_runs = running.scores[:, 0] == NEVER
    full = finished.scores[:, -1] > NEVER
    if options.early_stopping is True:
        return nothing_runs | full
    length = running.ids.shape[2] - rules.prompt
    if options.early_stopping == "never" and options.length_penalty > 0:
        length = rules.max_length - rules.prompt  # a longer beam can still gain
    hope = running.scores[:, 0] / math.pow(length, options.length_penalty)
    return nothing_runs | (full & (hope <= finished.scores[:, -1]))


def padded(ids: Tensor, rules: Rules) -> Tensor:
    """(b, k, t) -> (b, k, max_length)."""
    return torch.nn.functional.pad(ids, (0, rules.max_length - ids.shape[2]), value=rules.pad)


def without_common_padding(finished: Beams, rules: Rules) -> Tensor:
    """(b * k, longest): cut behind the longest sequence's end token, or at max_length; empty places are prompts."""
    new = finished.ids[:, :, rules.prompt :]
    is_end = torch.isin(new, torch.tensor(rules.eos, device=new.device))
    lengths = torch.where(is_end.any(dim=-1), is_end.int().argmax(dim=-1) + 1, new.shape[2])
    longest = int(lengths.masked_fill(finished.scores == NEVER, 0).max())
    return finished.ids[:, :, : rules.prompt + longest].flatten(0, 1)
