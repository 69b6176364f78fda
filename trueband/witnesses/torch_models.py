"""Models of torch as a candidate of the model checks, NumPy in and out. torch is imported on the first call.

The form is `trueband.properties.models.witness.ModelCandidate`. How a model is made and read, and what differs between
the package's own models and anybody's, is for the classes below `TorchModels` to say.
"""

from __future__ import annotations

import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trueband.properties.models.course import Step
from trueband.properties.models.covered import ModelsCovered
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.training import Batches, Regime, Trained
from trueband.properties.models.witness import logits_of
from trueband.reference.decoding import Generated

_LAST: list[Any] = []  # what the last model was made of, its weights, and itself: most checks run one more than once


class TorchModels(ABC):
    """Models with the Hub's calls and answers, as modules of torch on the CPU: what is asked of all of them.

    Attributes:
        features: see `trueband.properties.models.witness`.
        covered: the sizes that were asked for.
    """

    features: frozenset[str]
    covered: ModelsCovered

    @abstractmethod
    def build(self, model: Model, name: str | None = None) -> Any:
        """A new module of a class, or of that of the model, with its weights, in evaluation mode."""

    @abstractmethod
    def stored(self, architecture: str, head: str, directory: Path) -> Any:
        """The model in a folder."""

    @abstractmethod
    def reordered(self, cache: Any, rows: Any) -> Any:
        """A cache with these rows (r,) of the batch, an int64 tensor."""

    @abstractmethod
    def save(self, model: Model, directory: Path) -> None:
        """Write the folder of a model."""

    @abstractmethod
    def generate(self, model: Model, inputs: Arrays, options: dict[str, Any], seed: int) -> Generated:
        """Ids, (b * num_return_sequences, longest), and scores of beams, from cached decoding."""

    def module(self, model: Model, name: str | None = None) -> Any:
        """Return the module of `build`. It is shared: do not change it."""
        name = name or model.class_name
        wanted = (self, name, json.dumps(model.config, sort_keys=True), model.dtype)
        if not _LAST or _LAST[0] != wanted or _LAST[1] is not model.state:
            _LAST[:] = wanted, model.state, self.build(model, name)
        return _LAST[2]

    def forward(self, model: Model, inputs: Arrays) -> Any:
        """Hidden states after the embeddings and each layer, logits and loss, and attentions."""
        return outputs_of(self.module(model), model.architecture, model.head, inputs)

    def base(self, model: Model, inputs: Arrays) -> Any:
        """The model without a head: hidden states, and the pooler's output where the state has a pooler."""
        import torch

        module = self.module(model, model.family.base_class)
        with torch.no_grad():
            output = module(**tensors(inputs, module), output_hidden_states=True)
        pooled = None if model.architecture == "led" else output.pooler_output
        return {
            **_taps(output, model.architecture),
            "pooler_output": None if pooled is None else pooled.numpy(),
        }

    def steps(self, model: Model, inputs: Arrays, rows: np.ndarray, following: list[np.ndarray]) -> Any:
        """Hidden states and logits of tokens that are read step by step, with a cache that is reordered once."""
        import torch

        architecture = model.architecture
        module, side = self.module(model), "decoder_" if architecture == "led" else ""
        arguments, order = tensors(inputs, module), torch.tensor(rows)
        options = {"use_cache": True, "output_hidden_states": True}
        with torch.no_grad():
            output = module(**arguments, **options)
            chosen = {name: tensor[order] for name, tensor in arguments.items()}
            real = chosen.pop(f"{side}attention_mask", torch.ones_like(chosen[f"{side}input_ids"]))
            del chosen[f"{side}input_ids"]
            if side:  # the encoder is not run again
                chosen = {"attention_mask": chosen["attention_mask"]}
                chosen["encoder_outputs"] = (output.encoder_last_hidden_state[order],)
            cache = self.reordered(output.past_key_values, order)
            outputs = []
            for new in following:
                tokens = torch.tensor(new)
                real = torch.cat([real, torch.ones_like(tokens)], dim=1)
                masked = {f"{side}input_ids": tokens, f"{side}attention_mask": real}
                outputs.append(module(**masked, **chosen, past_key_values=cache, **options))
                cache = outputs[-1].past_key_values
        first = {**_taps(output, architecture), "logits": output.logits.numpy()}
        last = [{**_taps(output, architecture), "logits": output.logits.numpy()} for output in outputs]
        result: dict[str, Any] = {
            "hidden_states": [
                np.concatenate([tap[rows], *later], axis=1)
                for tap, *later in zip(first["hidden_states"], *(taps["hidden_states"] for taps in last), strict=True)
            ],
            "logits": np.concatenate([first["logits"][rows], *(taps["logits"] for taps in last)], axis=1),
        }
        if side:
            result["encoder_hidden_states"] = [tap[rows] for tap in first["encoder_hidden_states"]]
        return result

    def encode(self, model: Model, inputs: Arrays) -> list[np.ndarray]:
        """Hidden states of LED's encoder alone, in any dtype."""
        import torch

        module = self.module(model)
        names = ("input_ids", "inputs_embeds", "attention_mask", "global_attention_mask")
        arrays = {name: array for name, array in inputs.items() if name in names}
        with torch.no_grad():
            output = module.led.encoder(**tensors(arrays, module), output_hidden_states=True)
        return _arrays(output.hidden_states)

    def prune(self, model: Model, heads: dict[int, list[int]]) -> tuple[dict[str, Any], Arrays]:
        """Configuration and weights after `prune_heads`."""
        module = self.build(model)
        module.roberta.prune_heads(heads)
        kept = {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}
        return module.roberta.config.to_dict(), {name: kept[name] for name in model.state}

    def load(self, architecture: str, head: str, inputs: Arrays, directory: Path) -> Any:
        """Compute the outputs of the model in a folder, and return its weights."""
        module = self.stored(architecture, head, directory)
        state = {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}
        return {**outputs_of(module, architecture, head, inputs), "state": state}

    def edited(self, model: Model, words: np.ndarray, inputs: Arrays) -> Any:
        """Compute the outputs after the words that the input reads have been overwritten in place."""
        import torch

        module = self.build(model)
        with torch.no_grad():
            module.get_parameter(model.family.word_embeddings).copy_(torch.tensor(words))
        return outputs_of(module, model.architecture, model.head, inputs)

    def resized(self, model: Model, size: int, inputs: Arrays) -> Any:
        """LED after a change of its vocabulary's size: its words, their bias, and what it gives."""
        import torch

        module = self.build(model)
        with torch.no_grad():
            words = module.resize_token_embeddings(size).weight.numpy()
        return {
            "words": words,
            "bias": module.final_logits_bias.numpy(),
            **outputs_of(module, "led", "lm", inputs),
        }

    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        """A training step. A module that is handed out again is as it was."""
        module = self.module(model)
        weights = {name: parameter for name in model.state if (parameter := _parameter(module, name)) is not None}
        for name, parameter in weights.items():
            parameter.requires_grad_(regime.trains(name) or not regime.backward)
        try:
            return _step(module, model, weights, batches, regime)
        finally:
            if regime.frozen or regime.checkpointing:
                _LAST.clear()
            module.eval().zero_grad()

    def course(self, model: Model, steps: Sequence[Step]) -> list[Trained]:
        """Calls of a module of its own, one after another."""
        module, taken = self.build(model), []
        weights = {name: parameter for name in model.state if (parameter := _parameter(module, name)) is not None}
        for step in steps:
            if step.state is not None:
                _written(module, weights, step)
            if step.clear:
                module.zero_grad(set_to_none=step.clear == "none")
            for name, parameter in weights.items():
                parameter.requires_grad_(step.regime.trains(name) or not step.regime.backward)
            trained = _step(module, model, weights, [(step.inputs, 1.0)], step.regime)
            kept = {name: None if array is None else array.copy() for name, array in trained.gradients.items()}
            taken.append(replace(trained, gradients=kept))
        return taken


