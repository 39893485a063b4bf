"""Networks of an encoder and a decoder, such as T5, BART and Marian: what they are taught of a text
and its answer, and the torch module. Without torch until `load`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.errors import InvalidData
from feilun.families.objective import IGNORED, Objective
from feilun.families.tokens import TokenCrossEntropy
from feilun.modalities import checkpoints
from feilun.modalities.base import Arrays, Encoded
from feilun.modalities.language import virtual_tokens
from feilun.modalities.language.causal import token_sizes
from feilun.modalities.text.tokens import TextProcessor
from feilun.types import Item

if TYPE_CHECKING:
    import torch

__all__ = ["PairProcessor", "Seq2SeqLessons", "is_pair", "load"]

_MARGIN = 2
"""Times its longest taught answer that a model may write."""
_WRITTEN = 32


def is_pair(folder: Path | str | None) -> bool:
    """Whether `folder` holds an encoder with a decoder. What cannot be read holds none."""
    if not isinstance(folder, Path):
        return False
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("is_encoder_decoder") is True


class PairProcessor(TextProcessor):
    """A tokenizer that texts and answers share. `end` ends an answer, `begin` stands before one."""

    def __init__(
        self,
        tokenizer: Any,
        max_length: int,
        config: Mapping[str, Any],
        tokenizer_config: Mapping[str, Any],
        source: Path,
    ) -> None:
        super().__init__(tokenizer, max_length, config, tokenizer_config, source)
        self.takes_types = self.pads_left = False
        ends = config.get("eos_token_id")
        end = ends[0] if isinstance(ends, list) and ends else ends
        begin = config.get("decoder_start_token_id")
        if not isinstance(end, int):
            raise InvalidData("tasks.no_end_token", folder=source)
        self.end = end
        self.begin = begin if isinstance(begin, int) else self.pad_id
        self._virtual = frozenset(
            virtual_tokens.ids_of(self.tokenizer)
        )  # which stand before texts alone

    def answer(self, text: str) -> list[int]:
        """The tokens of an answer with its end, cut at ``max_length``."""
        ids = [one for one in self.tokenizer.encode(text).ids if one not in self._virtual]
        if ids and ids[-1] == self.end:
            return ids
        return [*ids[: self.max_length - 1], self.end]

    def rendered(self, item: Item, answer: str) -> tuple[tuple[str, bool], ...]:
        """The text as the encoder reads it, and the answer with its end, which is learnt."""
        read = self.encode([item])[0].arrays["input_ids"].tolist()
        parts = (read, False), (self.answer(answer), True)
        decode = self.tokenizer.decode
        return tuple((decode(ids, skip_special_tokens=False), learnt) for ids, learnt in parts)


class Seq2SeqLessons:
    """The text is read by the encoder; the answer and its end are learnt. Both are cut at
    ``max_length`` tokens."""

    format = "seq2seq"
    notes: Sequence[str] = ()

    def __init__(self, processor: PairProcessor) -> None:
        self._processor = processor
        self.objective: Objective = TokenCrossEntropy(token_sizes(processor.tokenizer))
        self._longest = 0

    @property
    def extra(self) -> Mapping[str, Any]:
        """``longest``: tokens that an answer may have."""
        return {"longest": _MARGIN * self._longest + _WRITTEN}

    def encode(self, items: Sequence[Item], targets: Sequence[Any]) -> list[Encoded]:
        """``input_ids`` and ``labels`` of each row, int32 (tokens,)."""
        found = []
        for read, said in zip(self._processor.encode(items), targets, strict=True):
            labels = np.array(self._processor.answer(str(said)), np.int32)
            self._longest = max(self._longest, len(labels))
            arrays = {"input_ids": read.arrays["input_ids"], "labels": labels}
            found.append(Encoded(arrays, read.cost + len(labels), read.cut))
        return found

    def collate(self, batch: Sequence[Encoded], targets: Sequence[Any]) -> Arrays:
        """The encoder's arrays, ``decoder_input_ids``, and ``labels`` where the outputs stand."""
        read = [Encoded(one.arrays, len(one.arrays["input_ids"])) for one in batch]
        longest = max(len(one.arrays["labels"]) for one in batch)
        labels = np.full((len(batch), longest), IGNORED, np.int64)
        given = np.full((len(batch), longest), self._processor.pad_id, np.int64)
        given[:, 0] = self._processor.begin
        for row, one in enumerate(batch):
            said = one.arrays["labels"]
            labels[row, : len(said)] = said
            given[row, 1 : len(said)] = said[:-1]
        return {**self._processor.collate(read), "decoder_input_ids": given, "labels": labels}

    def save(self, folder: Path) -> None:
        """The tokenizer's files."""
        self._processor.save(folder)


def load(base: Path | str | None) -> torch.nn.Module:
    """Gives the logits of each token of an answer, float32 (batch, tokens, vocabulary); the
    attribute ``model`` is the transformers model. Raises `InvalidData` without a base folder."""
    from transformers import AutoModelForSeq2SeqLM

    if not isinstance(base, Path):
        raise InvalidData("tasks.text_needs_base", base=base)
    module: torch.nn.Module = _module()(checkpoints.read(AutoModelForSeq2SeqLM, base))
    return module.eval()


def _module() -> type[Any]:
    import torch

    class AnswerTokens(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            decoder_input_ids: torch.Tensor,
        ) -> torch.Tensor:
            found = self.model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                decoder_input_ids=decoder_input_ids,
                use_cache=False,
            )
            logits: torch.Tensor = found.logits.float()
            return logits

    return AnswerTokens
