"""trueband's attention inside models of transformers (tested with 4.46.3 and 5.23.0).

    model = trueband.integrations.transformers.patch(model)

`patch` and `unpatch` take a loaded model; `register` makes `attn_implementation="trueband"` known to transformers.
"""

from trueband.integrations.transformers.interface import register
from trueband.integrations.transformers.patching import patch, unpatch

__all__ = ["patch", "register", "unpatch"]
