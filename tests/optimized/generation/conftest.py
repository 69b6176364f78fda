"""Small models that write, with the peer's beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from trueband.optimized import LEDForConditionalGeneration, XLMRobertaForCausalLM
from trueband.reference import LEDConfig, XLMRobertaConfig


@dataclass
class Writers:
    """Ours and the peer's with the same weights in float32, and what they are given."""

    ours: Any
    theirs: Any
    given: dict[str, Tensor]

    def both(self, **options: Any) -> tuple[Any, Any]:
        """What both generate, from the same state of torch's generator; the scores of the peer's beams too."""
        results = []
        for model, more in ((self.ours, {}), (self.theirs, {"output_scores": True})):
            torch.manual_seed(5)
            results.append(model.generate(**self.given, return_dict_in_generate=True, **options, **more))
        return results[0], results[1]


def varied(peer: Any) -> Any:
    """Weights that make a model say something: positions and layers that outweigh the words.

    It never says padding: the peer's generate would give that a position, where its forward gives it none.
    """
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in peer.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim == 2:
                words = "word_embeddings" in name or "shared" in name or "lm_head" in name
                weight.copy_(noise * (0.5 if words else 2.0 if "position" in name else 1.0))
            else:
                weight.copy_(0.2 * noise + (1 if "norm" in name.lower() and name.endswith("weight") else 0))
        bias = peer.lm_head.bias if peer.lm_head.bias is not None else peer.final_logits_bias[0]
        bias[1], bias[2] = -1000, 2.0
    return peer.eval()


@pytest.fixture(scope="session")
def led_writers(small_led: dict[str, Any]) -> Writers:
    peer = varied(transformers.LEDForConditionalGeneration(transformers.LEDConfig(**small_led, attention_window=4)))
    ours = LEDForConditionalGeneration(LEDConfig(**small_led, attention_window=4)).eval()
    ours.load_state_dict(peer.state_dict(), strict=True)
    ids = torch.randint(3, 40, (3, 13), generator=torch.Generator().manual_seed(3))
    ids[0, 9:] = 1
    flags = torch.zeros_like(ids)
    flags[:, 0] = flags[1, 5] = 1
    return Writers(ours, peer, {"input_ids": ids, "attention_mask": (ids != 1).long(), "global_attention_mask": flags})


@pytest.fixture(scope="session")
def roberta_writers(small: dict[str, Any]) -> Writers:
    """The peer's generate gives the first token position 0, where XLM-RoBERTa has it at 2 (so does the peer's forward):
    its position table is moved up by 2.
    """
    config = transformers.XLMRobertaConfig(**small | {"is_decoder": True, "attn_implementation": "eager"})
    peer = varied(transformers.XLMRobertaForCausalLM(config))
    ours = XLMRobertaForCausalLM(XLMRobertaConfig(**small, is_decoder=True)).eval()
    ours.load_state_dict(peer.state_dict(), strict=True)
    table = peer.roberta.embeddings.position_embeddings.weight.data
    table.copy_(table.roll(-2, 0))
    ids = torch.randint(3, 40, (3, 6), generator=torch.Generator().manual_seed(3))
    ids[1, :2] = 1
    return Writers(ours, peer, {"input_ids": ids, "attention_mask": (ids != 1).long()})


@pytest.fixture(params=["led", "roberta"])
def writers(request: pytest.FixtureRequest, led_writers: Writers, roberta_writers: Writers) -> Writers:
    return led_writers if request.param == "led" else roberta_writers
