"""Greedy decoding and sampling: one sequence for each row. r rows, t tokens, V vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor

from trueband.optimized.generation.logits import adjusted, warped
from trueband.optimized.generation.rules import GenerateOutput, Rules
from trueband.optimized.generation.stepping import Stepper


def decode_singly(stepper: Stepper, prompts: Tensor, rules: Rules, generator: torch.Generator | None) -> GenerateOutput:
    """Prompts (r, t) are continued until every row has an end token, or to max_length."""
    ids = prompts
    eos = torch.tensor(rules.eos, device=ids.device)
    running = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
    while ids.shape[1] < rules.max_length and bool(running.any()):
        scores = adjusted(stepper.next_scores(ids), ids, rules)
        chosen = draw(warped(scores, rules), generator) if rules.options.do_sample else scores.argmax(dim=1)
        ids = torch.cat([ids, chosen.where(running, rules.pad)[:, None]], dim=1)
        running = running & ~torch.isin(chosen, eos)
    return GenerateOutput(ids)


def draw(scores: Tensor, generator: torch.Generator | None) -> Tensor:
    """(r, V) -> (r,): a token of each row's distribution."""
    return torch.multinomial(scores.softmax(dim=1), 1, generator=generator)[:, 0]
