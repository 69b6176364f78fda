"""Checkpoints in the Hub's form: a folder with `config.json` and `model.safetensors` (or shards, or a `.bin`)."""

from trueband.optimized.checkpoints.pretrained import PretrainedModel

__all__ = ["PretrainedModel"]
