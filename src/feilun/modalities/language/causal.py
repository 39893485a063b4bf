"""Causal language models: the prompt that a conversation is to them, what they are taught of it,
and the torch module. Without torch until `load`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from feilun.errors import InvalidData
from feilun.families.objective import IGNORED, Objective
from feilun.families.tokens import TokenCrossEntropy
from feilun.messages import t
from feilun.modalities import checkpoints
from feilun.modalities.base import Arrays, Encoded
from feilun.modalities.language import conversations
from feilun.modalities.language.template import (
    CHATML,
    FILE,
    Lesson,
    Template,
    lesson,
    read_template,
    render,
)
from feilun.modalities.text.tokens import TextProcessor
from feilun.types import Item

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

__all__ = ["CausalLessons", "PromptProcessor", "load", "token_sizes", "unfit"]

_HEADS = ("ForCausalLM", "LMHeadModel")
_MARGIN = 2
"""Times its longest taught answer that a model may write where nobody says how much."""
_WRITTEN = 16


class PromptProcessor(TextProcessor):
    """A tokenizer with the chat template of its model; ChatML where it has none.

    Templates write all special tokens themselves, so that none are added here.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_length: int,
        config: Mapping[str, Any],
        tokenizer_config: Mapping[str, Any],
        source: Path,
    ) -> None:
        super().__init__(tokenizer, max_length, config, tokenizer_config, source)
        self.tokenizer.no_truncation()  # half a prompt asks something else
        self.pads_left = False
        found = read_template(source)
        self.has_template = found is not None
        self.template = found or Template(CHATML)
        marks = self.tokenizer.get_added_tokens_decoder()
        self.marks = {one.content: number for number, one in marks.items() if one.special}
        self.end = self._end(config)

    def _end(self, config: Mapping[str, Any]) -> str:
        """The token with which the model ends a text."""
        named = self.template.tokens.get("eos_token")
        if named is not None and self.tokenizer.token_to_id(named) is not None:
            return named
        numbers = config.get("eos_token_id")
        first = numbers[0] if isinstance(numbers, list) and numbers else numbers
        token = self.tokenizer.id_to_token(first) if isinstance(first, int) else None
        if token is None:
            raise InvalidData("tasks.no_end_token", folder=self._source)
        return str(token)

    def messages(self, item: Item) -> list[conversations.Message]:
        """The conversation that an item is."""
        return conversations.messages_of(str(item))

    def prompt(self, item: Item) -> str:
        """The text that the model continues with its answer."""
        return render(self.messages(item), self.template, ask=True)

    def lesson(self, messages: Sequence[conversations.Message], answer: str) -> Lesson:
        """What is read and what is learnt of one answer."""
        return lesson(messages, answer, self.template, self.marks, self.end)

    def rendered(self, item: Item, answer: str) -> tuple[tuple[str, bool], ...]:
        """The prompt, which is read, and the answer with its end, which is learnt."""
        found = self.lesson(self.messages(item), answer)
        return (found.prompt, False), (found.answer, True)

    def ids(self, text: str) -> list[int]:
        """The tokens of a rendered text."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def encode(self, items: Sequence[Item]) -> list[Encoded]:
        """The tokens of each prompt, however many."""
        prompts = [self.prompt(item) for item in items]
        found = self.tokenizer.encode_batch_fast(prompts, add_special_tokens=False)
        arrays = [np.array(one.ids or [self.pad_id], dtype=np.int32) for one in found]
        return [Encoded({"input_ids": ids}, len(ids)) for ids in arrays]

    def collate(self, batch: Sequence[Encoded], multiple: int = 1) -> Arrays:
        """``input_ids`` and ``attention_mask``, int64 (batch, longest), padded at the end."""
        longest = -(-max(item.cost for item in batch) // multiple) * multiple
        ids = np.full((len(batch), longest), self.pad_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, item in enumerate(batch):
            ids[row, : item.cost] = item.arrays["input_ids"]
            mask[row, : item.cost] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def save(self, folder: Path) -> None:
        """Writes the tokenizer's files, the template in a file of its own, and ``config.json``
        where there is none yet."""
        super().save(folder)
        (folder / FILE).write_text(self.template.source, "utf-8")


class CausalLessons:
    """Answers of a causal language model: the prompt is read, the answer and its end are learnt.

    A conversation of more than `max_length` tokens is taught without its oldest messages; an answer
    that does not fit even after its question alone is not taught.
    """

    format = "causal"

    def __init__(self, processor: PromptProcessor, smoothing: float = 0.0) -> None:
        self._processor = processor
        self.objective: Objective = TokenCrossEntropy(token_sizes(processor.tokenizer), smoothing)
        self._longest = 0
        self._stops: set[int] = set()
        self.notes = [] if processor.has_template else [t("tasks.note_chatml")]

    @property
    def extra(self) -> Mapping[str, Any]:
        """``longest``: tokens that an answer may have; ``stops``: the tokens that end one."""
        ends = self._stops | {self._processor.tokenizer.token_to_id(self._processor.end)}
        return {"longest": _MARGIN * self._longest + _WRITTEN, "stops": sorted(ends)}

    def encode(self, items: Sequence[Item], targets: Sequence[Any]) -> list[Encoded]:
        """``input_ids`` and ``labels`` of each row, int32 (tokens,), labels one place ahead."""
        return [self._one(item, str(said)) for item, said in zip(items, targets, strict=True)]

    def collate(self, batch: Sequence[Encoded], targets: Sequence[Any]) -> Arrays:
        """See `base.Lessons`. Rows end together, so that what is learnt stands at the
        end of all of them: only there the network computes logits (``logits_to_keep``), of which a
        token has as many as there are words."""
        longest = max(item.cost for item in batch)
        ids = np.full((len(batch), longest), self._processor.pad_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        labels = np.full_like(ids, IGNORED)
        for row, item in enumerate(batch):
            ids[row, longest - item.cost :] = item.arrays["input_ids"]
            mask[row, longest - item.cost :] = 1
            labels[row, longest - item.cost :] = item.arrays["labels"]
        first = int((labels != IGNORED).any(axis=0).argmax())
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": np.maximum(mask.cumsum(axis=1) - 1, 0),
            "logits_to_keep": np.arange(first, longest),
            "labels": labels[:, first:],
        }

    def save(self, folder: Path) -> None:
        """The processor's files; and what ends an answer, where transformers reads it."""
        self._processor.save(folder)
        file = folder / "generation_config.json"
        known = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        known["eos_token_id"] = self.extra["stops"]
        file.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", "utf-8")

    def _one(self, item: Item, answer: str) -> Encoded:
        messages, most, cut = self._processor.messages(item), self._processor.max_length, 0
        while True:
            read, learnt = self._tokens(messages, answer)
            if len(read) + len(learnt) <= most + 1:  # the last token is learnt, not read
                break
            first = 1 if messages[0].role == "system" else 0
            if len(messages) <= first + 1:
                return Encoded({}, 0)
            # A question goes with its answer, so that roles still take turns.
            messages = [*messages[:first], *messages[min(first + 2, len(messages) - 1) :]]
            cut += 1
        self._longest = max(self._longest, len(learnt))
        self._stops.add(learnt[-1])
        ids = np.array([*read, *learnt], np.int32)
        labels = ids[1:].copy()
        labels[: len(read) - 1] = IGNORED
        return Encoded({"input_ids": ids[:-1], "labels": labels}, len(labels), cut)

    def _tokens(
        self, messages: Sequence[conversations.Message], answer: str
    ) -> tuple[list[int], list[int]]:
        """The tokens of prompt and answer. The prompt's are those it has when the model is asked,
        also where a tokenizer would join its end with the answer's beginning."""
        text = self._processor.lesson(messages, answer)
        read = self._processor.ids(text.prompt)
        whole = self._processor.ids(text.prompt + text.answer)
        if whole[: len(read)] == read:
            return read, whole[len(read) :]
        return read, self._processor.ids(text.answer)


