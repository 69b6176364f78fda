"""`from_pretrained` and `save_pretrained`: what a model class inherits to be read from and written to a folder."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from trueband.optimized.checkpoints.config_file import NAME, config_content
from trueband.optimized.checkpoints.keys import listed, tied_names
from trueband.optimized.checkpoints.loading import load
from trueband.optimized.checkpoints.weight_files import SAFETENSORS
from trueband.optimized.checkpoints.writing import write_folder
from trueband.reference.config import family_of_config

HEADS = ("lm_head.", "classifier.", "qa_outputs.", "classification_head.", "final_logits_bias")
logger = logging.getLogger("trueband.checkpoints")


class PretrainedModel(nn.Module):
    """A model built from one configuration, `__init__(self, config: ...)`, whose state dict has the Hub's names."""

    config: Any

    @classmethod
    def from_pretrained(
        cls,
        directory: str | os.PathLike[str],
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        *,
        new_head: bool = False,
    ) -> Self:
        """A model from a checkpoint's folder, in eval mode.

        Weights are mapped into memory, copied only where the file does not align them (to 64 bytes).

        A checkpoint with a head gives a base model, and one of a base model gives a model with a head. Tensors that
        the model has no place for are named in a warning of the logger "trueband.checkpoints" (those of a head that
        a base model leaves alone, at level info). A base model read from a checkpoint without a pooling layer has none.

        Args:
            directory: a folder with `config.json` and `model.safetensors`, shards with their index, or
                `pytorch_model.bin`.
            dtype: the dtype of the weights; None: as stored.
            device: None: the CPU.
            new_head: initialize the weights of a head that the checkpoint does not have. Otherwise they are missing.

        Raises:
            ValueError: missing tensors, by name; a file that is truncated, corrupt or hostile; tensors of another
                shape or dtype; tied tensors that differ; a configuration of another model type.
        """
        model, initialized, unexpected = load(cls, Path(directory), dtype, device, new_head)
        if initialized:
            logger.warning("%s: initialized, not in %s: %s", cls.__name__, directory, listed(initialized))
        inside = any(name.startswith(family_of_config(type(model.config)).prefix) for name in model.state_dict())
        heads = [] if inside else [name for name in unexpected if name.startswith(HEADS)]
        if heads:
            logger.info("%s: heads not used, of %s: %s", cls.__name__, directory, listed(heads))
        if len(unexpected) > len(heads):
            surprise = [name for name in unexpected if name not in heads]
            logger.warning("%s: not used, of %s: %s", cls.__name__, directory, listed(surprise))
        assert isinstance(model, cls)
        return model

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Writes `config.json` and `model.safetensors`; tied weights once.

        Both are written under other names beside their places and renamed: an interrupt leaves the old files whole.
        """
        state = self.state_dict()
        tensors = {name: state[name].detach().cpu().contiguous() for name in tied_names(self)}
        dtype = next(self.parameters()).dtype
        config = json.dumps(config_content(self.config, type(self).__name__, dtype), indent=2, sort_keys=True) + "\n"
        write_folder(Path(directory), {NAME: config}, {SAFETENSORS: tensors})
