"""A model under test as a plain object, and the reference as one. A `Model` has the architecture, configuration,
weights, dtype and head.

    forward(model, inputs) -> {"hidden_states": [...], "logits": ... or "start_logits" and "end_logits", "loss": ...},
        for led also "encoder_hidden_states"; hidden_states after the embeddings and after each layer (of the decoder
        for led); loss: NaN without labels
    base(model, inputs) -> the model without a head (keys without its prefix): "hidden_states", for led also
        "encoder_hidden_states", and "pooler_output" (b, D), None unless the state has one
    steps(model, inputs, rows, following) -> as `forward` on `read_in_steps`, without attentions: a decoder reads what
        stands in inputs, keeps a cache, takes the rows (r,) of the batch from it, and reads the ids of `following`,
        arrays (r, t), in one step each
    encode(model, inputs) -> hidden states [...] of the encoder of led, in a dtype that may be float16
    prune(model, heads) -> configuration and weights of xlm-roberta's language model after its `prune_heads`
    generate(model, inputs, options, seed) -> Generated: (b * num_return_sequences, longest) ids and the scores of
        beams, in float64; seed: of the draws, with do_sample
    save(model, directory) writes a model: config.json and model.safetensors
    load(architecture, head, inputs, directory) -> what a model read from there gives, as of `forward`, and its "state",
        arrays under the Hub's keys
    edited(model, words, inputs) -> as of `forward`, after the word embeddings of the input have been overwritten in
        place
    resized(model, size, inputs) -> "words" (size, D), "bias" (1, size), and as of `forward`, of led with a vocabulary
        of another size
    train(model, batches, regime) -> a training step: see `training`
    course(model, steps) -> several calls of one model, its weights overwritten in between: see `course`

inputs: as `ModelCase.inputs`, and labels, inputs_embeds, head masks, encoder_outputs (b, n, D) in place of the ids of
led's encoder, decoder_attention_mask of the prompt of its decoder, or output_attentions, which asks for "attentions"
and "global_attentions" of the encoder; options: fields of a generation configuration. A candidate whose features have
"nan_local" keeps NaN in a real token, too, from rows that do not attend it; with "deterministic" the same call of the
same model gives the same bits; those of `training.TRAINING` say what its training steps can do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from trueband.properties.models.course import ReferenceCourse, Step
from trueband.properties.models.half import half_encoder
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.reference_checkpoints import ReferenceCheckpoints
from trueband.properties.models.training import TRAINING, Batches, ReferenceTraining, Regime, Trained
from trueband.reference.classes import FUNCTIONS
from trueband.reference.config import GenerationConfig
from trueband.reference.decoding import Generated
from trueband.reference.decoding_models import led_generate, roberta_generate
from trueband.reference.outputs import EncoderOutput
from trueband.reference.pruning import prune_heads


class ModelCandidate(Protocol):
    """The methods of a candidate; see the module's docstring."""

    @property
    def features(self) -> frozenset[str]: ...

    def forward(self, model: Model, inputs: Arrays) -> Any: ...

    def base(self, model: Model, inputs: Arrays) -> Any: ...

    def steps(self, model: Model, inputs: Arrays, rows: np.ndarray, following: list[np.ndarray]) -> Any: ...

    def encode(self, model: Model, inputs: Arrays) -> list[np.ndarray]: ...

    def prune(self, model: Model, heads: dict[int, list[int]]) -> tuple[dict[str, Any], Arrays]: ...

    def generate(self, model: Model, inputs: Arrays, options: dict[str, Any], seed: int) -> Generated: ...

    def save(self, model: Model, directory: Path) -> None: ...

    def load(self, architecture: str, head: str, inputs: Arrays, directory: Path) -> Any: ...

    def edited(self, model: Model, words: np.ndarray, inputs: Arrays) -> Any: ...

    def resized(self, model: Model, size: int, inputs: Arrays) -> Any: ...

    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained: ...

    def course(self, model: Model, steps: Sequence[Step]) -> list[Trained]: ...


