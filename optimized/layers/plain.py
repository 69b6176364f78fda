"""Whether a weight may be read, where a module would otherwise be called.

Tools change a projection without telling the model around it: an adapter of low rank takes its place, a hook fetches,
masks or counts, a parametrization computes the weight, an offloaded weight comes only for the call. Then the module is
called as it is.
"""

from __future__ import annotations

from torch import nn
from torch.nn.modules import module as torch_module

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
GLOBAL_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks")


def is_plain(part: nn.Module) -> bool:
    """Whether a linear map with a bias does nothing but x W^T + b with its own weights, here and now."""
    return (
        type(part) is nn.Linear
        and part.bias is not None
        and untouched(part)
        and "weight" in part._parameters
        and "bias" in part._parameters
    )


def untouched(part: nn.Module) -> bool:
    """Whether nobody is called along with a module, and its weights are there."""
    return (
        "forward" not in part.__dict__
        and not any(getattr(part, name) for name in HOOKS)
        and not any(getattr(torch_module, name, None) for name in GLOBAL_HOOKS)
        and not any(weight.device.type == "meta" for weight in part._parameters.values() if weight is not None)
    )
