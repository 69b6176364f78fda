"""The golden that a recording of a peer becomes; a part of `record_peer.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.golden.recordings.recording import recipe_of
from trueband.golden.store import Golden, Metadata, Source


def golden_of(name: str, told: dict[str, Any], arrays: dict[str, np.ndarray], why: list[str]) -> Golden:
    recipe, sha256 = recipe_of({key.removeprefix("input."): arrays[key] for key in arrays if key.startswith("input.")})
    version = told["transformers"]
    return Golden(
        Metadata(
            id=name,
            kind="peer",
            claim=f"transformers {version}: {told['what']}",
            checkpoint=None,
            run="peer",
            model_class=told["class"],
            inputs=recipe,
            output="hidden states, logits, loss",
            dtype="float64",
            source=Source("transformers, recorded here", "huggingface/transformers", None, f"v{version}"),
            license="Apache-2.0; numbers only",
            generator="tools/record_peer.py",
            inputs_sha256=sha256,
            why=why,
            details=told,
        ),
        arrays,
    )
