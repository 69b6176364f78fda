"""The options of `from_pretrained` besides its own: fields of the configuration, and how files are found and read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from trueband.optimized.checkpoints.config_file import config_class, takes_pooling_layer

# What files are looked for and how they are read: a folder on this machine is read in one way.
PASSED_OVER = (
    "_fast_init",
    "attn_implementation",
    "cache_dir",
    "force_download",
    "local_files_only",
    "low_cpu_mem_usage",
    "proxies",
    "resume_download",
    "revision",
    "token",
    "trust_remote_code",
    "use_auth_token",
    "use_safetensors",
    "weights_only",
)
ANSWERS = ("output_attentions", "output_hidden_states", "return_dict", "label2id")


class Request(NamedTuple):
    """Attributes:
    changes: fields of the configuration.
    options: arguments of the model's `__init__`.
    dtype, device: as `from_pretrained` takes them, under the Hub's other names.
    """

    changes: Mapping[str, Any]
    options: Mapping[str, Any]
    dtype: torch.dtype | str | None
    device: torch.device | str | None


def sorted_out(model_class: type[nn.Module], options: Mapping[str, Any]) -> Request:
    """Each option to where it belongs; TypeError, by name, for one that belongs nowhere."""
    kind = config_class(model_class)
    fields = {each.name for each in dataclasses.fields(kind)} - {"others"} | {*kind.attribute_map, *ANSWERS}
    rest = {name: value for name, value in options.items() if name not in PASSED_OVER}
    changes = {name: rest.pop(name) for name in list(rest) if name in fields}
    labels, count = changes.get("id2label"), changes.get("num_labels")
    if labels is not None and count is not None and len(labels) != count:
        raise ValueError(f"id2label: expected as many names as num_labels ({count}), got {len(labels)}")
    own = {"add_pooling_layer": rest.pop("add_pooling_layer")} if _pools(model_class, rest) else {}
    dtype, device = rest.pop("torch_dtype", None), rest.pop("device_map", None)
    if isinstance(device, int):
        device = torch.device("cuda", device)
    if device is not None and not isinstance(device, str | torch.device):
        raise ValueError(f"device_map: expected one device for all weights, got {device!r}")
    if rest:
        name = next(iter(rest))
        raise TypeError(f"{name}: expected an option of from_pretrained or a field of {kind.__name__}, got neither")
    return Request(changes, own, dtype, None if device == "auto" else device)


def _pools(model_class: type[nn.Module], options: Mapping[str, Any]) -> bool:
    return "add_pooling_layer" in options and takes_pooling_layer(model_class)
