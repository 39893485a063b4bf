"""Says shortly what a document says."""

from __future__ import annotations

from feilun.families.base import PairTally
from feilun.families.generation import SUMMARY
from feilun.modalities.language.task import WrittenTask
from feilun.modalities.text.pair_checks import PairChecks, same, wordier
from feilun.modalities.text.task import TextSettings
from feilun.tasks.base import Column
from feilun.types import Example

__all__ = ["Settings", "Task"]


class Settings(TextSettings):
    """The ``[task]`` table of a project that summarises."""


class Task(WrittenTask):
    """Says shortly what a document says, as a company's own summaries do.

    The input is one document; the answer is its summary. Files hold a column of documents and one
    of summaries (headlines, abstracts).
    """

    summary = "tasks.summarization"
    Settings = Settings
    family = SUMMARY
    columns = (
        Column(
            "text",
            "text",
            (
                "document", "article", "content", "body", "dialogue", "dialog", "story", "report",
                "transcript", "review", "正文", "原文", "文章", "全文", "内容", "新闻", "文本",
            ),
        ),
    )  # fmt: skip
    label_aliases = (
        "summary", "summaries", "highlights", "abstract", "tldr", "headline", "title", "gist",
        "target", "摘要", "总结", "概要", "小结", "标题",
    )  # fmt: skip
    examples = (
        Example(
            "1",
            "The kettle arrived on Monday. It is blue and holds two litres. I like it.",
            "A blue kettle of two litres arrived on Monday.",
        ),
        Example(
            "2",
            "We moved the meeting to Friday because the hall is being painted. Tea is at four.",
            "The meeting is on Friday.",
        ),
        Example(
            "3", "台灯收到了，亮度分三档，底座很稳。唯一的缺点是线有点短。", "台灯好用，线短。"
        ),
    )

    def inspection(self) -> PairTally:
        """Summaries that are longer than their documents, or the documents themselves."""
        return PairChecks({"copied_answers": same, "long_summaries": wordier})
