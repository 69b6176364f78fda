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
    arguments: dict[str, Any] = dict(inputs)
    ids = arguments.pop("input_ids")
    if generation is not None:
        generated = led_generate(state, settings, ids, GenerationConfig(**generation), **arguments)
        return {"sequences": generated.sequences}
    return flat(FUNCTIONS[model_class](state, settings, ids, output_attentions=True, **arguments)._asdict())


def flat(output: Mapping[str, Any]) -> Arrays:
    """Arrays of an output, those of tuples by number."""
    arrays: Arrays = {}
    for name, value in output.items():
        if isinstance(value, tuple):
            arrays |= {f"{name}.{i}": np.asarray(part, dtype=np.float64) for i, part in enumerate(value)}
        elif value is not None:
            arrays[name] = np.asarray(value, dtype=np.float64)
    return arrays


def part_of(golden: Golden, part: str) -> Arrays:
    """Arrays under "state.", "output." and so on, without it."""
    start = f"{part}."
    return {name.removeprefix(start): array for name, array in golden.arrays.items() if name.startswith(start)}


def pruned(golden: Golden) -> tuple[dict[str, Any], Arrays]:
    """Configuration and weights that the outputs were computed from: after pruning, where heads were pruned."""
    config, heads = golden.metadata.details["config"], golden.metadata.details.get("heads")
    if heads is None:
        return dict(config), part_of(golden, "state")
    return config | {"pruned_heads": {int(layer): numbers for layer, numbers in heads.items()}}, part_of(
        golden, "pruned_state"
    )


@runner("peer", form="peer")
def run_peer(golden: Golden, context: Context) -> Outcome:
    """Judge every output that can be judged. The outcome describes the one closest to its bound, or the first beyond.

    Bounded by 8 sigma of both runs; recorded beams exactly, whose search is clear (tests/golden/test_margins.py).
    """
    metadata, witness = golden.metadata, context.witness("peer")
    config, state = pruned(golden)
    recorded, inputs = part_of(golden, "output"), golden.inputs
    verdicts = []
    generation = metadata.details.get("generation")
    if generation is not None:
        source = {name: array for name, array in inputs.items() if not name.startswith(("decoder_", "labels"))}
        outputs = witness(metadata.model_class, config, state, source, generation)["sequences"]
        expected = recorded["sequences"]
        if outputs.shape != expected.shape:
            return Outcome(False, f"sequences: expected shape {expected.shape}, got {outputs.shape}")
        verdict = judge_exact(outputs, expected, "sequences")
        if not verdict.passed:
            return Outcome.of(verdict)
        verdicts.append(verdict)
    outputs = witness(metadata.model_class, config, state, inputs)
    assert metadata.model_class is not None
    settings = config_of(metadata.model_class, config)
    for verdict in judged_outputs(metadata.model_class, settings, state, inputs, outputs, recorded):
        if not verdict.passed:
            return Outcome.of(verdict)
        verdicts.append(verdict)
    return _counted(Outcome.worst(verdicts), len(verdicts))


def _counted(outcome: Outcome, count: int) -> Outcome:
    return dataclasses.replace(outcome, detail=f"{count} outputs, the worst: {outcome.detail}")
