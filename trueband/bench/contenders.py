"""Who is measured at which level, and what has to be installed for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from trueband.bench.shape import Shape

OURS, CEILING = "trueband", "sgemm"


class Work(NamedTuple):
    """Something to be timed.

    Attributes:
        compute: the forward pass; returns a tensor or several.
        inputs: tensors to differentiate by, where the shape asks for a backward pass.
        less: a part of `compute` that does not count: it is timed alone, and taken off.
        scale: the time counts this often.
        held: bytes of a mask that was made before: it counts as memory, and not as time.
    """

    compute: Callable[[], Any]
    inputs: Sequence[Any] = ()
    less: Callable[[], Any] | None = None
    scale: float = 1.0
    held: int = 0


@dataclass(frozen=True)
class Contender:
    """One implementation at one level.

    Attributes:
        story: what it is, for the legend.
        builder: module:function that makes the `Work` of a shape.
        package: the package that has to be importable besides torch.
        forward_only: whether it has no backward pass.
    """

    name: str
    level: str
    story: str
    builder: str
    package: str = "torch"
    forward_only: bool = False

    def applies(self, shape: Shape) -> bool:
        return self.level == shape.level and not (self.forward_only and shape.backward)

    @property
    def installed(self) -> bool:
        return find_spec(self.package) is not None

    def build(self, shape: Shape) -> Work:
        """Inputs, weights and masks; nothing of it is timed."""
        module, name = self.builder.split(":")
        work: Work = getattr(import_module(module), name)(shape)
        return work


_HERE = "trueband.bench"
CEILING_STORY = "the ceiling: as many multiply-adds in one large square matrix product"
PATCHED, PATCHED_STORY = "hf-led patched", "the same with trueband's attention in it (patch)"
CONTENDERS = (
    Contender(OURS, "operator", "trueband.optimized.band_attention", f"{_HERE}.operators:ours"),
    Contender(CEILING, "operator", CEILING_STORY, f"{_HERE}.ceiling:sgemm"),
    Contender(
        "hf-led core",
        "operator",
        "transformers' LEDEncoderSelfAttention, less the time of its projections",
        f"{_HERE}.modules:peer_core",
        "transformers",
    ),
    Contender(
        "sdpa",
        "operator",
        "torch's scaled_dot_product_attention with a dense mask, made before",
        f"{_HERE}.operators:sdpa",
    ),
    Contender(
        "flex",
        "operator",
        "torch's flex_attention, not compiled, with a block mask, made before",
        f"{_HERE}.operators:flex",
        forward_only=True,
    ),
    Contender(
        "flex compiled", "operator", "the same, compiled before", f"{_HERE}.operators:flex_compiled", forward_only=True
    ),
    Contender(
        "local-attention",
        "operator",
        "lucidrains' LocalAttention with exact windows: the nearest it has, since "
        "it computes whole blocks of the window",
        f"{_HERE}.operators:local_attention",
        "local_attention",
    ),
    *(
        entry
        for level in ("prefill", "decode")
        for entry in (
            Contender(OURS, level, "trueband.optimized.band_attention", f"{_HERE}.decoders:ours"),
            Contender(CEILING, level, CEILING_STORY, f"{_HERE}.ceiling:sgemm"),
            Contender(
                "sdpa",
                level,
                "torch's scaled_dot_product_attention with enable_gqa and a dense mask, made before",
                f"{_HERE}.decoders:sdpa",
            ),
            Contender(
                "flex compiled",
                level,
                "torch's flex_attention with enable_gqa and a block mask, compiled before",
                f"{_HERE}.decoders:flex_compiled",
                forward_only=True,
            ),
            Contender(
                "hf eager",
                level,
                "transformers' eager attention of Mistral, with its additive mask, made before",
                f"{_HERE}.decoders:eager",
                "transformers",
            ),
        )
    ),
    Contender(
        "sdpa sliced", "decode", "the same as sdpa, given the keys of the window alone", f"{_HERE}.decoders:sdpa_sliced"
    ),
    Contender(OURS, "module", "trueband.optimized's BandSelfAttention", f"{_HERE}.modules:ours"),
    Contender(CEILING, "module", CEILING_STORY, f"{_HERE}.ceiling:sgemm"),
    Contender("hf-led", "module", "transformers' LEDEncoderSelfAttention", f"{_HERE}.modules:peer", "transformers"),
    Contender(PATCHED, "module", PATCHED_STORY, f"{_HERE}.modules:patched", "transformers"),
    Contender(OURS, "encoder", "trueband.optimized's LEDEncoder", f"{_HERE}.encoders:ours"),
    Contender(CEILING, "encoder", CEILING_STORY, f"{_HERE}.ceiling:sgemm"),
    Contender("hf-led", "encoder", "transformers' LEDEncoder", f"{_HERE}.encoders:peer", "transformers"),
    Contender(PATCHED, "encoder", PATCHED_STORY, f"{_HERE}.encoders:patched", "transformers"),
    Contender(OURS, "generation", "trueband.optimized's LEDForConditionalGeneration", f"{_HERE}.generation:ours"),
    Contender(
        "hf-led", "generation", "transformers' LEDForConditionalGeneration", f"{_HERE}.generation:peer", "transformers"
    ),
)
NAMES = tuple(dict.fromkeys(entry.name for entry in CONTENDERS))


def contenders(shape: Shape, wanted: tuple[str, ...]) -> list[Contender]:
    """Return the contenders that apply and are installed, ours first."""
    return [entry for entry in CONTENDERS if entry.name in wanted and entry.applies(shape) and entry.installed]


def contender(level: str, name: str) -> Contender:
    return next(entry for entry in CONTENDERS if (entry.level, entry.name) == (level, name))