@dataclass(frozen=True)
class ReferenceModels(ReferenceCheckpoints, ReferenceTraining, ReferenceCourse):
    """The reference as a candidate. It computes in float64 whatever the dtype."""

    features: frozenset[str] = frozenset({"nan_local", "deterministic", *TRAINING})

    def forward(self, model: Model, inputs: Arrays) -> Any:
        arguments = with_states(inputs) | {"output_attentions": bool(inputs.get("output_attentions", False))}
        output = FUNCTIONS[model.class_name](model.state, model.settings, **arguments)
        side = "encoder_" if model.architecture == "led" else ""
        return {
            **taps(output),
            **{name: getattr(output, name) for name in logits_of(model.head)},
            "loss": np.nan if output.loss is None else output.loss,
            "attentions": list(getattr(output, f"{side}attentions") or ()),
            "global_attentions": list(getattr(output, f"{side}global_attentions") or ()),
        }

    def base(self, model: Model, inputs: Arrays) -> Any:
        arguments: dict[str, Any] = dict(inputs)
        if model.family.pooler:
            arguments["add_pooling_layer"] = "pooler.dense.weight" in model.state
        output = FUNCTIONS[model.family.base_class](model.state, model.settings, **arguments)
        return {**taps(output), "pooler_output": getattr(output, "pooler_output", None)}

    def steps(self, model: Model, inputs: Arrays, rows: np.ndarray, following: list[np.ndarray]) -> Any:
        return self.forward(model, read_in_steps(model.architecture, inputs, rows, following))

    def encode(self, model: Model, inputs: Arrays) -> list[np.ndarray]:
        return half_encoder(model.state, model.settings, inputs, model.dtype)

    def prune(self, model: Model, heads: dict[int, list[int]]) -> tuple[dict[str, Any], Arrays]:
        pruned, after = prune_heads(model.state, model.settings, heads, "roberta.")
        return after.to_dict(), pruned

    def generate(self, model: Model, inputs: Arrays, options: dict[str, Any], seed: int) -> Generated:
        arguments, how = with_states(inputs), GenerationConfig(**options)
        if how.do_sample:
            arguments["uniforms"] = draws(how, inputs, seed)
        run: Any = led_generate if model.architecture == "led" else roberta_generate
        return run(model.state, model.settings, arguments.pop("input_ids", None), how, **arguments)


def logits_of(head: str) -> tuple[str, ...]:
    """Return the names of a head's logits."""
    return ("start_logits", "end_logits") if head == "qa" else ("logits",)


def with_states(inputs: Arrays) -> dict[str, Any]:
    """Return the inputs, with encoder states (b, n, D) in the form that the reference takes."""
    arguments: dict[str, Any] = dict(inputs)
    if "encoder_outputs" in inputs:
        arguments["encoder_outputs"] = EncoderOutput(inputs["encoder_outputs"], hidden_states=())
    return arguments


def draws(how: GenerationConfig, inputs: Arrays, seed: int) -> np.ndarray:
    """Draw uniform numbers for sampling without a prompt in the decoder, (sequences, new tokens at most)."""
    ids = inputs["input_ids"]
    prompt = 1 if "global_attention_mask" in inputs else ids.shape[1]
    shape = (len(ids) * how.num_return_sequences, how.lengths(prompt)[0] - prompt)
    return np.random.default_rng(seed).random(shape)


def taps(output: Any) -> dict[str, Any]:
    """Return hidden_states, and encoder_hidden_states where the encoder is a stack of its own."""
    if not hasattr(output, "decoder_hidden_states"):
        return {"hidden_states": list(output.hidden_states)}
    states = (output.decoder_hidden_states, output.encoder_hidden_states)
    return dict(zip(("hidden_states", "encoder_hidden_states"), map(list, states), strict=True))


def read_in_steps(architecture: str, inputs: Arrays, rows: np.ndarray, following: list[np.ndarray]) -> Arrays:
    """Return the inputs of all tokens at once: some rows (r,) of the batch, then the tokens after them, none masked.

    Args:
        inputs: arrays whose first axis is the batch.
        following: arrays of ids (r, t).
    """
    prefix = "decoder_" if architecture == "led" else ""
    ids, mask = f"{prefix}input_ids", f"{prefix}attention_mask"
    whole = {name: array[rows] for name, array in inputs.items()}
    new = np.concatenate(following, axis=1)
    real = whole.get(mask, np.ones_like(whole[ids]))
    whole[mask] = np.concatenate([real, np.ones_like(new)], axis=1)
    whole[ids] = np.concatenate([whole[ids], new], axis=1)
    return whole
