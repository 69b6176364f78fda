"""The optimized models as a candidate of the model checks, NumPy in and out. torch is imported on the first call.

The form is that of `trueband.properties.models.witness`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from trueband.properties.models.reference_checkpoints import WORDS
from trueband.reference.config import GenerationConfig, LEDConfig, LongformerConfig, XLMRobertaConfig
from trueband.reference.decoding import Generated

Arrays = dict[str, np.ndarray]
FLOAT64 = "float64"
LANGUAGE_MODELS = {
    "xlm-roberta": "XLMRobertaForMaskedLM", "longformer": "LongformerForMaskedLM", "led": "LEDForConditionalGeneration",
}  # fmt: skip
BASES = {"xlm-roberta": "XLMRobertaModel", "longformer": "LongformerModel", "led": "LEDModel"}
HEADS = {
    (architecture, head): f"{family}For{task}"
    for architecture, family, heads in (
        ("xlm-roberta", "XLMRoberta", ("sequence", "token", "choice", "qa")),
        ("longformer", "Longformer", ("sequence", "token", "choice", "qa")),
        ("led", "LED", ("sequence", "qa")),
    )
    for head, task in (
        ("sequence", "SequenceClassification"),
        ("token", "TokenClassification"),
        ("choice", "MultipleChoice"),
        ("qa", "QuestionAnswering"),
    )
    if head in heads
}
# Tied weights may stand under one of their names only; nothing else may be missing.
MAY_BE_TIED = ("embed_tokens.weight", "lm_head.weight", "decoder.weight", "decoder.bias")
CONFIGS: dict[str, Any] = {"xlm-roberta": XLMRobertaConfig, "longformer": LongformerConfig, "led": LEDConfig}

_LAST: list[Any] = []  # what the last model was made of, its weights, and itself: most checks run one more than once


class OptimizedModels:
    """`trueband.optimized`, in float64 or float32, on the CPU."""

    features: frozenset[str] = frozenset()

    def build(
        self, architecture: str, config: dict[str, Any], state: Arrays, dtype: str, name: str, **options: Any
    ) -> Any:
        """A model of a class with these weights, in evaluation mode, that may be changed."""
        import torch

        from trueband.optimized import models

        model: Any = getattr(models, name)(CONFIGS[architecture].from_dict(config), **options)
        weights = {key: torch.tensor(array, dtype=torch.float32) for key, array in state.items()}
        missing, unexpected = model.load_state_dict(weights, strict=False)
        untied = [key for key in missing if not key.endswith(MAY_BE_TIED)]
        if untied or unexpected:
            raise ValueError(f"state: expected the model's keys, got none of {untied} and besides {unexpected}")
        return model.to(getattr(torch, dtype)).eval()

    def model(
        self,
        architecture: str,
        config: dict[str, Any],
        state: Arrays,
        dtype: str,
        name: str | None = None,
        **options: Any,
    ) -> Any:
        """The class `name`, or the language model, causal for a decoder. Not to be changed: it is handed out again."""
        name = name or ("XLMRobertaForCausalLM" if config.get("is_decoder", False) else LANGUAGE_MODELS[architecture])
        wanted = (self, name, json.dumps(config, sort_keys=True), dtype, options)
        if not _LAST or _LAST[0] != wanted or _LAST[1] is not state:
            _LAST[:] = wanted, state, self.build(architecture, config, state, dtype, name, **options)
        return _LAST[2]

    def stored(self, architecture: str, name: str, directory: Path) -> Any:
        """The model of a class in a folder."""
        from trueband.optimized import models

        return getattr(models, name).from_pretrained(directory)

    def reordered(self, cache: Any, rows: Any) -> Any:
        """A cache with these rows (r,) of the batch, an int64 tensor."""
        return cache.reorder(rows)

    def forward(self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str) -> Any:
        """Hidden states after the embeddings and each layer, and logits."""
        import torch

        model = self.model(architecture, config, state, dtype)
        asked = {"output_hidden_states": True, "output_attentions": bool(inputs.get("output_attentions", False))}
        with torch.no_grad():
            output = model(**tensors(inputs, model), **asked)
        side = "encoder_" if architecture == "led" else ""
        result = {
            **_taps(output, architecture),
            "logits": output.logits.numpy(),
            "attentions": _arrays(getattr(output, f"{side}attentions")),
        }
        if architecture != "xlm-roberta":
            result["global_attentions"] = _arrays(getattr(output, f"{side}global_attentions"))
        return result

    def base(self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str) -> Any:
        """The model without a head: hidden states, and the pooler's output where the state has a pooler."""
        import torch

        options = {} if architecture == "led" else {"add_pooling_layer": "pooler.dense.weight" in state}
        model = self.model(architecture, config, state, dtype, BASES[architecture], **options)
        with torch.no_grad():
            output = model(**tensors(inputs, model), output_hidden_states=True)
        if architecture == "led":
            return {**_taps(output, architecture), "pooler_output": None}
        pooled = output.pooler_output
        return {**_taps(output, architecture), "pooler_output": None if pooled is None else pooled.numpy()}

    def steps(
        self,
        architecture: str,
        config: dict[str, Any],
        state: Arrays,
        inputs: Arrays,
        rows: np.ndarray,
        following: list[np.ndarray],
        dtype: str,
    ) -> Any:
        """Hidden states and logits of tokens that are read step by step, with a cache that is reordered once."""
        import torch

        model, side = self.model(architecture, config, state, dtype), "decoder_" if architecture == "led" else ""
        given, order = tensors(inputs, model), torch.tensor(rows)
        options = {"use_cache": True, "output_hidden_states": True}
        with torch.no_grad():
            output = model(**given, **options)
            chosen = {name: tensor[order] for name, tensor in given.items()}
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
                outputs.append(model(**masked, **chosen, past_key_values=cache, **options))
                cache = outputs[-1].past_key_values
        first = {**_taps(output, architecture), "logits": output.logits.numpy()}
        last = [{**_taps(each, architecture), "logits": each.logits.numpy()} for each in outputs]
        result: dict[str, Any] = {
            "hidden_states": [
                np.concatenate([tap[rows], *later], axis=1)
                for tap, *later in zip(first["hidden_states"], *(each["hidden_states"] for each in last), strict=True)
            ],
            "logits": np.concatenate([first["logits"][rows], *(each["logits"] for each in last)], axis=1),
        }
        if side:
            result["encoder_hidden_states"] = [tap[rows] for tap in first["encoder_hidden_states"]]
        return result

    def encode(self, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str) -> list[np.ndarray]:
        """Hidden states of LED's encoder alone, in any dtype."""
        import torch

        model = self.model("led", config, state, dtype)
        names = ("input_ids", "inputs_embeds", "attention_mask", "global_attention_mask")
        given = {name: array for name, array in inputs.items() if name in names}
        with torch.no_grad():
            output = model.led.encoder(**tensors(given, model), output_hidden_states=True)
        return _arrays(output.hidden_states)

    def prune(
        self, config: dict[str, Any], state: Arrays, heads: dict[int, list[int]]
    ) -> tuple[dict[str, Any], Arrays]:
        """Configuration and weights after `prune_heads`."""
        model = self.build("xlm-roberta", config, state, FLOAT64, "XLMRobertaForMaskedLM")
        model.roberta.prune_heads(heads)
        kept = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
        return model.roberta.config.to_dict(), {name: kept[name] for name in state}

    def head(
        self, architecture: str, head: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str
    ) -> Any:
        """The model with another head: hidden states, logits and loss."""
        import torch

        model = self.model(architecture, config, state, dtype, HEADS.get((architecture, head)))
        with torch.no_grad():
            output = model(**tensors(inputs, model), output_hidden_states=True)
        logits = ("start_logits", "end_logits") if head == "qa" else ("logits",)
        loss = np.nan if output.loss is None else output.loss.item()
        return {
            **_taps(output, architecture),
            "loss": loss,
            **{name: getattr(output, name).numpy() for name in logits},
        }

    def generate(
        self,
        architecture: str,
        config: dict[str, Any],
        state: Arrays,
        inputs: Arrays,
        options: dict[str, Any],
        seed: int,
    ) -> Generated:
        """Ids, (b * num_return_sequences, longest), and scores of beams, from cached decoding in float64."""
        import torch

        name = "XLMRobertaForCausalLM" if architecture == "xlm-roberta" else None
        model = self.model(architecture, config, state, FLOAT64, name)
        with torch.no_grad():
            written = model.generate(
                generation_config=GenerationConfig(**options), generator=torch.Generator().manual_seed(seed),
                return_dict_in_generate=True, **tensors(inputs, model),
            )  # fmt: skip
        scores = written.sequences_scores
        return Generated(written.sequences.numpy(), None if scores is None else scores.numpy())

    def save(
        self, architecture: str, head: str, config: dict[str, Any], state: Arrays, dtype: str, directory: Path
    ) -> None:
        """Writes a model's folder."""
        self.model(architecture, config, state, dtype, HEADS.get((architecture, head))).save_pretrained(directory)

    def load(self, architecture: str, head: str, inputs: Arrays, directory: Path) -> Any:
        """Logits of the model in a folder."""
        import torch

        name = HEADS.get((architecture, head), LANGUAGE_MODELS[architecture])
        model = self.stored(architecture, name, directory)
        with torch.no_grad():
            output = model(**tensors(inputs, model))
        names = ("start_logits", "end_logits") if head == "qa" else ("logits",)
        return {name: getattr(output, name).numpy() for name in names}

    def edited(
        self, architecture: str, config: dict[str, Any], state: Arrays, words: np.ndarray, inputs: Arrays, dtype: str
    ) -> Any:
        """Logits after the words that the input reads have been overwritten in place."""
        import torch

        model = self.build(architecture, config, state, dtype, LANGUAGE_MODELS[architecture])
        with torch.no_grad():
            model.get_parameter(WORDS[architecture]).copy_(torch.tensor(words))
            return {"logits": model(**tensors(inputs, model)).logits.numpy()}

    def resized(
        self, architecture: str, config: dict[str, Any], state: Arrays, size: int, inputs: Arrays, dtype: str
    ) -> Any:
        """LED after a change of its vocabulary's size: its words, their bias, and what it gives."""
        import torch

        model = self.build(architecture, config, state, dtype, LANGUAGE_MODELS[architecture])
        with torch.no_grad():
            words = model.resize_token_embeddings(size).weight
            output = model(**tensors(inputs, model), output_hidden_states=True)
            return {
                "words": words.numpy(),
                "bias": model.final_logits_bias.numpy(),
                "hidden_states": _arrays(output.decoder_hidden_states),
                "logits": output.logits.numpy(),
            }


def _taps(output: Any, architecture: str) -> dict[str, Any]:
    if architecture != "led":
        return {"hidden_states": _arrays(output.hidden_states)}
    states = (output.decoder_hidden_states, output.encoder_hidden_states)
    return dict(zip(("hidden_states", "encoder_hidden_states"), map(_arrays, states), strict=True))


def tensors(inputs: Arrays, model: Any) -> dict[str, Any]:
    """Ids and masks as they are, other numbers in the dtype of the model."""
    import torch

    dtype = next(model.parameters()).dtype
    arrays = {name: torch.tensor(array) for name, array in inputs.items() if name != "output_attentions"}
    given: dict[str, Any] = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in arrays.items()
    }
    return given | ({"encoder_outputs": (given["encoder_outputs"],)} if "encoder_outputs" in given else {})


def _arrays(tensors: Any) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in tensors or ()]
