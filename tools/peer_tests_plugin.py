"""A plugin of pytest: every model of transformers is patched as soon as it is made.

    pytest -p peer_tests_plugin

A model says that it is made by `post_init`, which the models inside it have said before.
"""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from trueband.integrations.transformers import patch
from trueband.integrations.transformers.patching import band_layers

_post_init = PreTrainedModel.post_init


def post_init(self: Any) -> None:
    _post_init(self)
    if band_layers(self):
        patch(self)


PreTrainedModel.post_init = post_init  # type: ignore[method-assign]
