"""Published texts are compared letter by letter: the choice of every letter is clear of what a float32 run may err by.

A letter is the largest of some logits. A right run can differ from the reference in one only where the two largest are
closer than the errors of both of them, 8 sigma each: here no choice is that close.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trueband.golden.at_hand import weights
from trueband.golden.recordings.peer import pruned
from trueband.golden.registry import Context
from trueband.golden.runners.sapiens import global_flags, inputs_of
from trueband.golden.seq2seq_witness import greedy, reference_seq2seq
from trueband.golden.store import open_store
from trueband.golden.weights.bart_g2p import END, MAX_LENGTH, encode_word
from trueband.golden.weights.fairseq import Checkpoint
from trueband.golden.weights.sapiens import FIRST_RESIDUE, MASK, encode, load_sapiens
from trueband.golden.witness import REFERENCE, reference_masked_lm
from trueband.properties.models.beam_margins import least_margin
from trueband.properties.models.from_start import logits_bound
from trueband.properties.models.model import Model
from trueband.properties.models.witness import ReferenceModels
from trueband.reference.config import GenerationConfig, LEDConfig
from trueband.reference.decoding import rules_for

STORE = open_store()
CLOSEST = 2  # copies whose bound is computed


def margins(checkpoint: Checkpoint, ids: Any, mask: Any) -> tuple[Any, Any]:
    """(b, n): by how much the best residue beats the second in the reference, and the errors of both in float32."""
    config, state = checkpoint
    case: Any = SimpleNamespace(
        architecture="xlm-roberta",
        config=config,
        prefix="roberta.",
        layers=config["num_hidden_layers"],
        dtype="float32",
        state=state,
    )
    logits = np.sort(reference_masked_lm("roberta", config, state, ids, mask)["logits"][..., FIRST_RESIDUE:MASK], -1)
    bound = logits_bound(case, {"input_ids": ids, "attention_mask": mask}).total[..., FIRST_RESIDUE:MASK]
    return logits[..., -1] - logits[..., -2], 2 * bound.max(axis=-1)


@pytest.mark.parametrize("name", [name for name in STORE if STORE.golden(name).metadata.run == "sapiens_infill"])
def test_every_letter_of_a_published_infill_is_clear(name: str) -> None:
    given = inputs_of(STORE.golden(name).metadata.inputs)
    margin, errors = margins(load_sapiens(), given.input_ids, given.attention_mask)
    assert (margin / errors)[0, given.residues].min() > 1


def test_every_residue_of_the_published_accuracy_is_clear() -> None:
    (name,) = [name for name in STORE if STORE.golden(name).metadata.run == "sapiens_accuracy"]
    checkpoint, ids = load_sapiens(), encode(STORE.golden(name).metadata.inputs["residues"])
    places = np.arange(1, ids.shape[1] - 1)
    least = []
    for place in places:
        copy = ids.copy()
        copy[0, place] = MASK
        logits = reference_masked_lm("roberta", *checkpoint, copy)["logits"][0, place, FIRST_RESIDUE:MASK]
        second, best = np.sort(logits)[-2:]
        least.append(best - second)
    for index in np.argsort(least)[:CLOSEST]:
        copy = ids.copy()
        copy[0, places[index]] = MASK
        margin, errors = margins(checkpoint, copy, np.ones_like(copy))
        assert (margin / errors)[0, places[index]] > 1


@pytest.mark.parametrize("name", [name for name in STORE if STORE.golden(name).metadata.run == "bart_words"])
def test_every_phoneme_of_a_published_word_is_clear(name: str) -> None:
    golden = STORE.golden(name)
    config, state = checkpoint = weights(golden, Context("reference", REFERENCE))
    case: Any = SimpleNamespace(
        architecture="led",
        config=config,
        prefix="led.",
        layers=config["encoder_layers"],
        heads=config["encoder_attention_heads"],
        dtype="float32",
        state=state,
    )
    for word in golden.metadata.inputs["words"]:
        ids = encode_word(word)
        flags = global_flags(ids, golden.metadata.inputs["global_tokens"])
        written = greedy(reference_seq2seq, checkpoint, ids, flags, MAX_LENGTH)
        assert written[-1] == END
        before = np.array([written[:-1]])
        logits = np.sort(reference_seq2seq(config, state, ids, None, flags, before)["logits"], axis=-1)[0]
        inputs = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "global_attention_mask": flags,
            "decoder_input_ids": before,
        }
        errors = 2 * logits_bound(case, inputs).total[0].max(axis=-1)
        assert ((logits[:, -1] - logits[:, -2]) / errors).min() > 1, word


def test_the_search_of_the_recorded_beams_is_clear() -> None:
    (name,) = [name for name in STORE if "generation" in STORE.golden(name).metadata.details]
    golden = STORE.golden(name)
    config, state = pruned(golden)
    given = {key: array for key, array in golden.inputs.items() if not key.startswith(("decoder_", "labels"))}
    options = golden.metadata.details["generation"]
    found = ReferenceModels().generate(Model("led", config, state, "float32"), given, options, 0)
    rules = rules_for(GenerationConfig(**options), LEDConfig.from_dict(config), 1)
    case: Any = SimpleNamespace(
        architecture="led",
        config=config,
        prefix="led.",
        layers=config["encoder_layers"],
        heads=config["encoder_attention_heads"],
        dtype="float32",
        state=state,
    )
    # A log-probability is off by no more than twice what the logits are; each run is held against the reference.
    errors = 2 * logits_bound(case, {**given, "decoder_input_ids": found.sequences[:, :-1]}).total.max()
    assert min(least_margin(steps, rules) for steps in found.searches) > errors
