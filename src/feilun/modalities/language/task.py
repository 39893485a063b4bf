"""Texts that are answered with texts: what tasks that write have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from feilun.errors import InvalidData
from feilun.modalities.base import Lessons, Processor, TaskSettings
from feilun.modalities.language import architectures, causal, conversations, seq2seq
from feilun.modalities.text.task import TextSettings, TextTask
from feilun.types import Item, Schema

if TYPE_CHECKING:
    import torch

__all__ = ["WrittenTask"]


class WrittenTask(TextTask):
    """A text that is answered with a text. A task that extends it names its family, its columns,
    examples and summary.

    Networks that learn it are an encoder with a decoder (T5, BART, Marian), or a causal language
    model, to which the text is what a user says; either may begin from nothing.
    """

    Settings: ClassVar[type[TaskSettings]] = TextSettings
    scratches = architectures.scratch_names("t5", "llama")

    def check(self, item: Item) -> Item:
        """The text of `item`; see `tokens.check`. Raises `InvalidData` for one without a word."""
        text = super().check(item)
        if not str(text).strip():
            raise InvalidData("tasks.nothing_to_answer", param=self.columns[0].name)
        return text

    def conversation(self, messages: Sequence[Mapping[str, Any]]) -> Item | None:
        """What was said last; whatever came before it is not read."""
        return conversations.asked(conversations.read(messages))[-1].content

    def processor(self, folder: Path | str | None, settings: Mapping[str, Any]) -> Processor:
        """The tokenizer of `folder`; of a causal model with its chat template."""
        kind = seq2seq.PairProcessor if seq2seq.is_pair(folder) else causal.PromptProcessor
        return kind.read(folder, self._own(settings).max_length)

    def load(self, base: Path | str | None, schema: Schema) -> torch.nn.Module:
        """See `seq2seq` and `causal`."""
        return seq2seq.load(base) if seq2seq.is_pair(base) else causal.load(base)

    def lessons(self, base: Path | str | None, schema: Schema) -> Lessons:
        """Answers and their ends; see `seq2seq` and `causal`."""
        processor = self.processor(base, schema.settings)
        if isinstance(processor, seq2seq.PairProcessor):
            return seq2seq.Seq2SeqLessons(processor)
        assert isinstance(processor, causal.PromptProcessor)
        return causal.CausalLessons(processor)

    def rendered(
        self, base: Path, item: Item, target: str, settings: Mapping[str, Any]
    ) -> Sequence[tuple[str, bool]]:
        """The text and its answer; see `seq2seq` and `causal`."""
        processor = self.processor(base, settings)
        assert isinstance(processor, seq2seq.PairProcessor | causal.PromptProcessor)
        return processor.rendered(item, target)

    def unfit(self, base: Path) -> str | None:
        """Encoders alone write no text."""
        return None if seq2seq.is_pair(base) else causal.unfit(base)
