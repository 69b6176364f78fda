"""Input embeddings of RoBERTa-type encoders. b batch, n tokens, D hidden size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trueband.optimized.models.inputs import Config, check_embeddings, check_ids, positions_from_ids


class Embeddings(nn.Module):
    """dropout(LayerNorm(word + type + position)).

    Positions start at pad_token_id + 1 and count the ids that are not padding, wherever the padding stands, so any
    number of pads is harmless. From `inputs_embeds` nobody can tell the padding: all tokens are counted.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.max_length = config.max_length
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
    ) -> Tensor:
        """(b, n) ids, or (b, n, D) inputs_embeds in place of the word embeddings -> (b, n, D).

        Raises:
            ValueError, TypeError: not exactly one of input_ids and inputs_embeds; ids of another shape or out of
                range; more tokens than there are positions.
        """
        config, weight = self.config, self.word_embeddings.weight
        if (input_ids is None) == (inputs_embeds is None):
            got = "neither" if input_ids is None else "both"
            raise ValueError(f"input_ids: expected exactly one of input_ids and inputs_embeds, got {got}")
        if input_ids is not None:
            input_ids = check_ids("input_ids", input_ids, None, config.vocab_size, weight.device)
            shape = (input_ids.shape[0], input_ids.shape[1])
        else:
            assert inputs_embeds is not None
            check_embeddings("inputs_embeds", inputs_embeds, weight)
            shape = (inputs_embeds.shape[0], inputs_embeds.shape[1])
        if position_ids is None:
            position_ids = self.positions(input_ids, shape)
        else:
            position_ids = check_ids("position_ids", position_ids, shape, config.max_position_embeddings, weight.device)
        if token_type_ids is None:
            token_type_ids = torch.zeros(shape, dtype=torch.int64, device=weight.device)
        else:
            token_type_ids = check_ids("token_type_ids", token_type_ids, shape, config.type_vocab_size, weight.device)
        if inputs_embeds is None:
            inputs_embeds = self.word_embeddings(input_ids)
        embedded = inputs_embeds + self.token_type_embeddings(token_type_ids) + self.position_embeddings(position_ids)
        result: Tensor = self.dropout(self.LayerNorm(embedded))
        return result

    def positions(self, input_ids: Tensor | None, shape: tuple[int, int]) -> Tensor:
        """(b, n) position ids; ValueError when there are more tokens than positions."""
        pad, limit = self.config.pad_token_id, self.max_length
        if input_ids is not None:
            counted: Tensor = positions_from_ids(input_ids, pad, limit)
            return counted
        if shape[1] > limit:
            raise ValueError(f"inputs_embeds: expected at most {limit} tokens, got {shape[1]}")
        device = self.position_embeddings.weight.device
        return torch.arange(pad + 1, pad + 1 + shape[1], device=device).expand(shape)
