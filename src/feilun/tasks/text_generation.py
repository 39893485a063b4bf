"""Writes a text for a prompt, as prompts and their completions have shown it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from feilun.families.base import PairTally
from feilun.families.generation import COMPLETION
from feilun.modalities.language.task import WrittenTask
from feilun.modalities.text.pair_checks import PairChecks, repeated, same
from feilun.modalities.text.task import TextSettings
from feilun.tasks.base import Column
from feilun.types import Example, Item

__all__ = ["Settings", "Task"]


class Settings(TextSettings):
    """The ``[task]`` table of a project that writes texts."""

    no_answer: str = Field(
        "", max_length=1000, description="what is written where no prompt is like the one given"
    )


class Task(WrittenTask):
    """Writes a text for a prompt, as a company's own prompts and completions do: descriptions of
    goods, letters, replies in a fixed form.

    The input is one prompt; the answer is its completion, without the prompt. Files hold a column
    of prompts and one of completions.
    """

    summary = "tasks.text_generation"
    Settings = Settings
    family = COMPLETION
    columns = (
        Column(
            "text",
            "text",
            (
                "prompt", "instruction", "input", "request", "source", "keywords", "facts",
                "提示", "提示词", "指令", "输入", "要求", "关键词",
            ),
        ),
    )  # fmt: skip
    label_aliases = (
        "completion", "response", "output", "generated_text", "target", "answer", "reply",
        "补全", "输出", "回复", "生成文本", "结果",
    )  # fmt: skip
    examples = (
        Example(
            "1",
            "Describe: kettle, blue, 2 litres",
            "This blue kettle holds 2 litres and suits every kitchen.",
        ),
        Example(
            "2",
            "Confirm order 1042 for Ada",
            "Dear Ada, your order 1042 is on its way.",
        ),
        Example("3", "描述：台灯，白色，三档亮度", "这款白色台灯有三档亮度，适合阅读。"),
    )

    def inspection(self) -> PairTally:
        """Completions that are their prompts, or repeat them."""
        return PairChecks({"copied_answers": same, "repeated_prompts": repeated})

    def unanswered(self, item: Item, settings: Mapping[str, Any]) -> str:
        """See ``no_answer``."""
        return str(settings.get("no_answer", ""))
