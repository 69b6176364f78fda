"""The optimized models as a candidate of the model checks, NumPy in and out. torch is imported on the first call.

The form is that of `trueband.properties.models.witness`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.reference.config import GenerationConfig, LEDConfig, LongformerConfig, XLMRobertaConfig

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

    def build(
        self, architecture: str, config: dict[str, Any], state: Arrays, dtype: str, name: str | None = None
    ) -> Any:
        """The model of a class (None: with the language model head) and these weights."""
        return _model(architecture, config, state, dtype, name)

    @staticmethod
    def tensors(inputs: Arrays, model: Any) -> dict[str, Any]:
        """Ids and masks as they are, other numbers in the dtype of the model."""
        return _tensors(inputs, model)

    def forward(self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str) -> Any:
        """Hidden states after the embeddings and each layer, and logits."""
        import torch

        model = self.build(architecture, config, state, dtype)
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

        model = self.build(architecture, config, state, dtype, HEADS[architecture, head])
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
        self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, options: dict[str, Any]
    ) -> np.ndarray:
        """Ids, (b * num_return_sequences, longest), from cached decoding in float64."""
        import torch

        model = self.build(architecture, config, state, FLOAT64)
        with torch.no_grad():
            sequences: np.ndarray = model.generate(
                generation_config=GenerationConfig(**options), **_tensors(inputs, model)
            ).numpy()
        return sequences


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
    return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _arrays(tensors: Any) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in tensors or ()]
