"""Position ids of XLM-RoBERTa."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.golden.judged import judge_published
from trueband.golden.records import Outcome
from trueband.golden.registry import Context, runner
from trueband.golden.store import Golden


@runner("position_ids", form="position_ids")
def position_ids(golden: Golden, context: Context) -> Outcome:
    """Judge position ids of ids, or of embeddings, which do not show what is padding. They are integers: exact."""
    recipe = golden.metadata.inputs
    arguments: dict[str, Any] = {"padding_id": recipe["padding_idx"]}
    if "input_ids" in recipe:
        arguments["input_ids"] = np.array(recipe["input_ids"])
    else:
        arguments["inputs_embeds"] = np.zeros(recipe["inputs_embeds_shape"], dtype=np.float32)
    return judge_published(golden, context.witness("position_ids")(**arguments))