def token_sizes(tokenizer: Tokenizer) -> np.ndarray:
    """The bytes that each token is of a text, int64 (vocabulary,); special ones are none."""
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    described = json.loads(tokenizer.to_str())
    by_bytes = '"ByteLevel"' in json.dumps(described.get("decoder"))
    added = {one["id"]: one for one in described["added_tokens"]}
    sizes = np.zeros(max(vocabulary.values(), default=0) + 1, np.int64)
    for token, number in vocabulary.items():
        if number in added:
            sizes[number] = 0 if added[number]["special"] else len(token.encode())
        elif by_bytes:
            sizes[number] = len(token)  # a character stands for a byte
        elif len(token) == 6 and token.startswith("<0x"):
            sizes[number] = 1
        else:
            sizes[number] = len(token.removeprefix("##").replace("▁", " ").encode())
    return sizes


def unfit(base: Path) -> str | None:
    """Why the network in `base` writes no text, in words."""
    try:
        config = json.loads((base / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None  # said by whoever opens it
    names = config.get("architectures") or []
    if any(str(one).endswith(_HEADS) for one in names) and not config.get("is_encoder_decoder"):
        return None
    kind = ", ".join(map(str, names)) or str(config.get("model_type"))
    return t("tasks.not_causal", kind=kind)


def load(base: Path | str | None) -> torch.nn.Module:
    """Gives the logits of the next token at each place, float32 (batch, tokens, vocabulary); the
    attribute ``model`` is the transformers model. Raises `InvalidData` without a base folder."""
    from transformers import AutoModelForCausalLM

    if not isinstance(base, Path):
        raise InvalidData("tasks.text_needs_base", base=base)
    module: torch.nn.Module = _module()(checkpoints.read(AutoModelForCausalLM, base))
    return module.eval()


def _module() -> type[Any]:
    import torch

    class NextTokens(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **more: torch.Tensor
        ) -> torch.Tensor:
            found = self.model(
                input_ids=input_ids, attention_mask=attention_mask, use_cache=False, **more
            )
            logits: torch.Tensor = found.logits.float()
            return logits

    return NextTokens
