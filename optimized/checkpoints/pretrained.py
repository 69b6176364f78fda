"""`from_pretrained` and `save_pretrained`: what a model class inherits to be read from and written to a folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from trueband.optimized.checkpoints import shards
from trueband.optimized.checkpoints.config_file import NAME
from trueband.optimized.checkpoints.keys import listed, tied_names
from trueband.optimized.checkpoints.loading import Wanted, load
from trueband.optimized.checkpoints.requests import sorted_out
from trueband.optimized.checkpoints.source import GENERATION, Source, config_text, generation_text, generation_values
from trueband.optimized.checkpoints.weight_files import INDEX, SAFETENSORS
from trueband.optimized.checkpoints.writing import write_folder
from trueband.reference.config import Config, GenerationConfig, family_of_config

HEADS = ("lm_head.", "classifier.", "qa_outputs.", "classification_head.", "final_logits_bias")
logger = logging.getLogger("trueband.checkpoints")


class PretrainedModel(nn.Module):
    """A model built from one configuration, `__init__(self, config: ...)`, whose state dict has the Hub's names."""

    config: Any
    _source: Source | None = None
    _generation: GenerationConfig | None = None
    _generation_before: Mapping[str, Any] | None = None

    @classmethod
    def from_pretrained(
        cls,
        directory: str | os.PathLike[str],
        dtype: torch.dtype | str | None = None,
        device: torch.device | str | None = None,
        *,
        new_head: bool | None = None,
        config: Config | None = None,
        ignore_mismatched_sizes: bool = False,
        **options: Any,
    ) -> Self:
        """A model from a checkpoint's folder, in eval mode.

        Weights are mapped into memory, copied only where the file does not align them (to 64 bytes).

        A checkpoint with a head gives a base model, and one of a base model gives a model with a head. Tensors that
        the model has no place for are named in a warning of the logger "trueband.checkpoints" (those of a head that
        a base model leaves alone, at level info). A base model read from a checkpoint without a pooling layer has none.

        Args:
            directory: a folder with `config.json` and `model.safetensors`, shards with their index, or
                `pytorch_model.bin`.
            dtype: the dtype of the weights, such as torch.float16 or "float16"; "auto": what `config.json` says, or
                else as stored; None: as stored.
            device: None: the CPU.
            new_head: initialize the weights of a head that the checkpoint does not have. Otherwise they are missing.
                None: only where `num_labels` or `id2label` is given, which asks for a head.
            config: the configuration, in the place of that of the folder.
            ignore_mismatched_sizes: initialize weights whose tensors have another shape in the checkpoint.
            options: fields of the configuration, such as `num_labels`, `id2label` or `attention_window`;
                `add_pooling_layer`; and options of the Hub that concern how files are found and read.

        Raises:
            ValueError: missing tensors, by name; a file that is truncated, corrupt or hostile; tensors of another
                shape or dtype; tied tensors that differ; a configuration of another model type.
            TypeError: an option that is none.
        """
        request = sorted_out(cls, options)
        if new_head is None:
            new_head = bool({"num_labels", "id2label"} & request.changes.keys())
        wanted = Wanted(
            dtype if dtype is not None else request.dtype,
            device if device is not None else request.device,
            new_head,
            config,
            request.changes,
            request.options,
            ignore_mismatched_sizes,
        )
        loaded = load(cls, Path(directory), wanted)
        model = loaded.model
        if loaded.initialized:
            logger.warning("%s: initialized, not in %s: %s", cls.__name__, directory, listed(loaded.initialized))
        inside = any(name.startswith(family_of_config(type(model.config)).prefix) for name in model.state_dict())
        heads = [] if inside else [name for name in loaded.unexpected if name.startswith(HEADS)]
        if heads:
            logger.info("%s: heads not used, of %s: %s", cls.__name__, directory, listed(heads))
        if len(loaded.unexpected) > len(heads):
            surprise = [name for name in loaded.unexpected if name not in heads]
            logger.warning("%s: not used, of %s: %s", cls.__name__, directory, listed(surprise))
        assert isinstance(model, cls)
        model._source = loaded.source
        return model

    def save_pretrained(
        self,
        directory: str | os.PathLike[str],
        *,
        max_shard_size: int | str = "50GB",
        state_dict: Mapping[str, Tensor] | None = None,
        is_main_process: bool = True,
        safe_serialization: bool = True,
        push_to_hub: bool = False,
    ) -> None:
        """Writes `config.json` and `model.safetensors`; tied weights once.

        What came with a checkpoint and has not changed goes out byte for byte: fields of `config.json` that nothing is
        computed with, names of labels, `generation_config.json`. All files are written under other names beside their
        places and renamed: an interrupt leaves the old files whole.

        Args:
            directory: made if need be.
            max_shard_size: bytes, or a text such as "5GB": more weights are written to several files with an index.
            state_dict: in the place of the model's own.
            is_main_process: False: nothing is written, as another process does it.
            safe_serialization: only True: weights are never pickled.
            push_to_hub: only False: nothing is uploaded.

        Raises:
            ValueError: one of the last two, a size that is none, or a path that is a file.
        """
        most = shards.size_in_bytes(max_shard_size)
        if not safe_serialization:
            raise ValueError("safe_serialization: expected True (weights are not pickled), got False")
        if push_to_hub:
            raise ValueError("push_to_hub: expected False (nothing is uploaded), got True")
        if not is_main_process:
            return
        state = self.state_dict() if state_dict is None else state_dict
        tensors = {name: state[name].detach().cpu().contiguous() for name in self._stored_names() if name in state}
        if {"lm_head.bias", "lm_head.decoder.bias"} <= tensors.keys():
            tensors["lm_head.decoder.bias"] = tensors["lm_head.decoder.bias"].clone()
        files = shards.split(tensors, most)
        dtype = next(self.parameters()).dtype
        texts = {NAME: config_text(self._source, self.config, type(self).__name__, dtype)}
        generation = generation_text(self._source, self._changed_generation())
        if generation is not None:
            texts[GENERATION] = generation
        if len(files) > 1:
            texts[f"{SAFETENSORS}{INDEX}"] = shards.index_text(files)
        write_folder(Path(directory), texts, files, shards.outdated(Path(directory), files))

    def _stored_names(self) -> list[str]:
        """One name of each weight; both of the head's bias where the words are not tied, as transformers 5 wants it."""
        names = list(tied_names(self))
        both = {"lm_head.bias", "lm_head.decoder.bias"} <= self.state_dict().keys()
        return [*names, "lm_head.decoder.bias"] if both and not self.config.tie_word_embeddings else names

    @classmethod
    def can_generate(cls) -> bool:
        return hasattr(cls, "generate")

    @property
    def generation_config(self) -> GenerationConfig:
        """How `generate` decodes where a call does not say: as the checkpoint says. It may be changed.

        Raises:
            ValueError: the checkpoint asks for something that is not implemented; another one may be set.
        """
        if self._generation is None:
            self._generation = GenerationConfig.from_dict(generation_values(self._source, self.config))
            self._generation_before = self._generation.given_options()
        return self._generation

    @generation_config.setter
    def generation_config(self, value: GenerationConfig) -> None:
        if not isinstance(value, GenerationConfig):
            raise TypeError(f"generation_config: expected a GenerationConfig, got {type(value).__name__}")
        self._generation, self._generation_before = value, None

    def generation_defaults(self) -> dict[str, Any]:
        """The options of the checkpoint, by name, as they are now; they may be of a kind that is not implemented."""
        if self._generation is not None:
            return self._generation.given_options()
        return generation_values(self._source, self.config)

    def _changed_generation(self) -> Mapping[str, Any] | None:
        """The options of decoding, where somebody has set or changed them; else None."""
        if self._generation is None or self._generation.given_options() == self._generation_before:
            return None
        return self._generation.given_options()
