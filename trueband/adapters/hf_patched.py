"""`hf-patched`: LED and Longformer of transformers with trueband's attention in them, built as `hf` builds them.

Less is declared than for `hf`: windows begin at 1 and may differ between layers, and a length need not be whole
windows. The peer's global attentions have the length of whole windows, 0 behind the text: they are cut to the text.
"""

from __future__ import annotations

from typing import Any

from trueband.adapters import hf_models
from trueband.properties.models.target import ModelTarget


def build(architecture: str, class_name: str, config: dict[str, Any], state: dict[str, Any]) -> Any:
    """A patched model of transformers with these weights, in float32 and evaluation mode."""
    from trueband.integrations.transformers import patch

    def prepared(model: Any) -> Any:
        patch(model).register_forward_hook(cut)
        return model

    model = prepared(hf_models.build(architecture, class_name, config, state))
    kind = type(model)  # read from a folder again, a model of the class is patched again

    def read(folder: Any) -> Any:
        return prepared(kind.from_pretrained(folder))

    model.__class__ = type(kind.__name__, (kind,), {"from_pretrained": staticmethod(read)})
    return model


def cut(module: Any, inputs: Any, output: Any) -> None:
    """The global attentions (b, h, n, x) of an answer, for the n tokens of its attentions."""
    for prefix in ("", "encoder_"):
        local, of_globals = (getattr(output, f"{prefix}{name}", None) for name in ("attentions", "global_attentions"))
        if local and of_globals:
            tables = (each[:, :, : one.shape[2]] for one, each in zip(local, of_globals, strict=True))
            setattr(output, f"{prefix}global_attentions", tuple(tables))


factory = ModelTarget(
    build, architectures=("longformer", "led"), name="transformers, patched by trueband", uneven_chunks=False
)
