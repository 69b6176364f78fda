"""Input embeddings of RoBERTa-type models. b batch, n tokens, D hidden size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trueband.optimized.layers.inputs import (
    Config,
    check_embeddings,
    check_ids,
    check_one_input,
    check_row_ids,
    counted_positions,
    device_of,
)


class Embeddings(nn.Module):
    """dropout(LayerNorm(word + type + position)), without the position where positions are relative.

    Positions start at pad_token_id + 1 and count the ids that are not padding, wherever the padding stands, so any
    number of pads is harmless. `inputs_embeds` do not show the padding: all tokens are counted.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.max_length, self.absolute = config.max_length, config.absolute_positions
        size, pad = config.hidden_size, config.pad_token_id
        self.word_embeddings = nn.Embedding(config.vocab_size, size, padding_idx=pad)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, size, padding_idx=pad)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, size)
        self.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past: int = 0,
        counts: Tensor | None = None,
    ) -> Tensor:
        """(b, n) ids, or (b, n, D) inputs_embeds in place of the word embeddings -> (b, n, D).

        `past`: how many tokens were read before; `counts` (b,), of them those that were not padding.

        Raises:
            ValueError, TypeError: not exactly one of input_ids and inputs_embeds; ids of another shape or out of
                range; more tokens than there are positions.
        """
        config, weight = self.config, self.word_embeddings.weight
        check_one_input("input_ids", input_ids, "inputs_embeds", inputs_embeds)
        if input_ids is not None:
            input_ids = check_ids("input_ids", input_ids, None, config.vocab_size, weight.device)
            shape, device = (input_ids.shape[0], input_ids.shape[1]), device_of(weight, input_ids)
        else:
            assert inputs_embeds is not None
            check_embeddings("inputs_embeds", inputs_embeds, weight)
            shape, device = (inputs_embeds.shape[0], inputs_embeds.shape[1]), device_of(weight, inputs_embeds)
        positions = self.positions(input_ids, position_ids, shape, past, counts, device)
        if token_type_ids is None:
            token_type_ids = torch.zeros(shape, dtype=torch.int64, device=device)
        else:
            token_type_ids = check_row_ids("token_type_ids", token_type_ids, shape, config.type_vocab_size, device)
        if inputs_embeds is None:
            inputs_embeds = self.word_embeddings(input_ids)
        embedded = inputs_embeds + self.token_type_embeddings(token_type_ids)
        if positions is not None:
            embedded = embedded + self.position_embeddings(positions)
        result: Tensor = self.dropout(self.LayerNorm(embedded))
        return result

    def positions(
        self,
        input_ids: Tensor | None,
        position_ids: Tensor | None,
        shape: tuple[int, int],
        past: int,
        counts: Tensor | None,
        device: torch.device | None = None,
    ) -> Tensor | None:
        """(b, n) position ids, None where they are relative; ValueError when there are more tokens than positions."""
        device = self.word_embeddings.weight.device if device is None else device
        name = "inputs_embeds" if input_ids is None else "input_ids"
        if position_ids is not None:
            most = self.config.max_position_embeddings
            position_ids = check_row_ids("position_ids", position_ids, shape, most, device)
            if self.absolute:
                return position_ids
        if not self.absolute:  # distances count every token, padding too
            if past + shape[1] > self.max_length:
                raise ValueError(f"{name}: expected at most {self.max_length} tokens, got {past + shape[1]}")
            return None
        if input_ids is None:
            counted = torch.ones(shape, dtype=torch.bool, device=device)
        else:
            counted = input_ids != self.config.pad_token_id
        positions: Tensor = counted_positions(counted, counts, name, self.config.pad_token_id + 1, self.max_length)
        return positions
