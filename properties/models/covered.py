"""What was covered of models: the least and the largest value of each size, in all calls and with gradients."""

from __future__ import annotations

from typing import Any

from trueband.properties.candidate.covered import Ranges
from trueband.properties.models.model import Arrays, Model
from trueband.reference.config import LEDConfig


class ModelsCovered:
    """The sizes of the calls that gave a result.

    Attributes:
        every: the sizes of all calls.
        gradients: the sizes of the calls with a backward pass.
    """

    def __init__(self) -> None:
        self.every, self.gradients = Ranges(), Ranges()

    def add(self, model: Model, inputs: Arrays, trained: bool) -> None:
        """A call that gave a result."""
        words = next((inputs[name] for name in ("input_ids", "inputs_embeds") if name in inputs), None)
        if words is None:  # the encoder has been run before
            return
        settings = model.settings
        if isinstance(settings, LEDConfig):
            size, heads, layers = settings.d_model, settings.encoder_attention_heads, settings.encoder_layers
        else:
            size, heads, layers = settings.hidden_size, settings.num_attention_heads, settings.num_hidden_layers
        by_choice = model.head == "choice" and words.ndim == 3 and "input_ids" in inputs
        rows, tokens = (words[0] if by_choice else words).shape[:2]
        sizes = {"tokens": tokens, "heads": heads, "head_dim": size // heads, "layers": layers, "batch": rows}
        windows = [settings.window(i) for i in range(layers)] if hasattr(settings, "window") else []
        for covered in (self.every, self.gradients) if trained else (self.every,):
            covered.widen(**sizes)
            for window in windows:
                covered.widen(window=window)

    def __bool__(self) -> bool:
        return bool(self.every)

    def __str__(self) -> str:
        """tokens 2..290, heads 1..12, ...; with gradients tokens 2..90, ..."""
        return str(self.every) + (f"; with gradients {self.gradients}" if self.gradients else "")

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"models": self.every.to_dict(), "models_with_gradients": self.gradients.to_dict()}
