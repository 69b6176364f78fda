"""How sequences are decoded, under the Hub's names. Data only: both witnesses read it, neither computes here."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Self

# Options of the Hub's `generate` that are not implemented and would change what is written, with the values that they
# may have: these ask for nothing. None always does.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "assistant_early_exit": (),
    "bad_words_ids": ([],),
    "begin_suppress_tokens": ([],),
    "constraints": ([],),
    "diversity_penalty": (0,),
    "dola_layers": (),
    "encoder_no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1,),
    "epsilon_cutoff": (0,),
    "eta_cutoff": (0,),
    "exponential_decay_length_penalty": (),
    "force_words_ids": ([],),
    "guidance_scale": (1,),
    "max_time": (),
    "min_p": (),
    "num_beam_groups": (1,),
    "penalty_alpha": (0,),
    "prompt_lookup_num_tokens": (),
    "remove_invalid_values": (False,),
    "renormalize_logits": (False,),
    "sequence_bias": ({},),
    "stop_strings": ([],),
    "suppress_tokens": ([],),
    "token_healing": (False,),
    "top_h": (),
    "typical_p": (1,),
    "use_mtp": (False,),
    "watermarking_config": (),
}
# Options that change how fast or in what memory something is written, or concern another way of decoding: passed over.
HARMLESS = (
    "assistant_confidence_threshold",
    "assistant_ensemble_weight",
    "assistant_lookbehind",
    "cache_config",
    "cache_implementation",
    "compile_config",
    "continuous_batching_config",
    "disable_compile",
    "is_assistant",
    "low_memory",
    "max_cache_len",
    "max_matching_ngram_size",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "prefill_chunk_size",
    "return_legacy_cache",
    "speculation_type",
    "target_lookbehind",
    "transformers_version",
)
# Asked of one call: these add to the answer, and change nothing in what is written.
ANSWERS = ("output_attentions", "output_hidden_states", "output_logits", "output_scores")
TOKENS = ("forced_bos_token_id", "forced_eos_token_id", "pad_token_id", "eos_token_id", "decoder_start_token_id")


@dataclass
class GenerationConfig:
    """Options of decoding, for one call. Lengths are in tokens of the decoder, its prompt included.

    Attributes:
        max_length: of prompt and new tokens together.
        max_new_tokens: takes precedence over max_length.
        min_length, min_new_tokens: before, no end token; the latter does not count the prompt and takes precedence.
        num_beams: 1 is greedy decoding or sampling.
        num_return_sequences: best sequences (beams) or draws (sampling) for each row of the batch.
        length_penalty: a finished beam's score is its log-probability / (new tokens ** length_penalty).
        early_stopping: True: stop when `num_beams` beams have finished. False: when the best running beam, at its
            present length, cannot beat the worst finished one. "never": when it cannot at any length.
        do_sample: draw from the distribution instead of taking its maximum.
        temperature, top_k, top_p: transform the distribution before sampling, in this order; top_k 0 and
            top_p 1.0 keep all.
        repetition_penalty: logits of tokens that are there already are divided (positive) or multiplied (negative).
        no_repeat_ngram_size: no n-gram of this size twice; 0: any.
        forced_bos_token_id: the first token after a prompt of one token.
        forced_eos_token_id: the last token at max_length.
        bos_token_id, pad_token_id, eos_token_id, decoder_start_token_id: None: those of the model's configuration.
            Several end tokens may be given.
        return_dict_in_generate: whether `generate` returns the beams' scores besides the sequences.

    Fields that were given or set, even to their defaults, take precedence over those of a model; the others do not.
    """

    _from_model_config: ClassVar[bool] = False  # asked for by trainers of transformers

    max_length: int = 20
    max_new_tokens: int | None = None
    min_length: int = 0
    min_new_tokens: int | None = None
    num_beams: int = 1
    num_return_sequences: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | None = None
    bos_token_id: int | None = None
    pad_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None
    decoder_start_token_id: int | None = None
    use_cache: bool = True
    return_dict_in_generate: bool = False

    def __new__(cls, *values: Any, **named: Any) -> Self:
        """Keep in mind which fields are given."""
        made = super().__new__(cls)
        names = [each.name for each in dataclasses.fields(cls)]
        object.__setattr__(made, "given", {*names[: len(values)], *named})
        object.__setattr__(made, "complete", False)
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__dataclass_fields__:
            self.from_dict({name: value})  # says what is wrong with it, if anything is
            return
        object.__setattr__(self, name, value)
        if self.__dict__.get("complete"):
            self.__dict__.setdefault("given", set()).add(name)

    def update(self, defaults_only: bool = False, **options: Any) -> dict[str, Any]:
        """Set options by name; `defaults_only`: those that are None. Returns those that are no fields."""
        for name, value in options.items():
            missing = name in self.__dataclass_fields__ and getattr(self, name) is None and value is not None
            if missing or (name in self.__dataclass_fields__ and not defaults_only):
                setattr(self, name, value)
        return {name: value for name, value in options.items() if name not in self.__dataclass_fields__}

    @classmethod
    def _get_default_generation_params(cls) -> dict[str, Any]:
        """All options where nobody says anything, under the name by which trainers of transformers ask for them."""
        return cls().to_dict()

    def given_options(self) -> dict[str, Any]:
        """The fields that were given or set."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name in self.__dict__["given"]}

    def __post_init__(self) -> None:
        self.validate()
        object.__setattr__(self, "complete", True)

    def validate(self) -> None:
        """Bring the fields into their form; ValueError for wrong ones. `generate` asks for this, as they may change."""
        if isinstance(self.eos_token_id, list):
            object.__setattr__(self, "eos_token_id", tuple(self.eos_token_id))
        for name in ("max_length", "num_beams", "num_return_sequences"):
            self._check(name, is_int(getattr(self, name), 1), "an int >= 1")
        for name in ("min_length", "no_repeat_ngram_size", "top_k"):
            self._check(name, is_int(getattr(self, name), 0), "an int >= 0")
        for name in ("max_new_tokens", "min_new_tokens"):
            least = 1 if name == "max_new_tokens" else 0
            value = getattr(self, name)
            self._check(name, value is None or is_int(value, least), f"an int >= {least} or None")
        self._check("early_stopping", self.early_stopping in (True, False, "never"), "True, False or 'never'")
        self._check("length_penalty", _is_finite(self.length_penalty), "a finite number")
        for name in ("temperature", "repetition_penalty"):
            value = getattr(self, name)
            self._check(name, _is_finite(value) and value > 0, "a finite number > 0")
        self._check("top_p", _is_finite(self.top_p) and 0 < self.top_p <= 1, "a number > 0, <= 1")
        if self.do_sample:
            self._check("num_beams", self.num_beams == 1, "1 with do_sample (beams are not sampled)")
        else:
            most = self.num_beams
            self._check("num_return_sequences", self.num_return_sequences <= most, f"num_beams ({most}) at most")

    def _check(self, name: str, right: bool, expected: str) -> None:
        if not right:
            raise ValueError(f"{name}: expected {expected}, got {getattr(self, name)!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Options from a `generation_config.json` or `config.json` mapping; None says nothing, nor do other keys.

        Raises:
            ValueError: an option of the Hub that is not implemented and would change what is written, by its name.
        """
        for name in NEUTRAL:
            refuse_unless_neutral(name, values.get(name))
        known = {each.name for each in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known and value is not None})

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def check_tokens(self, vocabulary: int) -> None:
        """ValueError where a token that is given is none of the vocabulary's."""
        for name in TOKENS:
            value = getattr(self, name)
            for token in value if isinstance(value, tuple) else (value,):
                right = token is None or (is_int(token, 0) and token < vocabulary)
                self._check(name, right, f"ids from 0 to {vocabulary - 1}")

    def lengths(self, prompt: int) -> tuple[int, int]:
        """(max_length, min_length) of a decoder's sequence whose prompt has that many tokens."""
        max_length = self.max_length if self.max_new_tokens is None else prompt + self.max_new_tokens
        min_length = self.min_length if self.min_new_tokens is None else prompt + self.min_new_tokens
        return max_length, min_length


def refuse_unless_neutral(name: str, value: Any) -> None:
    """Raise ValueError for an option that is not implemented, unless its value asks for nothing."""
    if value is None or value in NEUTRAL[name]:
        return
    accepted = " or ".join(repr(each) for each in (None, *NEUTRAL[name]))
    raise ValueError(f"{name}: expected {accepted} (the option is not implemented), got {value!r}")


def is_int(value: Any, least: int) -> bool:
    """An integer of any kind, no bool, that is not less."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def _is_finite(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)
