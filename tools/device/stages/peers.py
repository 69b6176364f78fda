"""peers: other implementations on the device, through the same gate."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from device.commands import check
from device.unit import Context, Unit

# In the order of their worth, those beside each other run at the same time.
GROUPS = {
    "sdpa": ("sdpa", "sdpa-gqa"),
    "flex": ("flex", "flex-gqa"),
    "transformers": ("hf-led", "hf-longformer", "hf-mistral-sdpa", "hf-modernbert-sdpa", "hf-gemma2", "hf-gpt-oss"),
    "jax": ("jax-dot-product",),
    "local-attention": ("local-attention",),
}
CASES = 200


def units(rehearsed: bool) -> list[Unit]:
    return [Unit(name, of_group, 110, (name,)) for name in GROUPS]


def of_group(context: Context, name: str) -> dict[str, Any]:
    """Each target in a process of its own. Failures that are known on the CPU count as expected here, too."""
    package = {"jax": "jax", "local-attention": "local_attention", "transformers": "transformers"}.get(name, "torch")
    if find_spec(package) is None:
        return {"asked": False, "summary": f"{package} is not installed"}
    if context.rehearsed:
        if name != "sdpa":
            return {"asked": False, "summary": "not rehearsed"}
        return check(context, {name: (name, "--dtype", "float32", "--cases", "1", "-k", "matches_reference")})
    return check(context, {each: (each, "--device", "cuda", "--cases", f"{CASES}") for each in GROUPS[name]})
