"""A PyTorch model run once, every stage fed its recorded input: what each stage gives, and whether it is wired right.

Hooks put the recorded input in the place of what arrives at a stage. What arrives must be what the stage before gave,
bit for bit: so one run shows every stage by itself, and the way from one to the next. torch is imported on the
call. `optimized_taps` has the form of `trueband.golden.recordings.reference`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.recordings.heads import token_of_texts
from trueband.golden.recordings.inputs import STATES, Inputs
from trueband.golden.recordings.model import Recorded, described, parts_of
from trueband.witnesses.building import build

Array = NDArray[Any]
Arrays = dict[str, Array]


def optimized_taps(
    model_class: str, config: dict[str, Any], state: Arrays, inputs: Inputs, entering: Mapping[str, Array], dtype: str
) -> dict[str, Any]:
    """`trueband.optimized` on weights under the Hub's keys, in a dtype.

    Raises:
        ValueError: weights that are not those of the model.
    """
    recorded = described(config, state)
    return fed_taps(build(model_class, config, state, dtype), recorded, inputs, entering)


def fed_taps(model: Any, recorded: Recorded, inputs: Inputs, entering: Mapping[str, Array]) -> dict[str, Any]:
    """Taps of a model that has the Hub's names, on its own device and in its own dtype.

    Args:
        model: the model of the class `recorded.model_class`, in eval mode.
        entering: what each stage reads; cast to the dtype of the model.
    """
    import torch

    weights = next(model.parameters())
    fed = {name: torch.tensor(array).to(weights.device, weights.dtype) for name, array in entering.items()}
    run = _Run(model, recorded, inputs, fed)
    tensors = {name: torch.tensor(array).to(weights.device) for name, array in inputs.items()}
    tensors = {
        name: tensor.to(weights.dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
    }
    try:
        with torch.no_grad():
            output = model(**tensors)
    finally:
        run.remove()
    if recorded.reads is not None:
        run.taps |= {name: getattr(output, name) for name in recorded.reads.taps}
    return {
        "taps": {name: run.taps[name].double().cpu().numpy() for name in run.names if name in run.taps},
        "wiring": run.wiring,
        "dtype": str(weights.dtype).removeprefix("torch."),
    }


class _Run:
    """Hooks on all stages of a model.

    Attributes:
        taps: outputs by name, and `names` in the order of computation.
        wiring: a line for each stage that did not read what it should.
    """

    def __init__(self, model: Any, recorded: Recorded, inputs: Inputs, fed: Mapping[str, Any]) -> None:
        self.taps: dict[str, Any] = {}
        self.names: list[str] = []
        self.wiring: list[str] = []
        self._fed = fed
        self._hooks: list[Any] = []
        prefix = recorded.family.prefix if recorded.head else ""
        before: dict[str, str] = {}  # side -> the stage before
        for stage in recorded.stages:
            side, kind, number = parts_of(stage)
            start = f"{prefix}{side}." if side else prefix
            last = before.get("decoder", before.get(side, ""))
            if kind == "embeddings":
                where = f"{start}layernorm_embedding" if side else f"{start}embeddings"
                self._keep(model, where, stage)
            elif kind == "pooler":
                self._feed(model, f"{prefix}pooler", stage, (last,))
                self._keep(model, f"{prefix}pooler", stage)
            elif kind == "logits":
                self._add_head(model, recorded, inputs, last)
            elif side:
                layer = f"{start}layers.{number}"
                read = (before[side], before["encoder"]) if side == "decoder" else (before[side],)
                self._feed(model, layer, stage, read)
                self._keep(model, f"{layer}.self_attn_layer_norm", f"{stage}.attention")
                if side == "decoder":
                    self._keep(model, f"{layer}.encoder_attn_layer_norm", f"{stage}.cross_attention")
                self._keep(model, layer, stage)
            else:
                layer = f"{start}encoder.layer.{number}"
                self._feed(model, layer, stage, (before[side],))
                self._keep(model, f"{layer}.attention.output", f"{stage}.attention")
                if STATES in inputs:
                    self._keep(model, f"{layer}.crossattention.output", f"{stage}.cross_attention")
                self._keep(model, layer, stage)
            before[side] = stage

    def _add_head(self, model: Any, recorded: Recorded, inputs: Inputs, last: str) -> None:
        head, at = recorded.reads, None
        assert head is not None
        if head.reads == "token":
            tokens = token_of_texts(recorded.config, inputs["input_ids"])
            at = (np.arange(len(tokens)), tokens)
        self._feed(model, head.module, "logits", (last,), at)
        self.names += head.taps

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def _keep(self, model: Any, where: str, name: str) -> None:
        def keep(module: Any, arguments: Any, output: Any) -> None:
            if name in self.taps:
                self.wiring.append(f"{name} was computed twice")
            self.taps[name] = output[0] if isinstance(output, tuple) else output

        self.names.append(name)
        self._hooks.append(model.get_submodule(where).register_forward_hook(keep))

    def _feed(self, model: Any, where: str, stage: str, read: tuple[str, ...], at: Any = None) -> None:
        """Put the recorded inputs of a stage in the place of its first arguments.

        These should be what `read` has given, or a part of it, `at`.
        """
        names = (stage, "encoded")[: len(read)]

        def feed(module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            for argument, source in zip(arguments, read, strict=False):
                tap = self.taps.get(source)
                if not _same(argument, tap if at is None or tap is None else tap[at]):
                    self.wiring.append(f"{stage} does not read what {source} gave")
            return (*(self._fed[name] for name in names), *arguments[len(read) :])

        self._hooks.append(model.get_submodule(where).register_forward_pre_hook(feed))


def _same(value: Any, source: Any) -> bool:
    """Bit for bit, NaN being NaN. Exact: what one stage gave is handed to the next, and nothing is computed between."""
    if source is None or value.shape != source.shape:
        return False
    return bool(((value == source) | (value.isnan() & source.isnan())).all())


def device_of(model: Any) -> str:
    """The device of the weights, such as "cpu" or "cuda:0"."""
    return str(next(model.parameters()).device)
