"""Factories of models as a user would write them: the peer's, and the peer's with a wrong normalization."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import trueband
from trueband.adapters.hf_models import factory as peer

right = replace(peer, architectures=("longformer",))


def _wrong(architecture: str, class_name: str, config: dict[str, Any], state: dict[str, Any]) -> Any:
    model = peer.factory(architecture, class_name, config, state)
    for module in model.modules():
        if hasattr(module, "eps"):
            module.eps = 0.1  # fault
    return model


wrong = trueband.ModelTarget(_wrong, architectures=("longformer",), least_window=2, one_window=True, whole_windows=True)
