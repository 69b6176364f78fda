"""Models in a folder as witnesses of the form "checkpoint": the class's name and its inputs in, NumPy arrays out.

One model is held at a time, and its last outputs, since publishers print several numbers of one run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.records import CannotRun
from trueband.golden.store.digest import inputs_sha256
from trueband.hub.folder import read_folder
from trueband.reference.classes import FUNCTIONS
from trueband.reference.config import GenerationConfig, LEDConfig, family_of_type

Arrays = dict[str, NDArray[Any]]
NEW_HEAD = "; with new_head=True"  # what `from_pretrained` advises where the weights of a head alone are missing


class FolderModels:
    """The part that both witnesses share. It keeps the last outputs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: tuple[str, Any] | None = None
        self._last: tuple[tuple[Any, ...], Arrays] | None = None

    def __call__(self, model_class: str, inputs: Arrays, generate: Mapping[str, Any] | None) -> Arrays:
        """Outputs of a class under the Hub's names.

        Args:
            model_class: such as "LEDModel".
            inputs: the inputs by the names of its arguments.
            generate: options of decoding: then {"sequences": (b, tokens)}; None: one forward pass.

        Raises:
            CannotRun: the folder does not give a model of this class.
        """
        key = (model_class, inputs_sha256({"generate": dict(generate or {})}, inputs), generate is None)
        if self._last is None or self._last[0] != key:
            self._last = None
            if self._held is None or self._held[0] != model_class:
                self._held = None
                self._held = model_class, self.load(model_class)
            self._last = key, self.compute(self._held[1], inputs, generate)
        return self._last[1]

    def load(self, model_class: str) -> Any:
        raise NotImplementedError

    def compute(self, model: Any, inputs: Arrays, generate: Mapping[str, Any] | None) -> Arrays:
        raise NotImplementedError


class OptimizedFolder(FolderModels):
    """Classes of `trueband.optimized`, in float32 on the CPU."""

    def load(self, model_class: str) -> Any:
        import torch

        from trueband import optimized

        if model_class not in optimized.__all__:
            raise CannotRun(f"needs the class {model_class}, which trueband.optimized does not have")
        try:
            return getattr(optimized, model_class).from_pretrained(self.folder, dtype=torch.float32)
        except ValueError as error:
            reason, advice, _ = str(error).partition(NEW_HEAD)
            if not advice:
                raise  # not only a head is missing: the folder is wrong
            raise CannotRun(f"the folder gives no {model_class}: {reason}") from error

    def compute(self, model: Any, inputs: Arrays, generate: Mapping[str, Any] | None) -> Arrays:
        import torch

        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        with torch.no_grad():
            if generate is not None:
                every = GenerationConfig(**generate).to_dict()  # nothing is left to the checkpoint to say
                return {"sequences": model.generate(**tensors, **every).numpy()}
            output = model(**tensors)
        fields = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
        return {name: value.numpy() for name, value in fields.items() if isinstance(value, torch.Tensor)}


class ReferenceFolder(FolderModels):
    """Functions of `trueband.reference`, in float64: slow, and quadratic in the length of the text."""

    def load(self, model_class: str) -> tuple[Callable[..., Any], dict[str, Any]]:
        read = read_folder(self.folder, "--checkpoint")
        values, state = read.config, read.state
        family = family_of_type(values["model_type"])
        if family is None or model_class not in family.classes:
            raise CannotRun(
                f"needs the class {model_class}, which the reference does not have for {values['model_type']}"
            )
        prefix = family.prefix
        if not any(name.startswith(prefix) for name in state):
            state = {prefix + name: array for name, array in state.items()}
        config = family.config.from_dict(values)
        if isinstance(config, LEDConfig):
            state = {"final_logits_bias": np.zeros((1, config.vocab_size)), **state}
        options: dict[str, Any] = {"state": state, "config": config}
        if model_class == family.base_class:
            options["prefix"] = prefix
            options |= {"add_pooling_layer": False} if family.pooler else {}
        return FUNCTIONS[model_class], options

    def compute(self, model: Any, inputs: Arrays, generate: Mapping[str, Any] | None) -> Arrays:
        function, options = model
        if generate is not None:
            raise CannotRun("decodes, which the reference is too slow for; run it with the optimized models")
        output = function(**options, **inputs)
        fields = {name: value for name, value in output._asdict().items() if value is not None}
        return {name: np.asarray(value) for name, value in fields.items() if not isinstance(value, tuple)}


WITNESSES: dict[str, Callable[[Path], FolderModels]] = {"optimized": OptimizedFolder, "reference": ReferenceFolder}
