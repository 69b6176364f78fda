"""The encoder of LED (arXiv 2004.05150, section 7): Longformer's attention, linear memory, no padding to the window.

Shapes: b batch, h heads, n tokens, D hidden size, L layers, x largest number of global tokens in a row of the batch.
"""

from __future__ import annotations

from torch import Tensor, nn

from trueband.optimized.layers.blocks import Attended, attention_fields
from trueband.optimized.layers.calling import called_as_on_the_hub
from trueband.optimized.layers.inputs import check_binary_mask, check_head_masks
from trueband.optimized.layers.led_layers import LEDEncoderLayer
from trueband.optimized.layers.led_outputs import LEDEncoderBaseModelOutput
from trueband.optimized.layers.led_stack import LEDStack
from trueband.reference.config import LEDConfig


class LEDEncoder(LEDStack):
    """Layer i sees `config.window(i)` tokens on each side."""

    def __init__(self, config: LEDConfig, embed_tokens: nn.Embedding | None = None) -> None:
        super().__init__(config, embed_tokens, config.max_encoder_position_embeddings, config.encoder_layerdrop)
        self.layers = nn.ModuleList(LEDEncoderLayer(config, i) for i in range(config.encoder_layers))

    @called_as_on_the_hub()
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        global_attention_mask: Tensor | None = None,
        *,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> LEDEncoderBaseModelOutput:
        """The encoder on one batch; arguments as in `LEDModel.forward`.

        A layer that is dropped in training hands its input on, with zeros for its attentions.
        """
        config = self.config
        output_attentions = config.output_attentions if output_attentions is None else output_attentions
        output_hidden_states = config.output_hidden_states if output_hidden_states is None else output_hidden_states
        x = self.embed(input_ids, inputs_embeds)
        mask = check_binary_mask("attention_mask", attention_mask, x)
        global_mask = check_binary_mask("global_attention_mask", global_attention_mask, x)
        head_masks = check_head_masks(head_mask, config.encoder_layers, config.encoder_attention_heads, x.device)
        states: list[Tensor] = [x]
        attended: list[Attended] = []
        for i, layer in enumerate(self.layers):
            if self.drops_layer():
                own = self.nothing(x, i, mask, global_mask) if output_attentions else Attended(x)
            else:
                x, own = self.run(layer, x, mask, global_mask, head_masks[i], output_attentions)
            states.append(x)
            attended.append(own)
        return LEDEncoderBaseModelOutput(
            last_hidden_state=x,
            hidden_states=tuple(states) if output_hidden_states else None,
            **attention_fields(attended, output_attentions),
        )

    def nothing(self, x: Tensor, layer: int, mask: Tensor | None, global_mask: Tensor | None) -> Attended:
        """Attentions of a dropped layer: zeros of the shapes that the layer would have returned."""
        columns = 0
        if global_mask is not None:
            real = global_mask if mask is None else global_mask & mask
            columns = int(real.sum(dim=1).max())
        table = x.new_zeros(x.shape[0], self.config.encoder_attention_heads, x.shape[1], columns)
        local = x.new_zeros(*table.shape[:3], columns + 2 * self.config.window(layer) + 1)
        return Attended(x, local, table if columns else None)
