"""The optimized models as a candidate of the model checks, NumPy in and out. torch is imported on the first call.

The form is that of `trueband.properties.models.witness`.
"""

from __future__ import annotations

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
CONFIGS: dict[str, Any] = {"xlm-roberta": XLMRobertaConfig, "longformer": LongformerConfig, "led": LEDConfig}


class OptimizedModels:
    """`trueband.optimized`, in float64 or float32, on the CPU."""

    features: frozenset[str] = frozenset()

    def forward(self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str) -> Any:
        """Hidden states after the embeddings and each layer, and logits."""
        import torch

        model = _model(architecture, config, state, dtype)
        asked = {"output_hidden_states": True, "output_attentions": bool(inputs.get("output_attentions", False))}
        with torch.no_grad():
            output = model(**_tensors(inputs, model), **asked)
        side = "encoder_" if architecture == "led" else ""
        result = {
            "hidden_states": _arrays(output.decoder_hidden_states if side else output.hidden_states),
            "logits": output.logits.numpy(),
            "attentions": _arrays(getattr(output, f"{side}attentions")),
        }
        if side:
            result["encoder_hidden_states"] = _arrays(output.encoder_hidden_states)
        if architecture != "xlm-roberta":
            result["global_attentions"] = _arrays(getattr(output, f"{side}global_attentions"))
        return result

    def head(
        self, architecture: str, head: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str
    ) -> Any:
        """The model with another head: hidden states, logits and loss."""
        import torch

        model = _model(architecture, config, state, dtype, HEADS[architecture, head])
        with torch.no_grad():
            output = model(**_tensors(inputs, model), output_hidden_states=True)
        taps = output.decoder_hidden_states if architecture == "led" else output.hidden_states
        logits = ("start_logits", "end_logits") if head == "qa" else ("logits",)
        loss = np.nan if output.loss is None else output.loss.item()
        return {
            "hidden_states": _arrays(taps),
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
        model = _model(architecture, config, state, FLOAT64, name)
        with torch.no_grad():
            written = model.generate(
                generation_config=GenerationConfig(**options), generator=torch.Generator().manual_seed(seed),
                return_dict_in_generate=True, **_tensors(inputs, model),
            )  # fmt: skip
        scores = written.sequences_scores
        return Generated(written.sequences.numpy(), None if scores is None else scores.numpy())

    def save(
        self, architecture: str, head: str, config: dict[str, Any], state: Arrays, dtype: str, directory: Path
    ) -> None:
        """Writes a model's folder."""
        _model(architecture, config, state, dtype, HEADS.get((architecture, head))).save_pretrained(directory)

    def load(self, architecture: str, head: str, inputs: Arrays, directory: Path) -> Any:
        """Logits of the model in a folder."""
        import torch

        from trueband.optimized import models

        kind = getattr(models, HEADS.get((architecture, head), LANGUAGE_MODELS[architecture]))
        model = kind.from_pretrained(directory)
        with torch.no_grad():
            output = model(**_tensors(inputs, model))
        names = ("start_logits", "end_logits") if head == "qa" else ("logits",)
        return {name: getattr(output, name).numpy() for name in names}

    def edited(
        self, architecture: str, config: dict[str, Any], state: Arrays, words: np.ndarray, inputs: Arrays, dtype: str
    ) -> Any:
        """Logits after the words that the input reads have been overwritten in place."""
        import torch

        model = _model(architecture, config, state, dtype)
        with torch.no_grad():
            model.get_parameter(WORDS[architecture]).copy_(torch.tensor(words))
            return {"logits": model(**_tensors(inputs, model)).logits.numpy()}

    def resized(
        self, architecture: str, config: dict[str, Any], state: Arrays, size: int, inputs: Arrays, dtype: str
    ) -> Any:
        """LED after a change of its vocabulary's size: its words, their bias, and what it gives."""
        import torch

        model = _model(architecture, config, state, dtype)
        with torch.no_grad():
            words = model.resize_token_embeddings(size).weight
            output = model(**_tensors(inputs, model), output_hidden_states=True)
            return {
                "words": words.numpy(),
                "bias": model.final_logits_bias.numpy(),
                "hidden_states": _arrays(output.decoder_hidden_states),
                "logits": output.logits.numpy(),
            }


def _model(architecture: str, config: dict[str, Any], state: Arrays, dtype: str, name: str | None = None) -> Any:
    import torch

    from trueband.optimized import models

    model: Any = getattr(models, name or LANGUAGE_MODELS[architecture])(CONFIGS[architecture].from_dict(config))
    tensors = {name: torch.tensor(array, dtype=torch.float32) for name, array in state.items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    # Tied weights may stand under one of their names only; nothing else may be missing.
    untied = [name for name in missing if not name.endswith(("embed_tokens.weight", "lm_head.weight", "decoder.weight",
                                                             "decoder.bias"))]  # fmt: skip
    if untied or unexpected:
        raise ValueError(f"state: expected the model's keys, got none of {untied} and besides {unexpected}")
    return model.to(getattr(torch, dtype)).eval()


def _tensors(inputs: Arrays, model: Any) -> dict[str, Any]:
    """Ids and masks as they are, other numbers in the dtype of the model."""
    import torch

    dtype = next(model.parameters()).dtype
    tensors = {name: torch.tensor(array) for name, array in inputs.items() if name != "output_attentions"}
    given: dict[str, Any] = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
    }
    return given | ({"encoder_outputs": (given["encoder_outputs"],)} if "encoder_outputs" in given else {})


def _arrays(tensors: Any) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in tensors or ()]
