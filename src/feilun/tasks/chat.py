"""Answers questions and carries on conversations, as it was shown by examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from feilun.errors import InvalidData
from feilun.families.generation import REPLY
from feilun.messages import Language
from feilun.modalities import recognise
from feilun.modalities.language import architectures, causal, conversations
from feilun.modalities.text.task import TextInput
from feilun.tasks.base import (
    Column,
    Lessons,
    Processor,
    RowReader,
    TaskSettings,
)
from feilun.types import ColumnSample, Example, Item, Roles, Schema

if TYPE_CHECKING:
    import torch

__all__ = ["Settings", "Task"]

_LISTS = ("messages", "conversations", "conversation", "dialogue", "dialog", "对话", "会话")
_QUESTIONS = (
    "prompt", "instruction", "question", "query", "user", "human", "text", "input", "title",
    "问题", "指令", "提问", "用户", "标准问题", "问",
)  # fmt: skip
_ANSWERS = (
    "completion", "response", "answer", "output", "assistant", "reply", "target", "label",
    "chosen", "solution", "答案", "回答", "回复", "输出", "标准答案", "答",
)  # fmt: skip
_FURTHER = ("input", "context", "输入", "背景")
_SYSTEM = ("system", "system_prompt", "系统")
_HISTORY = ("history", "历史")


class Settings(TaskSettings):
    """The ``[task]`` table of a project that answers questions."""

    no_answer: str = Field(
        "",
        max_length=1000,
        description="what is said where no answer is known; empty: a sentence in the language of"
        " the question",
    )
    max_length: int = Field(
        1024,
        ge=16,
        le=32_768,
        description="tokens of a conversation and its answer that are learnt at most; of a longer "
        "one the oldest messages are left out",
    )
    feature_bits: int = Field(
        18,
        ge=10,
        le=24,
        description="drift and review hash n-grams into 2 to this power columns",
    )


class Task(TextInput):
    """Answers questions and carries on conversations, as examples have shown it.

    The input is a question, or the messages of a conversation that ends with one; the answer is a
    text. Files hold messages (OpenAI), conversations (ShareGPT), instructions (Alpaca), or a column
    of questions and one of answers. Of a conversation with several answers each is a row: what was
    said before it is what it answers.
    """

    summary = "tasks.chat"
    Settings = Settings
    family = REPLY
    nested = undivided = True
    default_base = "smollm2"
    scratches = architectures.scratch_names("llama")
    columns = (Column("messages", "text", (*_LISTS[1:], *_QUESTIONS)),)
    label_aliases = _ANSWERS
    examples = (
        Example("1", "When do you open?", "From nine to six, Monday to Saturday."),
        Example("2", "Can I return shoes that I have worn?", "No, only unworn ones."),
        Example("3", "运费是多少？", "满 99 元包邮，不足 99 元收 8 元。"),
    )

    def recognise(self, columns: Sequence[ColumnSample]) -> Roles:
        """A column of messages is input and label at once; else both are found by their usual
        names, and a question without one by the longest texts."""
        lists = [one for one in columns if any(map(conversations.listed, one.values))]
        if lists:
            held = recognise.named(lists, (self.columns[0].name, *_LISTS)) or lists[0].name
            label = recognise.named([one for one in columns if one.name != held], _ANSWERS)
            return self._beside(columns, held, label or held)
        # Alpaca's input says more about its instruction.
        rest = [one for one in columns if recognise.named([one], _ANSWERS) is None]
        name = recognise.named(rest, (self.columns[0].name, *_LISTS, *_QUESTIONS))
        if name is not None:
            return self._beside(columns, name, recognise.named(columns, _ANSWERS))
        found = recognise.roles(columns, self.columns[0], _ANSWERS)
        return self._beside(columns, found.inputs["messages"], found.label)

    def readable(self, item: Item, lang: Language | None = None) -> Item:
        """Who said what, a line each; a single question as it is."""
        return conversations.spoken(str(item), lang)

    def _beside(self, columns: Sequence[ColumnSample], name: str, label: str | None) -> Roles:
        rest = [one for one in columns if one.name not in (name, label)]
        return Roles(
            {"messages": name},
            label,
            id=recognise.named(rest, recognise.ID),
            group=recognise.named(rest, recognise.GROUP),
        )

    def reader(self, samples: Sequence[ColumnSample]) -> RowReader | None:
        """See the class."""
        further, system, history = (
            recognise.named(samples, names) for names in (_FURTHER, _SYSTEM, _HISTORY)
        )

        def rows(item: Any, raw: Any, values: Mapping[str, Any]) -> Sequence[tuple[Item, Any]]:
            messages = conversations.listed(item)
            if messages is not None:
                return _turns(messages, raw)
            said = [values.get(name) if name else None for name in (further, system, history)]
            return _instruction(item, raw, *said)

        return rows

    def check(self, item: Item) -> Item:
        """A text, messages or their JSON; see `conversations.canonical`."""
        return conversations.canonical(item, self.columns[0].name)

    def conversation(self, messages: Sequence[Mapping[str, Any]]) -> Item | None:
        """See `conversations`."""
        return conversations.write(conversations.asked(conversations.read(messages)))

    def processor(self, folder: Path | str | None, settings: Mapping[str, Any]) -> Processor:
        """The tokenizer of `folder` and its chat template; an encoder reads texts without one."""
        if isinstance(folder, Path) and causal.unfit(folder) is not None:
            return super().processor(folder, settings)
        return causal.PromptProcessor.read(folder, Settings(**settings).max_length)

    def load(self, base: Path | str | None, schema: Schema) -> torch.nn.Module:
        """A causal language model; see `causal`."""
        return causal.load(base)

    def lessons(self, base: Path | str | None, schema: Schema) -> Lessons:
        """Answers and their ends; see `causal`."""
        length = Settings(**schema.settings).max_length
        return causal.CausalLessons(causal.PromptProcessor.read(base, length))

    def rendered(
        self, base: Path, item: Item, target: str, settings: Mapping[str, Any]
    ) -> Sequence[tuple[str, bool]]:
        """The prompt, and the answer with its end."""
        processor = causal.PromptProcessor.read(base, Settings(**settings).max_length)
        return processor.rendered(item, target)

    def unfit(self, base: Path) -> str | None:
        """Encoders write no text."""
        return causal.unfit(base)


def _turns(messages: list[Any], raw: Any) -> list[tuple[Item, Any]]:
    """A row for each answer in a conversation; one that ends with a question takes its answer from
    the label's own cell."""
    said = conversations.read(messages)
    if (
        said
        and said[-1].role == "user"
        and isinstance(raw, str)
        and conversations.listed(raw) is None
    ):
        return [(conversations.write(said), raw)]
    found: list[tuple[Item, Any]] = [
        (conversations.write(conversations.asked(said[:place])), one.content)
        for place, one in enumerate(said)
        if one.role == "assistant"
        and one.content
        and place
        and said[place - 1].role in ("user", "tool")
    ]
    if not found:
        raise InvalidData("chat.nothing_answered", param="messages")
    return found


def _instruction(
    item: Any, raw: Any, further: Any, system: Any, history: Any
) -> list[tuple[Item, Any]]:
    """One row: an instruction with what it is about, after what was said before."""
    if not isinstance(item, str) or not item.strip():
        return [(item, raw)]
    asked = f"{item}\n\n{further}" if _is_more(further, item) else item
    said = [conversations.Message("system", system)] if _is_more(system, "") else []
    for pair in history if isinstance(history, list) else ():
        if isinstance(pair, list | tuple) and len(pair) == 2:
            user, answer = map(str, pair)
            said += [
                conversations.Message("user", user),
                conversations.Message("assistant", answer),
            ]
    return [(conversations.write([*said, conversations.Message("user", asked)]), raw)]


def _is_more(value: Any, than: str) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value != than
