"""The tables of words of a model: reading and replacing them, changing their size, tying the head to them.

Shapes: V vocabulary, D hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from trueband.optimized.attention.arguments import check_integer
from trueband.reference.config import family_of_config

SPECIAL = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "sep_token_id")
SPREAD = 1e-9  # of new words around the mean of the old ones: their variance, as a part of that of the old ones


class Vocabulary(nn.Module):
    """What every model can do with its words. Other tables of the same words (of LED's stacks) follow the first."""

    config: Any

    @property
    def base_model(self) -> Any:
        """The model without a head."""
        name = self.base_model_prefix
        return getattr(self, name) if name in self._modules else self

    @property
    def base_model_prefix(self) -> str:
        return family_of_config(type(self.config)).prefix.removesuffix(".")

    def get_encoder(self) -> nn.Module:
        encoder: nn.Module = self.base_model.encoder
        return encoder

    def get_decoder(self) -> nn.Module:
        """The decoder; of a model that is one stack, the model without a head."""
        base = self.base_model
        decoder: nn.Module = base.decoder if "decoder" in base._modules else base
        return decoder

    def get_input_embeddings(self) -> nn.Embedding:
        """The table (V, D) of the words."""
        base = self.base_model
        table: nn.Embedding = base.shared if "shared" in base._modules else base.embeddings.word_embeddings
        return table

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Put another table in the place of the words; what is tied to them follows."""
        base, before = self.base_model, self.get_input_embeddings()
        if "shared" in base._modules:
            base.shared = value
            for stack in (base.encoder, base.decoder):
                if stack.embed_tokens is before:
                    stack.embed_tokens = value
        else:
            base.embeddings.word_embeddings = value
        self.tie_weights()

    def get_output_embeddings(self) -> nn.Linear | None:
        """The map to the logits of the words, (V, D); None without a language-model head."""
        head = self._modules.get("lm_head")
        output = getattr(head, "decoder", head)
        return output if isinstance(output, nn.Linear) else None

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        head: Any = self._modules.get("lm_head")
        if head is None:
            raise ValueError(f"{type(self).__name__}: expected a language-model head, got a model without one")
        if isinstance(head, nn.Linear):
            self.add_module("lm_head", new_embeddings)
        else:
            head.decoder = new_embeddings
            head.bias = new_embeddings.bias

    def tie_weights(self, **_: Any) -> None:
        """Make the weights one that the configuration says are one."""
        words, output = self.get_input_embeddings(), self.get_output_embeddings()
        if self.config.tie_word_embeddings:
            base = self.base_model
            for stack in (base.encoder, base.decoder) if "shared" in base._modules else ():
                stack.embed_tokens = words
            if output is not None:
                output.weight = words.weight
                output.out_features = words.weight.shape[0]
        head: Any = self._modules.get("lm_head")
        if head is not None and output is not head and output is not None and output.bias is not None:
            head.bias = output.bias

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Embedding:
        """A vocabulary of another size, in place; what is tied to the words follows.

        Args:
            new_num_tokens: how many words; None: as many as there are.
            pad_to_multiple_of: round the number up to a multiple of this.
            mean_resizing: new words lie around the mean of the old ones; else they are drawn as fresh weights are.
                New biases are the mean of the old ones, or 0, and 0 in LED.

        Returns:
            The table of the words.

        Raises:
            ValueError, TypeError: a size that leaves out a special token, or is no int.
        """
        config = self.config
        size = config.vocab_size if new_num_tokens is None else new_num_tokens
        check_integer("new_num_tokens", size, least=1)
        if pad_to_multiple_of is not None:
            check_integer("pad_to_multiple_of", pad_to_multiple_of, least=1)
            size = -(-size // pad_to_multiple_of) * pad_to_multiple_of
        special = [token for name in SPECIAL if isinstance(token := getattr(config, name, None), int)]
        special = [token for token in special if token < config.vocab_size]
        if size <= max(special, default=-1):
            raise ValueError(
                f"new_num_tokens: expected more than {max(special)}, the largest special token, got {size}"
            )
        if size != config.vocab_size:
            self._resize(size, config.initializer_range, mean_resizing)
        return self.get_input_embeddings()

    def _resize(self, size: int, std: float, mean: bool) -> None:
        """Change every table, the head's too, and the configuration."""
        output, tied = self.get_output_embeddings(), self.config.tie_word_embeddings
        if output is not None and not tied:
            output.weight, output.out_features = resized(output.weight, size, std, mean), size
        if output is not None and output.bias is not None:
            output.bias = resized_bias(output.bias, size, mean)
        for table in self._tables():
            table.weight, table.num_embeddings = resized(table.weight, size, std, mean), size
        if "final_logits_bias" in self._buffers:
            self._buffers["final_logits_bias"] = grown(self.get_buffer("final_logits_bias"), size, 0)
        self.config.vocab_size = size
        self.tie_weights()

    def _tables(self) -> Iterator[nn.Embedding]:
        base = self.base_model
        tables = [self.get_input_embeddings()]
        if "shared" in base._modules:
            tables += [base.encoder.embed_tokens, base.decoder.embed_tokens]
        return iter({id(table): table for table in tables}.values())


def resized(weight: Tensor, size: int, std: float, mean: bool) -> nn.Parameter:
    """(V, D) -> (size, D): what was there, and new rows behind it."""
    fresh = weight.new_empty(size, weight.shape[1])
    nn.init.normal_(fresh, std=std)
    kept, old = min(size, weight.shape[0]), weight.detach()
    if mean and size > kept:
        wide = old if old.dtype == torch.float64 else old.float()
        spread = wide.var(dim=0, correction=0).mul(SPREAD).sqrt()
        fresh[kept:] = wide.mean(dim=0) + spread * torch.randn(size - kept, *spread.shape, dtype=wide.dtype).to(wide)
    fresh[:kept] = old[:kept]
    return nn.Parameter(fresh, requires_grad=weight.requires_grad)


def resized_bias(bias: Tensor, size: int, mean: bool) -> nn.Parameter:
    """(V,) -> (size,)."""
    new = float(bias.detach().mean()) if mean else 0.0
    return nn.Parameter(grown(bias.detach(), size, new), requires_grad=bias.requires_grad)


def grown(values: Tensor, size: int, new: float) -> Tensor:
    """(.., V) -> (.., size)."""
    result = values.new_full((*values.shape[:-1], size), new)
    kept = min(size, values.shape[-1])
    result[..., :kept] = values[..., :kept]
    return result
