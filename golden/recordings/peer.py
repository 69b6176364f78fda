"""Runner of outputs that another library gave on small random weights, which are stored beside them.

    peer(model_class, config, state, inputs, generation) -> {name: array}, float64

is the form of a witness: outputs by the names of the Hub, those of layer i under "hidden_states.i" and the like; with
`generation`, fields of a generation configuration, only "sequences". Hidden states, attentions, logits and losses are
judged by 8 standard deviations of the difference of two runs, the peer's and the witness's own; generated ids exactly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.recordings.peer_moments import judged_outputs
from trueband.golden.records import Outcome
from trueband.golden.registry import Context, runner
from trueband.golden.store import Golden
from trueband.properties.results.verdict import judge_exact
from trueband.reference.classes import FUNCTIONS
from trueband.reference.config import GenerationConfig, family_of_class
from trueband.reference.decoding_models import led_generate

Arrays = dict[str, NDArray[Any]]


def config_of(model_class: str, config: Mapping[str, Any]) -> Any:
    """The configuration of a class of the Hub."""
    return family_of_class(model_class).config.from_dict(config)


def reference_outputs(
    model_class: str, config: dict[str, Any], state: Arrays, inputs: Arrays, generation: dict[str, Any] | None = None
) -> Arrays:
    """The reference."""
    settings = config_of(model_class, config)
    given: dict[str, Any] = dict(inputs)
    ids = given.pop("input_ids")
    if generation is not None:
        found = led_generate(state, settings, ids, GenerationConfig(**generation), **given)
        return {"sequences": found.sequences}
    return flat(FUNCTIONS[model_class](state, settings, ids, output_attentions=True, **given)._asdict())


def flat(output: Mapping[str, Any]) -> Arrays:
    """Arrays of an output, those of tuples by number."""
    found: Arrays = {}
    for name, value in output.items():
        if isinstance(value, tuple):
            found |= {f"{name}.{i}": np.asarray(each, dtype=np.float64) for i, each in enumerate(value)}
        elif value is not None:
            found[name] = np.asarray(value, dtype=np.float64)
    return found


def part_of(golden: Golden, part: str) -> Arrays:
    """Arrays under "state.", "output." and so on, without it."""
    start = f"{part}."
    return {name.removeprefix(start): array for name, array in golden.arrays.items() if name.startswith(start)}


def pruned(golden: Golden) -> tuple[dict[str, Any], Arrays]:
    """Configuration and weights that the outputs were computed from: after pruning, where heads were pruned."""
    config, heads = golden.metadata.details["config"], golden.metadata.details.get("heads")
    if heads is None:
        return dict(config), part_of(golden, "state")
    return config | {"pruned_heads": {int(layer): each for layer, each in heads.items()}}, part_of(
        golden, "pruned_state"
    )


@runner("peer", form="peer")
def run_peer(golden: Golden, context: Context) -> Outcome:
    """Every output that can be judged; told by the one that is closest to its bound, or the first that is beyond.

    Bounded by 8 sigma of both runs; recorded beams exactly, whose search is clear (tests/golden/test_margins.py).
    """
    told, witness = golden.metadata, context.witness("peer")
    config, state = pruned(golden)
    recorded, inputs = part_of(golden, "output"), golden.inputs
    verdicts = []
    generation = told.details.get("generation")
    if generation is not None:
        source = {name: array for name, array in inputs.items() if not name.startswith(("decoder_", "labels"))}
        given = witness(told.model_class, config, state, source, generation)["sequences"]
        expected = recorded["sequences"]
        if given.shape != expected.shape:
            return Outcome(False, f"sequences: expected shape {expected.shape}, got {given.shape}")
        verdict = judge_exact(given, expected, "sequences")
        if not verdict.passed:
            return Outcome.of(verdict)
        verdicts.append(verdict)
    given = witness(told.model_class, config, state, inputs)
    assert told.model_class is not None
    settings = config_of(told.model_class, config)
    for verdict in judged_outputs(told.model_class, settings, state, inputs, given, recorded):
        if not verdict.passed:
            return Outcome.of(verdict)
        verdicts.append(verdict)
    return _counted(Outcome.worst(verdicts), len(verdicts))


def _counted(outcome: Outcome, count: int) -> Outcome:
    return dataclasses.replace(outcome, detail=f"{count} outputs, the worst: {outcome.detail}")