def _written(module: Any, weights: dict[str, Any], step: Step) -> None:
    """Overwrite the weights in the way that a step says."""
    import torch

    assert step.state is not None
    state = {
        name: torch.tensor(array, dtype=weights[name].dtype) for name, array in step.state.items() if name in weights
    }
    if step.way == "load_state_dict":
        module.load_state_dict(state, strict=False)
        return
    for name, new in state.items():
        weight = weights[name]
        if step.way == "data":
            weight.data = new
        elif step.way == "data.copy_":
            weight.data.copy_(new)
        elif step.way == "optimizer":
            gradient, weight.grad = weight.grad, weight.detach() - new
            torch.optim.SGD([weight], lr=1.0).step()
            weight.grad = gradient
        else:
            with torch.no_grad():
                _ = weight.copy_(new) if step.way == "copy_" else weight.sub_(weight - new)


def _parameter(module: Any, name: str) -> Any:
    """Find a parameter by its name in the state dict. Returns None for a buffer."""
    try:
        return module.get_parameter(name)
    except AttributeError:
        return None


def _step(module: Any, model: Model, weights: dict[str, Any], batches: Batches, regime: Regime) -> Trained:
    import torch

    if regime.checkpointing:
        if not hasattr(module, "gradient_checkpointing_enable"):
            raise TypeError(
                f"gradient_checkpointing_enable: expected a method of {type(module).__name__}, got none; a ModelTarget "
                "says by its argument `training` what its models can do"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of transformers, about the name
            module.gradient_checkpointing_enable()
    module.train(regime.training)
    outputs, words = [], []
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the backward pass says of itself is no verdict
        torch.manual_seed(regime.seed)
        for inputs, factor in batches:
            arguments = tensors(inputs, module)
            embeds = arguments.get("inputs_embeds")
            if embeds is not None:
                embeds.requires_grad_()
            with torch.autocast("cpu", torch.bfloat16, enabled=regime.autocast):
                output = module(**arguments, output_hidden_states=True)
            if regime.backward:
                (output.loss * factor).backward()
            taken = {
                **_taps(output, model.architecture),
                **_logits(output, model.head),
                "loss": output.loss.item(),
            }
            outputs.append(taken)
            words.append(None if embeds is None else _array(embeds.grad))
    gradients = {name: parameter.grad for name, parameter in weights.items()}
    dtypes = {name: str(grad.dtype).removeprefix("torch.") for name, grad in gradients.items() if grad is not None}
    return Trained(outputs, {name: _array(grad) for name, grad in gradients.items()}, dtypes, words)


def outputs_of(module: Any, architecture: str, head: str, inputs: Arrays) -> dict[str, Any]:
    """Hidden states after the embeddings and each layer, logits and loss, and attentions where they are asked for."""
    import torch

    options = {"output_hidden_states": True, "output_attentions": bool(inputs.get("output_attentions", False))}
    with torch.no_grad():
        output = module(**tensors(inputs, module), **options)
    side = "encoder_" if architecture == "led" else ""
    result = {
        **_taps(output, architecture),
        **_logits(output, head),
        "loss": np.nan if output.loss is None else output.loss.item(),
        "attentions": _arrays(getattr(output, f"{side}attentions")),
    }
    if architecture != "xlm-roberta":
        result["global_attentions"] = _arrays(getattr(output, f"{side}global_attentions"))
    return result


def _logits(output: Any, head: str) -> dict[str, Any]:
    return {name: _array(getattr(output, name)) for name in logits_of(head)}


def _taps(output: Any, architecture: str) -> dict[str, Any]:
    if architecture != "led":
        return {"hidden_states": _arrays(output.hidden_states)}
    states = (output.decoder_hidden_states, output.encoder_hidden_states)
    return dict(zip(("hidden_states", "encoder_hidden_states"), map(_arrays, states), strict=True))


def tensors(inputs: Arrays, module: Any) -> dict[str, Any]:
    """Ids and masks as they are, other numbers in the dtype of the module."""
    import torch

    dtype = next(module.parameters()).dtype
    arrays = {name: torch.tensor(array) for name, array in inputs.items() if name != "output_attentions"}
    options: dict[str, Any] = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in arrays.items()
    }
    return options | ({"encoder_outputs": (options["encoder_outputs"],)} if "encoder_outputs" in options else {})


def _arrays(tensors: Any) -> list[np.ndarray]:
    return [_array(tensor) for tensor in tensors or ()]


def _array(tensor: Any) -> Any:
    """NumPy, which has no bfloat16; None for None."""
    import torch

    if tensor is None:
        return None
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()
