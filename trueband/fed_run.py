"""A PyTorch model run once, every stage fed its recorded input: what each stage gives, and whether it is wired right.

Hooks put the recorded input in the place of what arrives at a stage. What arrives must be what the stage before gave,
bit for bit: so one run tells of every stage by itself, and of the way from one to the next. torch is imported on the
call. `optimized_taps` has the form of `trueband.golden.recordings.reference`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from trueband.golden.recordings.model import PREFIXES, Inputs, Recorded, described, parts_of

Array = NDArray[Any]
Arrays = dict[str, Array]
OPTIMIZED_TAPS = "trueband.fed_run:optimized_taps"


def optimized_taps(
    model_class: str, config: dict[str, Any], state: Arrays, inputs: Inputs, entering: Mapping[str, Array], dtype: str
) -> dict[str, Any]:
    """`trueband.optimized` on weights under the Hub's keys, in a dtype.

    Raises:
        ValueError: weights under keys that the model does not have, or without some that it has.
    """
    import torch

    from trueband.optimized import models

    recorded = described(config, state)
    model: Any = getattr(models, model_class)(recorded.config)
    tensors = {name: torch.tensor(array) for name, array in state.items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    tied = ("embed_tokens.weight", "lm_head.weight", "lm_head.decoder.weight", "lm_head.decoder.bias")
    untied = [name for name in missing if not name.endswith(tied)]
    if untied or unexpected:
        raise ValueError(f"state: expected the keys of {model_class}, got missing {untied}, unexpected {unexpected}")
    return fed_taps(model.to(getattr(torch, dtype)).eval(), recorded, inputs, entering)


def fed_taps(model: Any, recorded: Recorded, inputs: Inputs, entering: Mapping[str, Array]) -> dict[str, Any]:
    """Taps of a model that has the Hub's names, on its own device and in its own dtype.

    Args:
        model: of the class `recorded.model_class`, in eval mode.
        entering: what each stage reads; cast to the dtype of the model.
    """
    import torch

    weights = next(model.parameters())
    fed = {name: torch.tensor(array).to(weights.device, weights.dtype) for name, array in entering.items()}
    run = _Run(model, recorded, fed)
    tensors = {name: torch.tensor(array).to(weights.device) for name, array in inputs.items()}
    try:
        with torch.no_grad():
            output = model(**tensors)
    finally:
        run.remove()
    if recorded.has_logits:
        run.taps["logits"] = output.logits
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

    def __init__(self, model: Any, recorded: Recorded, fed: Mapping[str, Any]) -> None:
        self.taps: dict[str, Any] = {}
        self.names: list[str] = []
        self.wiring: list[str] = []
        self._fed = fed
        self._hooks: list[Any] = []
        prefix = PREFIXES[recorded.family] if recorded.has_logits else ""
        before: dict[str, str] = {}  # side -> the stage before
        for stage in recorded.stages:
            side, kind, number = parts_of(stage)
            start = f"{prefix}{side}." if side else prefix
            if kind == "embeddings":
                where = f"{start}layernorm_embedding" if side else f"{start}embeddings"
                self._keep(model, where, stage)
            elif kind == "logits":
                self._feed(model, "lm_head", stage, (before["decoder" if "decoder" in before else side],))
                self.names.append(stage)
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
                self._keep(model, layer, stage)
            before[side] = stage

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

    def _feed(self, model: Any, where: str, stage: str, read: tuple[str, ...]) -> None:
        """Put the recorded inputs of a stage in the place of its first arguments, which `read` should have given."""
        names = (stage, "encoded")[: len(read)]

        def feed(module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            for argument, source in zip(arguments, read, strict=False):
                if not _same(argument, self.taps.get(source)):
                    self.wiring.append(f"{stage} does not read what {source} gave")
            return (*(self._fed[name] for name in names), *arguments[len(read) :])

        self._hooks.append(model.get_submodule(where).register_forward_pre_hook(feed))


def _same(given: Any, source: Any) -> bool:
    """Bit for bit; NaN is NaN."""
    if source is None or given.shape != source.shape:
        return False
    return bool(((given == source) | (given.isnan() & source.isnan())).all())


def device_told(model: Any) -> str:
    """Of the weights, such as "cpu" or "cuda:0"."""
    return str(next(model.parameters()).device)
